"""Builds any recipe with buildah, in a storage of our own that it shares with nobody.

buildah gets a list of arguments, an environment made from nothing, and files in a private
directory: its Containerfile, the staged context, login and trust. Nothing of the machine's own
configuration decides where it pulls from, except /etc/containers/policy.json.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from watcher.clients.access import Access, Ways
from watcher.clients.builders import access as files
from watcher.clients.builders import manifests, process
from watcher.clients.builders.failures import problem
from watcher.clients.builders.process import Ended, Program
from watcher.clients.builders.settings import BuildahSettings
from watcher.clients.builders.workplace import SEARCH_PATH, Kept, Workplace, silent
from watcher.clients.recipes import stage_recipe
from watcher.clients.registry import RegistrySettings
from watcher.clients.registry.model import OCI_INDEX
from watcher.core.containerfile import scan
from watcher.core.facts import Digest, Malformed, Pullspec
from watcher.core.rebase import rebase
from watcher.ports import BuildOrder, Log, OutsideError, Refused, Transient

_NO_RULES = "ignore-nothing"
_KNOWS_HEREDOCS = (1, 33)
_VERSION = re.compile(r"version (\d+)\.(\d+)")


class Buildah:
    """One work directory, one build at a time. `found` makes it."""

    name = "buildah"

    def __init__(
        self,
        settings: BuildahSettings,
        registry: RegistrySettings,
        access: Access,
        *,
        version: tuple[int, int],
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._access = access
        self._version = version
        self._place = Workplace(settings)

    @classmethod
    async def found(
        cls, settings: BuildahSettings, registry: RegistrySettings, access: Access
    ) -> Self:
        """Ask the program for its version; raise Refused if it is not there or does not say it.

        `registry` says which hosts are spoken to without TLS, and the configured authorities.
        """
        asked = cls(settings, registry, access, version=(0, 0))
        # Not owned: another process may build there, and asking for the version disturbs nobody.
        asked._place.make()
        ended = await process.run(asked._program(["--version"], home=None), silent)
        version = _VERSION.search(" ".join(ended.last_lines))
        if not version:
            raise Refused(f"{settings.program} --version does not answer as buildah does")
        return cls(settings, registry, access, version=(int(version[1]), int(version[2])))

    def refuses(self, order: BuildOrder) -> list[str]:
        try:
            rebase(order.recipe.containerfile, order.base, build_args=order.recipe.build_args)
            lines = scan(order.recipe.containerfile).heredoc_lines
        except Malformed as error:
            return [str(error)]
        if lines and self._version < _KNOWS_HEREDOCS:
            version = ".".join(map(str, self._version))
            return [
                f"line {line}: buildah {version} knows no heredocs (1.33 does)" for line in lines
            ]
        return []

    async def build(self, order: BuildOrder, log: Log) -> Pullspec:
        if reasons := self.refuses(order):
            raise Refused("; ".join(reasons))
        ways = await self._access.ways(order.cluster)
        async with self._place.owned():
            if self._place.is_unclean:
                await self._recover()
            try:
                digest = await self._build(order, self._place.begin(), ways, log)
            except OSError as error:
                await self._recover()
                raise Transient(
                    f"{self._settings.work} cannot be written ({error.strerror}): "
                    "free some space there"
                ) from error
            except BaseException:
                # Cancelled once more meanwhile, the mark stays and the next build goes on here.
                await self._recover()
                raise
            self._place.end()
        return order.target.at(digest)

    async def clean(self, build: str) -> None:
        """Everything unclean is of a build that nobody works on, whichever it was."""
        async with self._place.owned():
            if self._place.is_unclean:
                await self._recover()

    async def _build(self, order: BuildOrder, home: Path, ways: Ways, log: Log) -> Digest:
        secrets = await asyncio.to_thread(files.write_access, home, self._registry, ways)
        context = home / "context"
        context.mkdir()
        await asyncio.to_thread(stage_recipe, order.recipe, order.context, into=context)
        # A name of its own for each attempt: an older result of that name would be added to.
        name = f"localhost/relayer-build:{home.name}"
        kept = self._place.kept()
        bases = [str(order.base), *(base for base in kept.bases if base != order.base)]
        # Written before it is there: a name too many is harmless, one too few stays for ever.
        self._place.keep(Kept(results=[*kept.results, name], bases=bases))
        job = _Job(order=order, home=home, name=name, log=log, secrets=secrets)
        surplus = bases[self._settings.kept_bases :]
        await self._build_and_prune(job, [*kept.results, *surplus])
        self._place.keep(Kept(results=[name], bases=bases[: self._settings.kept_bases]))
        return await (self._push_index(job) if len(order.platforms) > 1 else self._push(job))

    async def _build_and_prune(self, job: "_Job", surplus: Sequence[str]) -> None:
        """Both at once: removing the last result takes a tenth of a warm build."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._prune(surplus))
                group.create_task(self._run_build(job))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _run_build(self, job: "_Job") -> None:
        argv = self._build_argv(job)
        ended = await self._run(argv, job, self._settings.build_seconds)
        if ended.code != 0:
            raise problem("the build", ended)

    def _build_argv(self, job: "_Job") -> list[str]:
        order = job.order
        rebased = rebase(order.recipe.containerfile, order.base, build_args=order.recipe.build_args)
        containerfile = job.home / "Containerfile"
        containerfile.write_bytes(rebased.text.encode())
        (job.home / _NO_RULES).touch()
        arguments = {**order.recipe.build_args, **rebased.build_args}
        several = len(order.platforms) > 1
        return [
            *("build", "--pull-always", "--format", "oci", "--layers=false"),
            # One place repeats: the queue, which also waits in between.
            "--retry=0",
            *("--isolation", self._settings.isolation, "--identity-label=false"),
            *("--authfile", str(job.home / files.AUTH)),
            *("--timestamp", str(int(order.created.timestamp()))),
            *_each("--label", order.labels),
            *_each("--annotation", order.labels),
            *_each("--build-arg", arguments),
            *("--platform", ",".join(order.platforms)),
            *("--manifest" if several else "--tag", job.name),
            # Applied when the recipe was read; what is in the context is all to be seen.
            *("--ignorefile", str(job.home / _NO_RULES)),
            *("--file", str(containerfile), str(job.home / "context")),
        ]

    async def _push(self, job: "_Job") -> Digest:
        written = job.home / "digest"
        await self._run_push(["push", "--retry=0", "--digestfile", str(written)], job)
        try:
            return Digest(written.read_text().strip())
        except (OSError, Malformed) as error:
            raise Transient(f"buildah pushed, but did not say what: {error}") from error

    async def _push_index(self, job: "_Job") -> Digest:
        await self._run_push(["manifest", "push", "--all"], job)
        # Unlike those of a single image, its parts have no name by which they go later.
        await self._prune([job.name])
        await self._small(["rmi", "--prune", "--force"])
        # buildah lists the platforms in the order of the day, without annotations, and 1.28 does
        # not say the digest: so the index is written once more, over the same images.
        order = job.order
        client = await self._access.client(order.cluster)
        parts = []
        for platform in map(manifests.platform, order.platforms):
            part = await client.direct.platform_manifest((order.target, order.tag), platform)
            parts.append(manifests.Made(platform=platform, raw=part.raw))
        raw = manifests.index(parts, order.labels)
        return await client.put_manifest(order.target, order.tag, media_type=OCI_INDEX, raw=raw)

    async def _run_push(self, verb: Sequence[str], job: "_Job") -> None:
        target = f"docker://{job.order.target}:{job.order.tag}"
        # `manifest push` of 1.28 does not look into registries.conf for this.
        is_insecure = job.order.target.host in self._registry.insecure_hosts
        plain = ["--tls-verify=false"] if is_insecure else []
        login = ["--authfile", str(job.home / files.AUTH)]
        argv = [*verb, *plain, *login, job.name, target]
        ended = await self._run(argv, job, self._settings.push_seconds, registries=files.TARGETS)
        if ended.code != 0:
            raise problem("the push", ended)

    async def _prune(self, names: Sequence[str]) -> None:
        """Remove images; what cannot be removed costs disk, not the build."""
        if names:
            with suppress(OutsideError):
                await self._small(["rmi", "--force", *names])

    async def _recover(self) -> None:
        """Remove all that a broken build left; where that fails it is left for the next time.

        The storage is a cache: if buildah cannot tidy it up, it goes as a whole.
        """
        place = self._place
        with suppress(OutsideError, OSError):
            await place.stop_leftovers()
            kept = place.kept()
            removed = await self._small(["rm", "--all"])
            await place.stop_leftovers()
            if removed.code != 0:
                place.discard_storage()
            else:
                await self._prune(kept.results)
                await self._small(["rmi", "--prune", "--force"])
                place.keep(Kept(bases=kept.bases))
            place.end()

    async def _small(self, argv: Sequence[str]) -> Ended:
        return await process.run(
            self._program(argv, home=None, timeout=self._settings.small_seconds), silent
        )

    async def _run(
        self,
        argv: Sequence[str],
        job: "_Job",
        timeout: float,
        *,
        registries: str = files.REGISTRIES,
    ) -> Ended:
        program = self._program(
            argv, home=job.home, registries=registries, timeout=timeout, secrets=job.secrets
        )
        return await process.run(program, job.log)

    def _program(
        self,
        argv: Sequence[str],
        *,
        home: Path | None,
        registries: str = files.REGISTRIES,
        timeout: float = 60.0,
        secrets: Sequence[str] = (),
    ) -> Program:
        place = self._place
        own = {
            "PATH": SEARCH_PATH,
            "LANG": "C.UTF-8",
            "HOME": str(home or place.path),
            "TMPDIR": str(place.temporary),
            "CONTAINERS_STORAGE_CONF": str(place.storage_conf()),
        }
        if home:
            own["CONTAINERS_REGISTRIES_CONF"] = str(home / registries)
        storage = [
            *("--root", str(place.storage), "--runroot", str(place.run)),
            *("--storage-driver", self._settings.storage_driver),
        ]
        return Program(
            argv=[self._settings.program, *storage, *argv],
            work=place.path,
            environment={**self._settings.environment, **own},
            timeout_seconds=timeout,
            grace_seconds=self._settings.grace_seconds,
            secrets=secrets,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One build on its way."""

    order: BuildOrder
    home: Path
    """Its private directory."""
    name: str
    """Of the result in our storage."""
    log: Log
    secrets: Sequence[str]


def _each(flag: str, pairs: Mapping[str, str]) -> list[str]:
    return [word for name, value in sorted(pairs.items()) for word in (flag, f"{name}={value}")]
