"""Silences: alerts that somebody wants to hear nothing of for a while."""

from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.responses import Response

from watcher import scopes, shown
from watcher.alert_rules import RULES
from watcher.web.api import lists
from watcher.web.api.operation import Asked, Operation
from watcher.web.api.updates import Reason, Until
from watcher.web.callers import Role
from watcher.web.face import SURFACE, Face, as_json
from watcher.web.problems import Problem

Scope = Annotated[
    str,
    Meta(max_length=600, description='A cluster, a pool as cluster/pool, or "" for everything.'),
]
Rule = Annotated[str, Meta(max_length=200, description='An alert rule, or "" for all.')]


class SilenceBody(msgspec.Struct, forbid_unknown_fields=True):
    """`scope` and `rule` are never left out: nobody mutes all by a slip."""

    scope: Scope
    rule: Rule
    reason: Reason
    until: Until


class UnsilenceQuery(msgspec.Struct, forbid_unknown_fields=True):
    id: Annotated[str, Meta(min_length=1, max_length=100, description="`id` of the silence.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Silences(Face):
    def operations(self) -> list[Operation]:
        """Return them in the order of the document."""
        return [
            Operation(
                method="GET",
                path="/silences",
                name="listSilences",
                says="Silences in force; the one that ends first comes first.",
                act=self.silences,
                answer=lists.Silences,
            ),
            Operation(
                method="POST",
                path="/silences",
                name="silence",
                says="Hold back what is told of alerts until a moment.",
                act=self.silence,
                role=Role.OPERATOR,
                body=SilenceBody,
                answer=lists.Silenced,
                refusals=(404, 409),
            ),
            Operation(
                method="DELETE",
                path="/silences",
                name="unsilence",
                says="Lift one.",
                act=self.unsilence,
                role=Role.OPERATOR,
                query=UnsilenceQuery,
                answer=lists.Silenced,
                refusals=(409,),
            ),
        ]

    async def silences(self, asked: Asked) -> Response:
        now = self.service.clock.now()
        return as_json({"silences": await shown.silences(self.service.store, now=now)})

    async def silence(self, asked: Asked) -> Response:
        by, body, service = asked.by, asked.body, self.service
        if not body.reason.strip():
            raise Problem(
                422, "reason: say why; whoever wonders why nothing was told wants to know"
            )
        if body.rule and body.rule not in RULES:
            raise Problem(422, f"rule: there is: {', '.join(RULES)}")
        if because := scopes.why_no_place(self.settings, body.scope):
            raise Problem(404, f"scope: {because}")
        until = self.until(body.scope, body.until)
        with self.counting():
            await service.rights.check_silence(body.scope, by=by, surface=SURFACE)
        async with self.auditing("Silence", body.scope, by=by):
            made = await service.people.silence(
                body.scope,
                rule=body.rule,
                by=by,
                because=body.reason,
                until=until,
                surface=SURFACE,
            )
        sentence = scopes.silenced_sentence(self.settings, made)
        return as_json({"sentence": sentence, "silence": shown.silence_row(made)})

    async def unsilence(self, asked: Asked) -> Response:
        by, service = asked.by, self.service
        with self.counting():
            lifted = await service.rights.check_unsilence(asked.query.id, by=by, surface=SURFACE)
        async with self.auditing("Unsilence", lifted.scope, by=by):
            await service.people.unsilence(lifted, by=by, surface=SURFACE)
        sentence = await scopes.unsilenced_sentence(service.store, lifted, now=service.clock.now())
        return as_json({"sentence": sentence, "silence": shown.silence_row(lifted)})
