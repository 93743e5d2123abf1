"""What a place does not take is told at another place: once for each cause, until it is over.

The outbox is all the memory this needs: beside the notices that stand, the subject
`trouble:<place>` has a record for each cause. So a crash or another replica forgets no trouble, and
twenty letters to one archived channel make one notice.
"""

from dataclasses import replace
from datetime import UTC, datetime

import structlog

from watcher.core.letters import About, Delivered, Letters, Notice, Wanted
from watcher.ports import Clock, Conflict, Outbox, Refused

log = structlog.get_logger()

SUBJECT = "trouble:"
_RECORD = "because:"
_POST, _EDIT = "post", "edit"
_TITLES = {_POST: "Messages are not delivered", _EDIT: "A message is not updated any more"}
LONGEST_WORD, LONGEST_SENTENCE = 80, 500


class Troubles:
    """Of a record, `gone` is the sentence, `trying` since when, `sent` until when.

    Its version is odd while it lasts and even when it is over, so each time makes a new notice.
    """

    def __init__(self, outbox: Outbox, fallback: str, clock: Clock) -> None:
        self._outbox, self._fallback, self._clock = outbox, fallback, clock
        self._calm: set[str] = set()
        """Places that are known to be in no trouble: nothing has to be read to say so."""

    async def tell(self, place: str, refusal: Refused, *, editing: bool) -> None:
        """Have it said at the fallback that `place` refuses; nothing if that is the same place."""
        self._calm.discard(place)
        if self._fallback in ("", place):
            return
        subject = SUBJECT + place
        # A client's own word for the cause is the same for every letter; its sentence may not be.
        word = (getattr(refusal, "error", "") or str(refusal))[:LONGEST_WORD]
        key = f"{_RECORD}{_EDIT if editing else _POST}:{word}"
        record = (await self._outbox.delivered(subject)).get(key) or Delivered(key=key)
        if not _lasts(record):
            await self._save(
                subject, replace(record, gone=_sentence(place, refusal), trying=self._now())
            )
        await self._outbox.mark(subject)

    async def over(self, place: str) -> None:
        """A new message was accepted there: what kept others away is over."""
        if place in self._calm:
            return
        subject = SUBJECT + place
        records = (await self._outbox.delivered(subject)).values()
        # What was deleted stays deleted: such a notice is left as it is.
        lasting = [r for r in records if r.key.startswith(f"{_RECORD}{_POST}:") and _lasts(r)]
        for record in lasting:
            await self._save(subject, replace(record, sent=self._now()))
        if lasting:
            await self._outbox.mark(subject)
        self._calm.add(place)

    async def letters(self, subject: str) -> Letters:
        """What shall stand at the fallback about one place."""
        if self._fallback in ("", subject.removeprefix(SUBJECT)):
            return Letters()
        delivered = await self._outbox.delivered(subject)
        wanted = []
        for record in delivered.values():
            if not record.key.startswith(_RECORD):
                continue
            notice = self._notice(subject, record)
            # One that was over before it was told is no news.
            if _lasts(record) or notice.key in delivered:
                wanted.append(notice)
        return Letters(wanted=tuple(wanted))

    def forget(self) -> None:
        """Another replica may tell meanwhile."""
        self._calm.clear()

    def _notice(self, subject: str, record: Delivered) -> Wanted:
        kind, _, word = record.key.removeprefix(_RECORD).partition(":")
        time = (record.version + 1) // 2
        body = Notice(
            cause=f"{subject}:{kind}:{word}",
            title=_TITLES.get(kind, _TITLES[_POST]),
            sentence=record.gone,
            since=_moment(record.trying),
            over_at=None if _lasts(record) else _moment(record.sent),
        )
        return Wanted(
            key=f"notice:{kind}:{word}:{time}@{self._fallback}",
            place=self._fallback,
            about=About.NOTICE,
            body=body,
            severity=body.severity,
        )

    async def _save(self, subject: str, record: Delivered) -> None:
        try:
            await self._outbox.save(subject, record)
        except Conflict:
            log.info("trouble_told_already", subject=subject, key=record.key)

    def _now(self) -> str:
        return f"{self._clock.now().timestamp():.0f}"


def _lasts(record: Delivered) -> bool:
    return record.version % 2 == 1


def _sentence(place: str, refusal: Refused) -> str:
    return f"{place}: {str(refusal) or type(refusal).__name__}"[:LONGEST_SENTENCE]


def _moment(epoch: str) -> datetime | None:
    return datetime.fromtimestamp(float(epoch), UTC) if epoch else None
