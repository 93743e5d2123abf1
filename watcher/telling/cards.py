"""One update as people follow it: everything about it gathered, nothing decided."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from watcher.core import approval, timing, windows
from watcher.core.build import Build, BuildState
from watcher.core.letters import Card, Details, Diff, EventLine, NodeLine, VoteLine
from watcher.core.preconditions import timing_of_update
from watcher.core.recipe_diff import diff
from watcher.core.timing import Freeze, Timing
from watcher.core.update import NOT_BEGUN, Update, missing
from watcher.core.update_events import Kind, UpdateState
from watcher.ports import AuditEntry, Clock, Store
from watcher.settings import PoolSettings, Settings
from watcher.telling import state_line

EVENTS_SHOWN = 40
LOG_SHOWN = 20
NODES_SHOWN = 60
IN_THE_WAY_SHOWN = 6
COMPLAINTS_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that was read about one update."""

    update: Update
    progress: Mapping[str, object]
    build: Build | None
    view: Mapping[str, object]
    """What the last look at the pool said."""
    audit: tuple[AuditEntry, ...]
    log: tuple[str, ...]
    diff: Diff | None
    freezes: tuple[Freeze, ...]
    release_seen_at: datetime
    now: datetime


@dataclass(frozen=True, slots=True)
class Cards:
    settings: Settings
    store: Store
    clock: Clock

    async def facts(self, update: Update) -> Facts:
        """Read everything; raise what the store raises."""
        now = self.clock.now()
        build = await self._build(update)
        failed = build is not None and build.state is BuildState.FAILED
        release = f"release:{update.target.release_image.digest}"
        return Facts(
            update=update,
            progress=await self.store.progress(update.id),
            build=build,
            view=await self.store.view(f"pool:{update.cluster}/{update.pool}"),
            audit=tuple(await self.store.audit(update.id, EVENTS_SHOWN)),
            log=tuple((await self.store.log(update.build))[-LOG_SHOWN:]) if failed else (),
            diff=await self._diff(update),
            freezes=tuple(await self.store.freezes()),
            release_seen_at=await self.store.first_seen(release, now),
            now=now,
        )

    async def _build(self, update: Update) -> Build | None:
        if not update.build:
            return None
        try:
            job = (await self.store.get(update.build)).job
        except KeyError:
            return None
        return job if isinstance(job, Build) else None

    async def _diff(self, update: Update) -> Diff | None:
        """Return how the recipe changed; None where there is no recipe or nothing to compare."""
        had = update.background.from_recipe
        if update.kind is Kind.STOCK or not update.background.from_image:
            return None
        if had == update.target.recipe_digest:
            return Diff(known=True, summary="no difference")
        before = await self.store.kept(f"recipe:{had}") if had else {}
        return diff(before, await self.store.kept(f"recipe:{update.target.recipe_digest}"))

    def zone(self, update: Update) -> ZoneInfo:
        """The pool's own time zone."""
        return ZoneInfo(self.place(update).time_zone)

    def place(self, update: Update) -> PoolSettings:
        """What is configured for the pool, or what an unconfigured one gets."""
        found = self.settings.pool(update.cluster, update.pool)
        return found or PoolSettings(cluster=update.cluster, pool=update.pool, recipe="")

    def timing(self, facts: Facts) -> Timing:
        """Everything that says when the update may begin."""
        return _timing(facts)

    def card(self, facts: Facts) -> Card:
        """Return the message about the update."""
        update, said = facts.update, facts.update.background
        asks = update.state is UpdateState.AWAITING_APPROVAL
        open_ = update.state in NOT_BEGUN
        rules = update.policy.approval
        zone = self.zone(update)
        verdict = timing.verdict(_timing(facts), now=facts.now) if open_ else None
        opens = verdict.opens_at if verdict else None
        snoozed = update.snoozed_until if open_ else None
        return Card(
            update=update.id,
            cluster=update.cluster,
            pool=update.pool,
            kind=str(update.kind),
            state=str(update.state),
            line=state_line.line(
                update,
                facts.progress,
                build_state=str(facts.build.state) if facts.build else "",
                zone=zone,
                now=facts.now,
            ),
            severity=state_line.severity(update),
            because=update.because,
            ended_because=update.ended_because,
            change=update.change,
            release=update.target.release_version,
            from_release=said.from_release,
            os_version=said.os_version,
            from_os_version=said.from_os_version,
            image=str(update.image or ""),
            from_image=said.from_image,
            base=str(update.target.base),
            signature=said.signature,
            complaints=_complaints(update) if open_ else (),
            recipe=update.target.recipe,
            recipe_digest=str(update.target.recipe_digest) if update.build else "",
            diff=facts.diff,
            nodes=said.nodes,
            estimate_seconds=said.estimate_seconds,
            next_window=_next_window(opens, zone, facts) if open_ else "",
            scheduled_for=opens if open_ and opens and opens > facts.now else None,
            in_the_way=tuple(_in_the_way(facts)) if open_ else (),
            requested_by=update.requested_by,
            votes=tuple(VoteLine(by=v.by, at=v.at, reason=v.reason) for v in _votes(update)),
            quorum=max(1, rules.quorum),
            missing=missing(update) if asks and not rules.auto else 0,
            approvers=rules.approvers,
            two_person=rules.two_person,
            expires_at=update.expires_at if open_ else None,
            snoozed_until=snoozed if snoozed and facts.now < snoozed else None,
            snoozed_by=update.snoozed_by,
            binding=str(update.binding.digest()) if open_ and update.image else "",
            can_approve=asks and not rules.auto,
            can_reject=open_ and update.image is not None,
            can_snooze=open_ and update.image is not None,
            reason_required=rules.reason_required,
            snooze_choices=_choices(update),
            several_clusters=len(self.settings.clusters) > 1,
        )

    def moments(self, facts: Facts) -> Iterator[datetime]:
        """When the card changes though nothing happens: it may begin, or may not any more."""
        update, now = facts.update, facts.now
        if update.state not in NOT_BEGUN:
            return
        said = _timing(facts)
        opens = timing.verdict(said, now=now).opens_at
        if opens is not None and opens > now:
            yield opens
        elif opens is not None:
            open_now = windows.openings(said.windows, said.blackouts, now=now, count=1)
            yield from (period.end for period in open_now if period.end)
        if update.snoozed_until is not None and update.snoozed_until > now:
            yield update.snoozed_until

    def details(self, facts: Facts) -> Details:
        """Return what the thread holds."""
        nodes = facts.progress.get("nodes")
        return Details(
            update=facts.update.id,
            events=tuple(
                EventLine(at=e.at, what=e.event, by=e.by, detail=e.detail) for e in facts.audit
            ),
            nodes=tuple(_nodes(nodes if isinstance(nodes, list) else [])),
            build=facts.update.build,
            build_log=facts.log,
            diff=facts.diff,
        )


def _complaints(update: Update) -> tuple[str, ...]:
    """While it may still be decided not to: the first are errors, if there are any."""
    said = update.background.complaints
    shown, more = said[:COMPLAINTS_SHOWN], len(said) - COMPLAINTS_SHOWN
    recipe = update.target.recipe
    return (*shown, f"and more: `relayer lint {recipe}` says all") if more > 0 else shown


def _votes(update: Update) -> list[approval.Vote]:
    if update.image is None:
        return []
    return [vote for vote in update.votes if vote.binding == update.binding]


def _timing(facts: Facts) -> Timing:
    seen_at = facts.release_seen_at
    return timing_of_update(facts.update, facts.freezes, release_seen_at=seen_at, now=facts.now)


def _next_window(opens: datetime | None, zone: ZoneInfo, facts: Facts) -> str:
    if opens is None:
        return "not known"
    if opens <= facts.now:
        return "now"
    return state_line.clock(opens, zone, told=state_line.since(facts.update))


def _in_the_way(facts: Facts) -> list[str]:
    """What the handler last said, or the last look at the pool while people still decide."""
    waiting = facts.progress.get("waiting")
    if facts.update.state is UpdateState.SCHEDULED and isinstance(waiting, str):
        return [one for one in waiting.split("; ") if one][:IN_THE_WAY_SHOWN]
    if facts.update.state is UpdateState.WAITING_FOR_BUILD and isinstance(waiting, str):
        return [waiting] if waiting else []
    unmet = facts.view.get("unmet")
    return [str(one) for one in unmet][:IN_THE_WAY_SHOWN] if isinstance(unmet, list) else []


def _choices(update: Update) -> tuple[tuple[str, str], ...]:
    if update.state not in NOT_BEGUN or update.image is None:
        return ()
    found = [("1h", "1 hour"), ("4h", "4 hours"), ("tomorrow", "tomorrow 09:00")]
    if update.policy.windows:
        found.append(("next-window", "next window"))
    return tuple(found)


def _nodes(said: list[object]) -> list[NodeLine]:
    found = []
    for one in said[:NODES_SHOWN]:
        if isinstance(one, Mapping):
            found.append(
                NodeLine(
                    name=str(one.get("name", "")),
                    state=str(one.get("state", "")),
                    updated=bool(one.get("updated")),
                    reason=str(one.get("reason", "")),
                )
            )
    return found
