"""Builds, and jobs that were set aside."""

import asyncio
from dataclasses import dataclass, replace
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.responses import Response

from watcher import shown
from watcher.core.build import Build, BuildState
from watcher.core.jobs import Job, JobKind
from watcher.core.update import Update
from watcher.engine import noted
from watcher.web.api import lists, paging, rows
from watcher.web.api.operation import Asked, Nothing, Operation
from watcher.web.api.paging import Page
from watcher.web.api.updates import Reason, age, job_of
from watcher.web.callers import Role
from watcher.web.face import SURFACE, Face, as_json
from watcher.web.problems import Problem

NO_BUILD = "no such build; /api/v1/builds lists them"


class BuildFilter(Page, kw_only=True):
    state: BuildState | UnsetType = UNSET
    recipe: Annotated[str, Meta(min_length=1, max_length=253)] | UnsetType = UNSET


class CancelBody(msgspec.Struct, forbid_unknown_fields=True):
    reason: Reason = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Builds(Face):
    def operations(self) -> list[Operation]:
        """Return them in the order of the document."""
        one = "/builds/{id}"
        return [
            Operation(
                method="GET",
                path="/builds",
                name="listBuilds",
                says="Builds, newest first: all that have not ended, and the newest 500 that have.",
                act=self.builds,
                query=BuildFilter,
                answer=lists.Builds,
            ),
            Operation(
                method="GET",
                path=one,
                name="getBuild",
                says="One build with its progress and audit trail.",
                act=self.build,
                answer=rows.BuildPage,
                refusals=(404,),
            ),
            Operation(
                method="GET",
                path=f"{one}/log",
                name="getBuildLog",
                says="The newest 2,000 lines of its log.",
                act=self.log,
                answer=lists.Log,
                refusals=(404,),
            ),
            Operation(
                method="POST",
                path=f"{one}/cancel",
                name="cancelBuild",
                says="End a build; the updates that wait for it fail, their clusters untouched.",
                act=self.cancel,
                role=Role.OPERATOR,
                body=CancelBody,
                answer=lists.Cancelled,
                refusals=(404, 409),
            ),
            Operation(
                method="GET",
                path="/dead-letters",
                name="listDeadLetters",
                says="Jobs that were set aside because handling them crashed again and again.",
                act=self.dead,
                query=Page,
                answer=lists.DeadLetters,
            ),
            Operation(
                method="POST",
                path="/dead-letters/{id}/revive",
                name="reviveDeadLetter",
                says="Put one back into the queue.",
                act=self.revive,
                role=Role.OPERATOR,
                body=Nothing,
                answer=lists.Revived,
                refusals=(404, 409),
            ),
        ]

    async def builds(self, asked: Asked) -> Response:
        store, query = self.service.store, asked.query
        jobs = await store.jobs(JobKind.BUILD, ended=False)
        jobs += await store.jobs(JobKind.BUILD, ended=True)
        known = {one.job.id: one.job for one in jobs if isinstance(one.job, Build)}
        wanted = [
            build
            for build in known.values()
            if query.state in (UNSET, build.state) and query.recipe in (UNSET, build.recipe)
        ]
        found, following = paging.cut("builds", wanted, query, age)
        made = [shown.build_row(build) for build in found]
        return paging.answer(asked.request, "builds", made, following)

    async def build(self, asked: Asked) -> Response:
        build, store = await self._found(asked), self.service.store
        progress, audit = await asyncio.gather(store.progress(build.id), store.audit(build.id))
        trail = [shown.audit_row(entry) for entry in audit]
        return as_json({**shown.build_row(build), "progress": dict(progress), "audit": trail})

    async def log(self, asked: Asked) -> Response:
        build = await self._found(asked)
        return as_json({"id": build.id, "lines": await self.service.store.log(build.id)})

    async def cancel(self, asked: Asked) -> Response:
        """To end a build is to end the updates that wait for it: one must be allowed to."""
        build, by, service = await self._found(asked), asked.by, self.service
        with self.counting():
            for update in shown.updates_of(await service.store.jobs(JobKind.UPDATE, ended=False)):
                if update.build == build.id:
                    place = f"{update.cluster}/{update.pool}"
                    await service.rights.check("Cancel", place, by=by, surface=SURFACE)
        async with self.auditing("Cancel", "", by=by, job=build.id):
            after = await service.people.cancel_build(
                build.id, by=by, reason=asked.body.reason, surface=SURFACE
            )
        said = f"{after.id} is cancelled; the updates that waited for it fail, nothing was touched"
        return as_json({"sentence": said, "build": shown.build_row(after)})

    async def dead(self, asked: Asked) -> Response:
        dead = [(stored.job, because) for stored, because in await self.service.store.dead()]
        found, following = paging.cut("dead", dead, asked.query, lambda one: _changed(one[0]))
        made = [_dead_row(job, because) for job, because in found]
        return paging.answer(asked.request, "dead_letters", made, following)

    async def revive(self, asked: Asked) -> Response:
        by, service = asked.by, self.service
        job = await job_of(self, asked.path["id"])
        if job is None or job.id not in {one.job.id for one, _ in await service.store.dead()}:
            raise Problem(404, "no such dead letter; /api/v1/dead-letters lists them")
        if isinstance(job, Update):
            with self.counting():
                place = f"{job.cluster}/{job.pool}"
                await service.rights.check("Revive", place, by=by, surface=SURFACE)
        entry = noted(job, "Revived", by=by, now=service.clock.now())
        try:
            await service.store.revive(job.id, replace(entry, surface=SURFACE))
        except KeyError:
            raise Problem(404, f"{job.id} is no dead letter any more") from None
        return as_json({"sentence": f"{job.id} is in the queue again", "id": job.id})

    async def _found(self, asked: Asked) -> Build:
        job = await job_of(self, asked.path["id"])
        if isinstance(job, Build):
            return job
        raise Problem(404, NO_BUILD)


def _changed(job: Job) -> tuple[str, str]:
    return (job.changed_at.isoformat(timespec="microseconds"), job.id)


def _dead_row(job: Job, because: str) -> shown.Row:
    update = job if isinstance(job, Update) else None
    return {
        "id": job.id,
        "job": "update" if update else "build",
        "cluster": update.cluster if update else "",
        "pool": update.pool if update else "",
        "state": str(job.state),
        "because": because,
        "changed_at": job.changed_at.isoformat(),
    }
