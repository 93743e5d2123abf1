"""Images looked for where a real update would: each place in order, each step of it a line.

A place is a mirror or the source. The first that gives the image ends the search, as it does for
the service, so a failure at a place before that is only a warning.
"""

from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import replace
from typing import TypeVar

from watcher.cli.doctor_steps import Patience, Tried, alone, counted, skipped, softened, tried
from watcher.clients.access import Ways
from watcher.clients.registry import Manifest, NotFound, RegistryClient, Unauthorised
from watcher.clients.registry_checks import FoundLogin, HostChecks, LoginSource, login_of
from watcher.core.facts import Digest, Pullspec, Repository
from watcher.core.mirrors import Mirrors
from watcher.findings import Finding, Level

T = TypeVar("T")
_NEXT = "the next place is asked"
_ABSENT = Digest("sha256:" + "0" * 64)
"""No image has it: asking for it shows whether one is let in."""


class Places:
    """Registries as seen from one cluster, or from none. Remembers what a host came to."""

    def __init__(
        self,
        client: RegistryClient,
        ways: Ways,
        sources: Sequence[LoginSource],
        *,
        patience: Patience,
        prefix: str,
    ) -> None:
        """`client` goes these ways; `sources` are their logins, with where they are from."""
        self.client = client
        self.ways = ways
        self._sources = sources
        self._direct = client.using(mirrors=Mirrors())
        self._hosts = HostChecks(client)
        self._seconds = patience.step_seconds
        self._prefix = prefix
        self._answers: dict[str, Finding] = {}
        self.found: dict[Pullspec, Manifest] = {}
        """What was read, by the name of its source."""

    def answers(self, host: str) -> bool:
        """Whether the last look at this host went well."""
        return host in self._answers and self._answers[host].level is Level.OK

    async def host(self, host: str) -> AsyncIterator[Finding]:
        """Name and connection; nothing where that was told already."""
        if host in self._answers:
            return
        what = f"{self._prefix}connection {host}"
        if why := self._hosts.needs_no_name(host):
            yield skipped(f"{self._prefix}name {host}", why)
        else:
            name = await self._try(f"name {host}", alone(self._hosts.name(host)))
            yield name.finding
            if name.error:
                self._answers[host] = name.finding
                yield skipped(what, "the name does not resolve")
                return
        answer = await self._try(f"connection {host}", alone(self._hosts.connection(host)))
        self._answers[host] = answer.finding
        yield answer.finding

    async def read(self, image: Pullspec, what: str) -> AsyncIterator[Finding]:
        """Look for an image's manifest; see `found` for what came of it."""
        places = self.ways.mirrors.places(image.repository, by_digest=True)
        yield _order(f"{self._prefix}{what}: places", image.repository, places)
        passing = False
        for place in places:
            is_last = place == places[-1]
            async for one in self._at(place, image, f"{what}: manifest"):
                passing = passing or one.passing
                yield replace(one, passing=passing) if is_last else softened(one, _NEXT)
            if image in self.found:
                return

    async def _at(self, place: Repository, image: Pullspec, what: str) -> AsyncIterator[Finding]:
        before = self._answers.get(place.host)
        async for one in self.host(place.host):
            yield one
        if not self.answers(place.host):
            why = f"there is no connection to {place.host}, see above"
            level = Level.FAILED if before else Level.SKIPPED  # else it was told just now
            yield Finding(level, f"{self._prefix}{what}", why, bool(before and before.passing))
            return
        login = login_of(self._sources, place)
        if login.broken:
            yield self._login_failed(place, login, login.broken)
            return
        reading = await self._try(what, self._manifest(place, image))
        if isinstance(reading.error, Unauthorised):
            yield self._login_failed(place, login, _answer(reading.error))
            return
        if reading.error is None or isinstance(reading.error, NotFound):
            yield self._let_in(place, login)
        if reading.result is not None:
            self.found[image] = reading.result
        yield reading.finding

    async def _manifest(self, place: Repository, image: Pullspec) -> tuple[str, Manifest]:
        manifest = await self._direct.manifest(place.at(image.digest))
        role = "source" if place == image.repository else "mirror"
        count = len(manifest.entries)
        kind = f"an index of {counted(count, 'platform')}" if manifest.is_index else "one image"
        return f"read from the {role} {place}: {kind}", replace(
            manifest, repository=image.repository
        )

    async def _try(self, what: str, work: Awaitable[tuple[str, T]]) -> Tried[T]:
        return await tried(f"{self._prefix}{what}", work, seconds=self._seconds)

    # --- what we push to, and what nodes pull -----------------------------------------------------

    async def push(self, target: Repository, recipe: str) -> AsyncIterator[Finding]:
        """Begin an upload and cancel it."""
        async for one in self.host(target.host):
            yield one
        what = f"{self._prefix}push {recipe}"
        if not self.answers(target.host):
            yield skipped(what, f"there is no connection to {target.host}")
            return
        login = login_of(self._sources, target)
        if login.broken:
            yield self._login_failed(target, login, login.broken)
            yield skipped(what, "the login fails")
            return
        trial = await self._try(f"push {recipe}", self._begin(target))
        if not isinstance(trial.error, Unauthorised):
            if trial.error is None:
                yield self._let_in(target, login)
            yield trial.finding
        elif said := await self._why_no_reading(target):
            yield self._login_failed(target, login, said)
            yield skipped(what, "the login fails")
        else:
            yield self._let_in(target, login)
            yield Finding(Level.FAILED, what, _no_right(target, login, trial.error))

    async def _begin(self, target: Repository) -> tuple[str, None]:
        await self.client.try_upload(target)
        return f"{target} takes uploads: one was begun and cancelled", None

    async def _why_no_reading(self, target: Repository) -> str:
        """Why not even reading is allowed with the same login; empty where it is."""
        found = await self._try("login", self._exists(self._direct, target))
        return _answer(found.error) if isinstance(found.error, Unauthorised) else ""

    async def _exists(self, client: RegistryClient, target: Repository) -> tuple[str, None]:
        await client.exists(target.at(_ABSENT))
        return "", None

    async def pull(
        self, nodes: RegistryClient, target: Repository, recipe: str, *, secret: str
    ) -> Finding:
        """Whether nodes would be let in; that no image is there yet is fine."""
        asked = await self._try(f"pull {recipe}", self._exists(nodes, target))
        if asked.error is None:
            return replace(asked.finding, said=f"{target} lets nodes in with {secret}")
        if not isinstance(asked.error, Unauthorised):
            return asked.finding
        step = (
            f"nodes pull with {secret} alone: add a login for {target} to it (`oc set data "
            "secret/pull-secret -n openshift-config --from-file=.dockerconfigjson=FILE`), or let "
            "everybody read there"
        )
        return replace(asked.finding, said=f"{_answer(asked.error)}; {step}")

    # --- logins -----------------------------------------------------------------------------------

    def _let_in(self, place: Repository, login: FoundLogin) -> Finding:
        how = f"let in; its login is {login.name} of {login.where}"
        if not login.name:
            how = f"let in without a login: {self._none()}"
        return Finding(Level.OK, f"{self._prefix}login {place.host}", f"{place}: {how}")

    def _login_failed(self, place: Repository, login: FoundLogin, why: str) -> Finding:
        if login.broken:
            step = f"put user and password for {login.name} there anew (`podman login`)"
        elif login.name:
            step = f"the login {login.name} of {login.where} was shown: renew it there"
        else:
            step = f"no login was shown, as {self._none()}: add one, with "
            step += f"`podman login --authfile FILE {place.host}`"
        return Finding(Level.FAILED, f"{self._prefix}login {place.host}", f"{why}; {step}")

    def _none(self) -> str:
        names = [source.where for source in self._sources]
        if len(names) == 1:
            return f"{names[0]} has none for it"
        return f"neither {' nor '.join(names)} has one for it"


def _answer(error: Exception) -> str:
    """Without the client's own advice, as ours is more exact."""
    return str(error).partition(": check the credentials for")[0]


def _no_right(target: Repository, login: FoundLogin, error: Exception) -> str:
    whom = f"the login {login.name} of {login.where}" if login.name else "who has no login"
    return (
        f"{_answer(error)}; {whom} may read there but not push: give it the right to push to "
        f"{target}, or name another login in registry.auth_file"
    )


def _order(what: str, source: Repository, places: Sequence[Repository]) -> Finding:
    named = [f"{p} ({'source' if p == source else 'mirror'})" for p in places]
    if not named:
        why = f"{source}: a mirror set says NeverContactSource, and none names a mirror of it by "
        why += "digest; add one to its ImageDigestMirrorSet (or file of registry.mirror_files)"
        return Finding(Level.FAILED, what, why)
    more = "" if source in places else "; the source is not asked: NeverContactSource"
    return Finding(Level.OK, what, ", then ".join(named) + more)
