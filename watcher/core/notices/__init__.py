"""What people are told beside updates: causes that stand now, however many pools they concern.

A notice is the same by its cause, never by its words: one outage is one message at a place, a
changing number or duration makes no second one, and what comes back soon is the old one again.
So the registry that twenty pools wait for is told of once, and again only when it is over.
"""

from watcher.core.notices.machine import again_at, standing
from watcher.core.notices.memory import (
    AGAIN,
    KEPT,
    MOST,
    PLACES,
    RENEWED,
    SENTENCE,
    Concern,
    Memory,
    Standing,
    Terms,
    To,
)
from watcher.core.notices.wanted import letters

__all__ = [
    "AGAIN",
    "KEPT",
    "MOST",
    "PLACES",
    "RENEWED",
    "SENTENCE",
    "Concern",
    "Memory",
    "Standing",
    "Terms",
    "To",
    "again_at",
    "letters",
    "standing",
]
