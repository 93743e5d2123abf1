"""The letters of notices: one for each, and a reply in its thread where somebody is called anew."""

from collections.abc import Iterator
from datetime import UTC

from watcher.core.alerts.model import rule_of
from watcher.core.letters import About, Notice, Nudge, Wanted
from watcher.core.notices.memory import UNSILENCED, Memory, Standing


def letters(memory: Memory) -> tuple[Wanted, ...]:
    """Return what shall stand where."""
    return tuple(wanted for notice in memory.notices for wanted in _letters(notice))


def _letters(notice: Standing) -> Iterator[Wanted]:
    yield Wanted(
        key=notice.key,
        place=notice.to,
        about=About.NOTICE,
        severity=notice.severity,
        body=Notice(
            cause=notice.cause,
            title=notice.title,
            sentence=notice.sentence,
            places=notice.places,
            severity=notice.severity,
            since=notice.since,
            over_at=notice.over_at,
            rule=rule_of(notice.cause) or "",
            silenced=notice.silenced,
            escalated=notice.escalated,
        ),
    )
    # What is over, or silenced meanwhile, calls nobody any more.
    if notice.called_at and notice.over_at is None and notice.loud_since is not None:
        yield Wanted(
            key=f"call:{notice.name}:{notice.called_at.astimezone(UTC):%Y%m%dT%H%M%S}@{notice.to}",
            place=notice.to,
            about=About.NOTICE,
            severity=notice.severity,
            body=_call(notice),
            thread_of=notice.key,
            broadcast=True,
            once=True,
        )


def _call(notice: Standing) -> Nudge:
    """Said once below the notice, because an edit wakes nobody."""
    cluster, _, pool = notice.places[0].partition("/") if len(notice.places) == 1 else ("", "", "")
    silent = notice.called == UNSILENCED
    why = "no longer silenced, and still so" if silent else f"{notice.severity} now"
    return Nudge(
        update="",
        cause=notice.cause,
        cluster=cluster,
        pool=pool,
        sentence=f"{why}: {notice.title}: {notice.sentence}",
        severity=notice.severity,
    )
