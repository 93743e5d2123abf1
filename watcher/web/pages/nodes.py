"""Nodes in MCO's own words: what each has, what it is told to take, and what it is doing."""

from watcher.core import mco
from watcher.core.cluster import ClusterView, Node
from watcher.shown import Row

DONE = "Done"


def node_row(view: ClusterView, node: Node) -> Row:
    """One node; `tone` as in `tones`."""
    said = node.meta.annotations
    has, wants = said.get(mco.CURRENT_CONFIG, ""), said.get(mco.DESIRED_CONFIG, "")
    rendered, state = view.machine_configs.get(has), said.get(mco.NODE_STATE, "")
    word, tone = _word(node, state, in_step=has == wants)
    return {
        "name": node.meta.name,
        "image": rendered.os_image_url if rendered else "",
        "os": node.os_image,
        "kubelet": node.kubelet_version,
        "config": has,
        "wants": wants if wants != has else "",
        "word": word,
        "tone": tone,
        "reason": said.get(mco.NODE_REASON, "") if state != DONE else "",
    }


def told_row(said: Row) -> Row:
    """The same of what a rollout told when it last looked: of an update that has ended, or of a
    cluster out of sight."""
    state, updated = str(said.get("state") or ""), bool(said.get("updated"))
    if state in mco.FAILED_STATES:
        word, tone = state.lower(), "bad"
    elif updated:
        word, tone = ("has it", "good") if said.get("ready") else ("has it, not ready", "bad")
    else:
        word, tone = ("waiting" if state in (DONE, "") else state.lower()), "busy"
    return {
        "name": str(said.get("name") or ""),
        "word": word,
        "tone": tone,
        "reason": str(said.get("reason") or ""),
        "updated": updated,
    }


def _word(node: Node, state: str, *, in_step: bool) -> tuple[str, str]:
    if state in mco.FAILED_STATES:
        return state.lower(), "bad"
    if not in_step:
        drains = node.meta.annotations
        if drains.get(mco.DESIRED_DRAIN, "") != drains.get(mco.APPLIED_DRAIN, ""):
            return "draining", "busy"
        return ("waiting", "busy") if state in (DONE, "") else (state.lower(), "busy")
    if not node.ready:
        return "not ready", "bad"
    return ("cordoned", "ask") if node.unschedulable else ("in step", "good")
