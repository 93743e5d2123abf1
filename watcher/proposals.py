"""Updates as they are first written: what a pool shall come to, under which policy, and why.

What people are shown beside it is gathered here too, once; nothing is decided upon it, so whatever
cannot be read stays empty.
"""

import asyncio
import hashlib
import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from watcher.core import mco
from watcher.core.approval import PERSON
from watcher.core.build import Build
from watcher.core.changes import Change, change_of
from watcher.core.drift import Observation, Rebuild
from watcher.core.facts import Digest, Malformed, Pullspec
from watcher.core.release import Base
from watcher.core.update import NOT_BEGUN, Background, Target, Update, asked_by_person
from watcher.core.update_events import Kind, UpdateState
from watcher.ports import Change as Write
from watcher.ports import Conflict, Images, OutsideError, Store
from watcher.settings import PoolSettings, Settings

NO_RECIPE = Digest("sha256:" + hashlib.sha256(b"").hexdigest())
"""Stands for the recipe in the binding of a request for the stock image."""
STOCK = "stock"
OS_VERSION = "org.opencontainers.image.version"
"""Label that RHCOS images carry and layered ones inherit (openshift/os docs/faq.md)."""
COMPLAINTS = 10
"""Of lint, kept with an update: who has more must fix the recipe, or ignore rules in it."""
REMEMBERED = 20
"""Updates of a pool that are looked through for one that tells how long a node takes."""


def kind_of_change(seen: Observation) -> Change:
    """Return which kind of change the pool's update would be."""
    had = seen.running.lineage.release_version if seen.running else ""
    return change_of(had, seen.release.desired.version)


def layered(
    seen: Observation,
    wanted: Rebuild,
    build: Build,
    *,
    settings: Settings,
    by: str,
    background: Background,
    now: datetime,
) -> Update:
    """Return the update that brings the pool to the recipe's image on the wanted base."""
    change, place = kind_of_change(seen), _configured(settings, seen)
    policy = place.policy_for(change)
    if wanted.downgrade_allowed:
        policy = asked_by_person(policy)
    return Update(
        id=f"u-{secrets.token_hex(4)}",
        cluster=seen.cluster,
        pool=seen.pool.name,
        kind=Kind.LAYERED,
        target=Target(
            release_version=wanted.base.release.version,
            release_image=wanted.base.release.image,
            base=wanted.base.image,
            recipe=wanted.recipe.name,
            recipe_digest=wanted.recipe.digest,
            build_key=wanted.recipe.build_key,
        ),
        policy=policy,
        because=wanted.because,
        requested_by=by,
        created_at=now,
        changed_at=now,
        build=build.id,
        downgrade_allowed=wanted.downgrade_allowed,
        change=change,
        authors=_authors(settings, wanted.recipe.name, by),
        background=background,
        times=((str(UpdateState.WAITING_FOR_BUILD), now),),
    )


def stock(
    seen: Observation,
    base: Base,
    *,
    settings: Settings,
    by: str,
    background: Background,
    now: datetime,
) -> Update:
    """Return the update that takes our override away; people approve it, never the policy."""
    asks = asked_by_person(_configured(settings, seen).policy)
    return Update(
        id=f"u-{secrets.token_hex(4)}",
        cluster=seen.cluster,
        pool=seen.pool.name,
        kind=Kind.STOCK,
        target=Target(
            release_version=base.release.version,
            release_image=base.release.image,
            base=base.image,
            recipe=STOCK,
            recipe_digest=NO_RECIPE,
            build_key=STOCK,
        ),
        policy=asks,
        because=f"{by} asked for the stock image",
        requested_by=by,
        created_at=now,
        changed_at=now,
        expires_at=now + timedelta(seconds=asks.approval.ask_seconds),
        state=UpdateState.AWAITING_APPROVAL,
        image=base.image,
        authors=_authors(settings, "", by),
        background=background,
        times=((str(UpdateState.AWAITING_APPROVAL), now),),
    )


def same(active: Update, wanted: Update) -> bool:
    """Whether the active update leads where the wanted one would, under the same policy."""
    return (
        active.kind is wanted.kind
        and active.target == wanted.target
        and active.policy.digest() == wanted.policy.digest()
        and (active.downgrade_allowed or not wanted.downgrade_allowed)
    )


async def tell_signature(store: Store, update: str, seen: Observation) -> None:
    """Write what is known of the release's signature now beside an update that has not begun.

    Whoever approves reads it as of now: a signature may have come since, or turned out bad.
    """
    stored = await store.get(update)
    job = stored.job
    if not isinstance(job, Update) or job.state not in NOT_BEGUN:
        return
    told, said = seen.genuine.told, job.background
    is_its_release = job.target.release_image.digest == seen.release.desired.image.digest
    if not is_its_release or said.signature == told:
        return
    job = replace(job, background=replace(said, signature=told))
    with suppress(Conflict):  # somebody decided just now: written at the next look
        await store.commit([Write(job=job, expected=stored.version)], [])


def _configured(settings: Settings, seen: Observation) -> PoolSettings:
    found = settings.pool(seen.cluster, seen.pool.name)
    return found or PoolSettings(cluster=seen.cluster, pool=seen.pool.name, recipe="")


def _authors(settings: Settings, recipe: str, by: str) -> tuple[str, ...]:
    """Every name of whoever asked for it and of whoever writes the recipe."""
    try:
        wrote = settings.recipe(recipe).authors
    except KeyError:
        wrote = ()
    names: dict[str, None] = {}
    for identity in (by, *wrote):
        person = settings.person_of(identity)
        names |= {identity: None, **({PERSON + person: None} if person else {})}
    return tuple(names)


@dataclass(frozen=True, slots=True)
class Gatherer:
    """Reads what people want to see beside a proposal."""

    images: Images
    store: Store

    async def background(self, seen: Observation, base: Base) -> Background:
        """Return what can be had of it; the registry is asked for the RHCOS versions only."""
        running, nodes = seen.running, seen.pool.machine_count
        estimate, new, old = await asyncio.gather(
            self._estimate(seen, nodes),
            self._os_version(str(base.image), seen),
            self._os_version(running.image if running else "", seen),
        )
        return Background(
            nodes=nodes,
            estimate_seconds=estimate,
            os_version=new,
            signature=seen.genuine.told,
            from_image=running.image if running else "",
            from_release=running.lineage.release_version if running else "",
            from_base=str(running.lineage.base or "") if running else "",
            from_recipe=str(running.lineage.recipe or "") if running else "",
            from_os_version=old,
        )

    async def layered(self, seen: Observation, base: Base) -> Background:
        """The same for a new layered image: with what lint says of its recipe."""
        said, name = seen.complaints, seen.recipe.name
        told: tuple[str, ...] = said[:COMPLAINTS]
        if more := len(said) - len(told):
            told = (*told, f"and {more} more: `relayer lint {name}` says all")
        return replace(await self.background(seen, base), complaints=told)

    async def _os_version(self, image: str, seen: Observation) -> str:
        try:
            images = self.images.seen_from(seen.cluster)
            facts = await images.facts(Pullspec(image), *seen.architectures[:1])
        except (OutsideError, Malformed):
            return ""
        return facts.labels.get(OS_VERSION, "")[:100]

    async def _estimate(self, seen: Observation, nodes: int) -> int | None:
        """From the newest rollout of this pool that went to its end: seconds a wave of nodes."""
        for stored in await self.store.history(seen.cluster, seen.pool.name, REMEMBERED):
            job = stored.job
            if not isinstance(job, Update) or job.state is not UpdateState.DONE:
                continue
            times = dict(job.times)
            began = times.get(UpdateState.ROLLING_OUT)
            ended = times.get(UpdateState.SOAKING)
            if began and ended and job.background.nodes:
                at_once = mco.max_unavailable(seen.pool, job.background.nodes)
                waves = -(-job.background.nodes // at_once)
                now_waves = -(-nodes // mco.max_unavailable(seen.pool, max(1, nodes)))
                return round((ended - began).total_seconds() / waves * now_waves)
        return None
