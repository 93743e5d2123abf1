"""How states look: an icon and a tone for each, so that none is told by its colour alone."""

from collections.abc import Mapping

TONES = ("good", "busy", "ask", "bad", "calm")
STATES: Mapping[str, tuple[str, str]] = {
    "stock": ("•", "calm"),
    "current": ("✓", "good"),
    "behind": ("↓", "ask"),
    "ahead": ("↑", "ask"),
    "recipe-changed": ("≠", "ask"),
    "unknown-lineage": ("?", "bad"),
    "tagged": ("#", "bad"),
    "missing": ("+", "ask"),
    "shadowed": ("◐", "bad"),
    "foreign": ("⇄", "bad"),
    "image-mode": ("◆", "calm"),
    "prebuilt-frozen": ("=", "bad"),
    "blocked": ("‖", "ask"),
    "empty": ("∅", "calm"),
    "unreadable": ("✕", "bad"),
    "unseen": ("○", "calm"),
}
"""Of pools: `core/state.State`, and `unseen`."""
UPDATES: Mapping[str, tuple[str, str]] = {
    "waiting-for-build": ("…", "busy"),
    "awaiting-approval": ("?", "ask"),
    "scheduled": ("→", "busy"),
    "applying": ("↻", "busy"),
    "rolling-out": ("↻", "busy"),
    "soaking": ("◔", "busy"),
    "done": ("✓", "good"),
    "rejected": ("✕", "calm"),
    "expired": ("⌛", "calm"),
    "superseded": ("»", "calm"),
    "failed": ("✕", "bad"),
    "rolling-back": ("↺", "bad"),
    "rolled-back": ("↺", "bad"),
    "stuck": ("▲", "bad"),
}
"""Of updates: `core/update_events.UpdateState`."""
GROUPS: Mapping[str, tuple[str, str]] = {
    "needs": ("▲", "bad"),
    "approval": ("?", "ask"),
    "rolling": ("↻", "busy"),
    "behind": ("↓", "ask"),
    "current": ("✓", "good"),
    "unseen": ("○", "calm"),
}
UNKNOWN = ("•", "calm")


def tag_of(kind: Mapping[str, tuple[str, str]], state: str) -> tuple[str, str]:
    """The icon and the tone of a state."""
    return kind.get(state, UNKNOWN)
