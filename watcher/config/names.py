"""Names in the file that are given twice, and names that nothing has.

Checked on the raw values, so that a wrong type elsewhere does not hide a misspelt recipe until the
next try.
"""

from collections.abc import Collection, Iterable, Mapping

from watcher.alert_rules import RULES
from watcher.config.mistakes import Path, dotted, nearest
from watcher.config.text import Node, Problem
from watcher.core.approval import CHAT, GROUP, OPENSHIFT, PERSON, PROXY
from watcher.core.patterns import is_pattern
from watcher.settings_web import AuthSettings

TOKEN, HOOK = "token:", "webhook:"
_NO_SLACK = "slack has no bot_token_file or bot_token_env"


def of_names(root: Node, file: str) -> list[Problem]:
    """Return every such mistake."""
    return _Names(root, file).problems()


class _Names:
    def __init__(self, root: Node, file: str) -> None:
        self._root = root
        self._file = file
        self._found: list[Problem] = []
        self._ours = {
            TOKEN: {TOKEN + name for name in self._names("web", "tokens")},
            PERSON: {PERSON + name for name in self._names("people")},
            HOOK: {HOOK + name for name in self._names("webhooks")},
        }
        pools = self._named(("pools",), ("cluster", "pool"))
        self._pools = {"/".join(names) for names, _ in pools}

    def problems(self) -> list[Problem]:
        for listed in ("clusters", "recipes", "people", "webhooks", "digests"):
            self._twice((listed,), ("name",))
        self._twice(("web", "tokens"), ("name",))
        self._twice(("pools",), ("cluster", "pool"))
        for key, section in (("cluster", "clusters"), ("recipe", "recipes")):
            known = self._names(section)
            for (name,), path in self._named(("pools",), (key,)):
                if name not in known:
                    said = f"no {key} is named `{name[:60]}`{nearest(name, known)}"
                    self._say(path, said, at=(*path, key))
        self._reviewing()
        self._people()
        self._policies()
        self._places()
        self._alerts()
        return self._found

    # --- who ----------------------------------------------------------------------------------

    def _people(self) -> None:
        first: dict[str, Path] = {}
        for path in self._items(("people",)):
            for identity, at in self._texts((*path, "identities")):
                self._known(identity, at, TOKEN)
                if identity in first:
                    whose = self._text((*first[identity][:2], "name"))
                    line = self._root.line_of(first[identity])
                    self._say(
                        at, f"`{identity[:60]}` is an identity of {whose} already, line {line}"
                    )
                first.setdefault(identity, at)
        for path in self._items(("recipes",)):
            for identity, at in self._texts((*path, "authors")):
                self._known(identity, at, TOKEN, PERSON)

    def _known(self, identity: str, at: Path, *kinds: str) -> None:
        """Tell of an identity that nobody can ever have, if it is of one of the kinds."""
        for kind, where in ((TOKEN, "web.tokens"), (PERSON, "people")):
            name, known = identity.removeprefix(kind)[:60], self._ours[kind]
            if kind in kinds and identity.startswith(kind) and name and identity not in known:
                self._say(at, f"{where} has no `{name}`{nearest(identity, known)}")
        mode = self._text(("web", "auth", "mode")) or AuthSettings().mode
        for kind in (PROXY, OPENSHIFT):
            if identity.startswith(kind) and mode != kind.rstrip(":"):
                said = f"web.auth.mode is {mode[:20]}, so nobody comes as `{identity[:60]}`"
                self._say(at, said)

    def _reviewing(self) -> None:
        """The cluster that says who somebody is must be there, and must be one."""
        at: Path = ("web", "auth", "openshift", "cluster")
        named, known = self._text(at), self._names("clusters")
        if named and named not in known:
            self._say(at, f"no cluster is named `{named[:60]}`{nearest(named, known)}")
        elif not named and self._text((*at[:2], "mode")) == "openshift" and len(known) != 1:
            said = (
                f"say which cluster is asked; there is: {', '.join(sorted(known)[:12]) or 'none'}"
            )
            self._say(at, said, at=at[:2])

    def _policies(self) -> None:
        own = ((*path, "policy") for path in self._items(("pools",)))
        for policy in (("defaults", "policy"), *own):
            for identity, at in self._texts((*policy, "approval", "approvers")):
                self._known(identity, at, TOKEN, PERSON)
                if identity.startswith((CHAT, GROUP)) and (why := self._mute()):
                    self._say(at, f"{why}, so `{identity[:60]}` could never approve")
            for path in self._items((*policy, "approval", "escalate")):
                self._place((*path, "to"))
            for path in self._items((*policy, "after")):
                at = path if self._text(path) else (*path, "pool")
                place = self._text(at)
                if place and place not in self._pools:
                    said = f"no pool is `{place[:130]}`{_nearest_place(place, self._pools)}"
                    self._say(at, said)

    def _mute(self) -> str:
        """Why nobody can decide from Slack."""
        if not self._speaks():
            return _NO_SLACK
        return "slack.mode is none" if self._text(("slack", "mode")) == "none" else ""

    # --- where --------------------------------------------------------------------------------

    def _places(self) -> None:
        clusters = self._names("clusters")
        for path in (*self._items(("routes",)), *self._items(("digests",))):
            for _, at in self._texts((*path, "to")):
                self._place(at)
            for name, at in self._texts((*path, "clusters")):
                if name not in clusters and not is_pattern(name):
                    self._say(at, f"no cluster is named `{name[:60]}`{nearest(name, clusters)}")
        pools = self._pools | {place.rpartition("/")[2] for place in self._pools}
        for path in self._items(("routes",)):
            for name, at in self._texts((*path, "pools")):
                if name not in pools and not is_pattern(name):
                    self._say(at, f"no pool is `{name[:130]}`{nearest(name, pools)}")

    def _alerts(self) -> None:
        for path in self._items(("alerts", "escalations")):
            for _, at in self._texts((*path, "to")):
                self._place(at)
        wait: Path = ("alerts", "wait")
        node = self._root.get(*wait)
        waiting = node.value if node is not None and isinstance(node.value, dict) else {}
        rules = [(name, (*wait, name)) for name in waiting]
        for name, at in (*self._texts(("alerts", "disabled")), *rules):
            if name not in RULES:
                self._say(at, f"no alert rule is called `{name[:60]}`{nearest(name, RULES)}")

    def _place(self, at: Path) -> None:
        """Tell of a place where nothing can ever be said."""
        place, hooks = self._text(at), self._ours[HOOK]
        if place.startswith((CHAT, GROUP)) and not self._speaks():
            self._say(at, f"{_NO_SLACK}, so nothing could be said in `{place[:60]}`")
        if place.startswith(HOOK) and place not in hooks:
            name = place.removeprefix(HOOK)[:60]
            self._say(at, f"no webhook is named `{name}`{nearest(place, hooks)}")

    def _speaks(self) -> bool:
        return any(self._text(("slack", key)) for key in ("bot_token_file", "bot_token_env"))

    # --- raw values ---------------------------------------------------------------------------

    def _say(self, path: Path, message: str, *, at: Path | None = None) -> None:
        line = self._root.line_of(at or path)
        self._found.append(Problem(self._file, line, f"{dotted(path)}: {message}"[:400]))

    def _text(self, path: Path) -> str:
        """The text at `path`, empty if there is none."""
        node = self._root.get(*path)
        return node.value if node is not None and isinstance(node.value, str) else ""

    def _items(self, path: Path) -> list[Path]:
        """The paths of the items of the list at `path`."""
        listed = self._root.get(*path)
        return [(*path, number) for number in range(len(listed.items() if listed else ()))]

    def _texts(self, path: Path) -> list[tuple[str, Path]]:
        """The items that are text, and their paths."""
        return [(text, at) for at in self._items(path) if (text := self._text(at))]

    def _names(self, *section: str) -> Collection[str]:
        return {names[0] for names, _ in self._named(section, ("name",))}

    def _named(self, at: Path, keys: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], Path]]:
        """Yield the values of `keys` of each item of the list at `at`, where they are text."""
        for path in self._items(at):
            item = self._root.get(*path)
            assert item is not None, "it was listed"
            values: Mapping[str, Node] = item.value if isinstance(item.value, dict) else {}
            found = [values[key].value for key in keys if key in values]
            names = tuple(name for name in found if isinstance(name, str))
            if len(names) == len(keys):
                yield names, path

    def _twice(self, at: Path, keys: tuple[str, ...]) -> None:
        first: dict[tuple[str, ...], int] = {}
        for names, path in self._named(at, keys):
            line = self._root.line_of((*path, keys[-1]))
            if names in first:
                shown = "/".join(names)[:130]
                said = f"`{shown}` is there already, line {first[names]}"
                self._say(path, said, at=(*path, keys[-1]))
            first.setdefault(names, line)


def _nearest_place(place: str, pools: Collection[str]) -> str:
    """As `nearest`; of a pool written without its cluster, those of that name."""
    if "/" in place:
        return nearest(place, pools)
    same = sorted(pool for pool in pools if pool.rpartition("/")[2] == place)
    meant = f"; did you mean `{same[0]}`?" if same else nearest(place, pools)
    return f"; pools are written cluster/pool{meant}"
