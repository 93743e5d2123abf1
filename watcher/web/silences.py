"""The API about silences: alerts that somebody wants to hear nothing of for a while."""

from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watcher import scopes, shown
from watcher.alert_rules import RULES
from watcher.web.face import SURFACE, Face, as_json, read_body
from watcher.web.problems import Problem


class SilenceBody(msgspec.Struct, forbid_unknown_fields=True):
    scope: str
    """A cluster, a pool as cluster/pool, or "" for everything."""
    rule: str
    """An alert rule, or "" for all. Never left out, like the scope: nobody mutes all by a slip."""
    reason: str
    until: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Silences(Face):
    def routes(self) -> list[Route]:
        """Return the routes below /api/v1."""
        return [
            Route("/silences", self.silences),
            Route("/silences", self.silence, methods=["POST"]),
            Route("/silences", self.unsilence, methods=["DELETE"]),
        ]

    async def silences(self, request: Request) -> Response:
        self.access.reader(request)
        now = self.service.clock.now()
        return as_json({"silences": await shown.silences(self.service.store, now=now)})

    async def silence(self, request: Request) -> Response:
        by, service = self.access.writer(request), self.service
        body = await read_body(request, SilenceBody)
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

    async def unsilence(self, request: Request) -> Response:
        """Lift the silence `?id=`."""
        by, service = self.access.writer(request), self.service
        named = request.query_params.get("id", "")
        if not named:
            raise Problem(422, "say which: ?id=s-…; GET lists them")
        with self.counting():
            lifted = await service.rights.check_unsilence(named, by=by, surface=SURFACE)
        async with self.auditing("Unsilence", lifted.scope, by=by):
            await service.people.unsilence(lifted, by=by, surface=SURFACE)
        sentence = await scopes.unsilenced_sentence(service.store, lifted, now=service.clock.now())
        return as_json({"sentence": sentence, "silence": shown.silence_row(lifted)})
