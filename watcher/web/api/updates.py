"""Updates: what they are, and what people decide about them."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.responses import Response

from watcher import shown
from watcher.core.facts import Digest, Malformed
from watcher.core.jobs import Job, JobKind
from watcher.core.update import Update
from watcher.core.update_events import UpdateState
from watcher.people import Outcome
from watcher.web.api import lists, paging, rows
from watcher.web.api.operation import Asked, Operation
from watcher.web.api.paging import Page
from watcher.web.callers import Role
from watcher.web.face import SURFACE, Face, as_json
from watcher.web.problems import Problem

MOST_OF_POOL = 1000
"""Updates of one pool that are looked through: at two a week, ten years."""
LOG_ID = re.compile(r"[a-z]-[0-9a-zA-Z-]{1,64}")
_DIGEST = r"^sha256:[0-9a-f]{64}$"
Binding = Annotated[
    str, Meta(pattern=_DIGEST, description="`binding` of the update, as it was shown.")
]
Reason = Annotated[str, Meta(max_length=2000, description="Of it 500 characters are kept.")]
Name = Annotated[str, Meta(min_length=1, max_length=253)]
Until = Annotated[
    str,
    Meta(max_length=100, description="A moment as on the command line: `3d`, `tomorrow 14:00`."),
]


class Filter(Page, kw_only=True):
    cluster: Name | UnsetType = UNSET
    pool: Name | UnsetType = UNSET
    state: UpdateState | UnsetType = UNSET


class DecisionBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of approve and reject; a decision about something else than `binding` is refused."""

    binding: Binding
    reason: Reason = ""


class SnoozeBody(msgspec.Struct, forbid_unknown_fields=True):
    binding: Binding
    until: Until


@dataclass(frozen=True, slots=True, kw_only=True)
class Updates(Face):
    def operations(self) -> list[Operation]:
        """Return them in the order of the document."""
        one = "/updates/{id}"
        return [
            Operation(
                method="GET",
                path="/updates",
                name="listUpdates",
                says="Updates, newest first: all that have not ended, and the newest 500 that have;"
                " of one pool its newest 1,000.",
                act=self.updates,
                query=Filter,
                answer=lists.Updates,
            ),
            Operation(
                method="GET",
                path=one,
                name="getUpdate",
                says="One update with its progress, build, log and audit trail.",
                act=self.update,
                answer=rows.UpdatePage,
                refusals=(404,),
            ),
            Operation(
                method="GET",
                path=f"{one}/log",
                name="getUpdateLog",
                says="The newest 2,000 lines of the log of its build.",
                act=self.log,
                answer=lists.Log,
                refusals=(404,),
            ),
            self._decision("approve", self.approve, DecisionBody, "Give one's vote."),
            self._decision("reject", self.reject, DecisionBody, "End it; nothing was touched."),
            self._decision("snooze", self.snooze, SnoozeBody, "Put it off."),
        ]

    def _decision(
        self,
        what: str,
        act: Callable[[Asked], Awaitable[Response]],
        body: type[msgspec.Struct],
        says: str,
    ) -> Operation:
        return Operation(
            method="POST",
            path=f"/updates/{{id}}/{what}",
            name=f"{what}Update",
            says=says,
            act=act,
            role=Role.APPROVER,
            body=body,
            answer=lists.Decided,
            refusals=(404, 409),
        )

    async def updates(self, asked: Asked) -> Response:
        store, query = self.service.store, asked.query
        if query.cluster is not UNSET and query.pool is not UNSET:
            jobs = await store.history(query.cluster, query.pool, MOST_OF_POOL)
        else:
            # In this order: one that ends in between is in both, and never in none.
            jobs = await store.jobs(JobKind.UPDATE, ended=False)
            jobs += await store.jobs(JobKind.UPDATE, ended=True)
        known = {update.id: update for update in shown.updates_of(jobs)}
        wanted = [update for update in known.values() if _fits(update, query)]
        found, following = paging.cut("updates", wanted, query, age)
        made = await shown.moving_rows(store, found)
        return paging.answer(asked.request, "updates", made, following)

    async def update(self, asked: Asked) -> Response:
        update = await self._found(asked)
        return as_json(await shown.update_page(self.service.store, update))

    async def log(self, asked: Asked) -> Response:
        update = await self._found(asked)
        lines = await self.service.store.log(update.build) if update.build else []
        return as_json({"id": update.build, "lines": lines})

    async def approve(self, asked: Asked) -> Response:
        return await self._decided(asked, self.service.people.approve)

    async def reject(self, asked: Asked) -> Response:
        return await self._decided(asked, self.service.people.reject)

    async def snooze(self, asked: Asked) -> Response:
        binding = _binding(asked.body.binding)
        update = await self._found(asked)
        until = self.until(f"{update.cluster}/{update.pool}", asked.body.until)
        with self.counting():
            outcome = await self.service.people.snooze(
                update.id, by=asked.by, until=until, binding=binding, surface=SURFACE
            )
        return _decision(outcome)

    async def _decided(self, asked: Asked, decide: Callable[..., Awaitable[Outcome]]) -> Response:
        binding = _binding(asked.body.binding)
        update = await self._found(asked)
        with self.counting():
            outcome = await decide(
                update.id, by=asked.by, binding=binding, reason=asked.body.reason, surface=SURFACE
            )
        return _decision(outcome)

    async def _found(self, asked: Asked) -> Update:
        job = await job_of(self, asked.path["id"])
        if isinstance(job, Update):
            return job
        raise Problem(404, "no such update; /api/v1/updates lists them")


async def job_of(face: Face, job_id: str) -> Job | None:
    """Return the job that a path names, None if there is none of this id."""
    if not LOG_ID.fullmatch(job_id):
        return None
    try:
        return (await face.service.store.get(job_id)).job
    except KeyError:
        return None


def age(job: Job) -> tuple[str, str]:
    """Return what the newest has most of: when it was made, and its id."""
    return (job.created_at.isoformat(timespec="microseconds"), job.id)


def _fits(update: Update, query: Filter) -> bool:
    wanted = ((query.cluster, update.cluster), (query.pool, update.pool))
    return all(named in (UNSET, is_) for named, is_ in (*wanted, (query.state, update.state)))


def _binding(text: str) -> Digest:
    try:
        return Digest(text)
    except Malformed as error:
        raise Problem(422, f"binding: {error}") from error


def _decision(outcome: Outcome) -> Response:
    row = shown.update_row(outcome.update)
    return as_json({"sentence": outcome.sentence, "update": row})
