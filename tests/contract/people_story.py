"""What pages about updates and people show, beside `pages_story`: whole lives of updates."""

import html as html_lib
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.contract.pages_fleet import STAGING
from tests.contract.pages_site import PagesSite, pages_site
from tests.contract.pages_story import at
from tests.contract.site import ANN, bearer
from tests.facts import T0, a_build, a_vote, approved, digest, image
from watcher.clients.store.memory_store import MemoryStore
from watcher.core.build import BuildState
from watcher.core.recipe import Recipe
from watcher.core.recipe_diff import snapshot
from watcher.core.state import Nodes
from watcher.core.update import Update
from watcher.core.update_events import UpdateState
from watcher.ports import AuditEntry, Change

S = UpdateState
ROLLING, ASKED, FAILED, LATER = "u-life-1", "u-life-2", "u-life-3", "u-life-4"
BUILT, WRONG = "b-life-1", "b-life-3"
OLD_RECIPE = digest("recipe gpu, as it was")
BEFORE = "FROM base\nRUN rpm-ostree override replace kernel-5.14.0-503.rpm\nCOPY motd /etc/motd\n"
AFTER = (
    "FROM base\nRUN rpm-ostree override replace kernel-5.14.0-570.rpm\n"
    "COPY motd /etc/motd\nCOPY chrony.conf /etc/chrony.conf\n"
)
LOG = [f"STEP {n}/48: RUN install package number {n}" for n in range(1, 49)]
WHY_WRONG = (
    "the image is not what was ordered: linux/amd64: label ostree.commit is missing, on the base"
    " it is 'a1b2' (ostree-rs-ext reads the base's commit from it); leave it as it is in the recipe"
)


def recipe(text: str, of: str) -> Recipe:
    return Recipe(name="gpu", containerfile=text, digest=digest(of), target=a_build().target)


def times(now: datetime, *, hours: float, until: UpdateState) -> tuple[tuple[str, datetime], ...]:
    """A way that began so many hours ago, to this state."""
    way = (S.WAITING_FOR_BUILD, S.AWAITING_APPROVAL, S.SCHEDULED, S.APPLYING, S.ROLLING_OUT)
    began, took = now - timedelta(hours=hours), (0, 21, 95, 96, 97)
    been = way[: way.index(until) + 1]
    return tuple((str(s), began + timedelta(minutes=m)) for s, m in zip(been, took, strict=False))


def life(now: datetime, pool: str, name: str, state: UpdateState, **said: Any) -> Update:
    """An update of staging with all its times, and with a recipe that has changed."""
    known = state if state in (S.AWAITING_APPROVAL, S.ROLLING_OUT) else S.WAITING_FOR_BUILD
    been = times(now, hours=3, until=known)
    made = at("staging", pool, id=name, state=state, build=said.pop("build", BUILT), **said)
    background = replace(made.background, from_recipe=OLD_RECIPE)
    return replace(
        made,
        background=background,
        change="patch",
        times=been,
        created_at=been[0][1],
        changed_at=been[-1][1],
        expires_at=now + timedelta(hours=3) if state is S.AWAITING_APPROVAL else None,
    )


async def tell_lives(store: MemoryStore, now: datetime) -> None:
    """Put four of them into the store: one that rolls out, is asked about, failed, is put off."""
    ready = a_build(id=BUILT, key="life", state=BuildState.READY, image=image("infra 2"))
    wrong = a_build(id=WRONG, key="wrong", state=BuildState.FAILED, ended_because=WHY_WRONG)
    rolling = life(now, "worker", ROLLING, S.ROLLING_OUT)
    asked = life(now, "infra", ASKED, S.AWAITING_APPROVAL)
    stale = replace(asked, image=image("another image"))
    votes = (a_vote(asked, "token:bob", now - timedelta(minutes=14)), a_vote(stale, "token:ann"))
    asked = replace(asked, votes=tuple(replace(v, reason="looks good") for v in votes))
    later = life(now, "mixed", LATER, S.AWAITING_APPROVAL)
    asleep = now + timedelta(hours=20)
    for job in (
        replace(ready, created_at=now, changed_at=now),
        replace(wrong, created_at=now, changed_at=now),
        approved(rolling, by="token:ann", at=now - timedelta(hours=2)),
        asked,
        life(now, "first-try", FAILED, S.FAILED, build=WRONG, ended_because=WHY_WRONG),
        replace(later, snoozed_until=asleep, snoozed_by="token:bob", expires_at=asleep),
    ):
        await store.commit([Change(job=job, expected=0)], _trail(job, now))
    await store.keep(f"recipe:{OLD_RECIPE}", snapshot(recipe(BEFORE, "recipe gpu, as it was")))
    await store.keep(f"recipe:{asked.target.recipe_digest}", snapshot(recipe(AFTER, "recipe gpu")))
    await store.set_progress(ROLLING, progress(now, 1))
    await store.add_log(BUILT, LOG)
    await store.add_log(WRONG, [*LOG[:3], "Error: building at STEP 4/48: exit status 77"])


def progress(now: datetime, updated: int) -> Mapping[str, object]:
    rows = [
        {
            "name": f"staging-worker-{n}.example.com",
            "state": "Done" if n != updated else "Working",
            "updated": n < updated,
            "ready": True,
            "reason": "",
        }
        for n in range(3)
    ]
    said = f"{updated} of 3 nodes run it"
    return {"phase": "rolling", "waiting": said, "updated": updated, "total": 3, "nodes": rows}


def _trail(job: Any, now: datetime) -> list[AuditEntry]:
    steps = getattr(job, "times", ()) or (("queued", now),)
    names = {"waiting-for-build": "Proposed", "queued": "Ordered"}
    return [
        AuditEntry(
            at=when,
            job=job.id,
            event=names.get(state, "Voted" if state == "scheduled" else "BuildReady"),
            by="token:ann" if state == "scheduled" else "relayer",
            state=state,
            cluster=getattr(job, "cluster", ""),
            pool=getattr(job, "pool", ""),
            surface="http" if state == "scheduled" else "",
        )
        for state, when in steps
    ]


@asynccontextmanager
async def people_site(
    directory: Path, *, host: str = "127.0.0.1", now: datetime = T0
) -> AsyncIterator[PagesSite]:
    """The fleet with the lives in it."""
    async with pages_site(directory, host=host, now=now) as made:
        await tell_lives(made.service.store, now)
        nodes = Nodes(total=3, updated=1)
        await made.service.played.put_pool(STAGING, "worker", nodes=nodes)
        yield made


# --- what tests of these pages do ---------------------------------------------------------------

HTML = {"accept": "text/html"}
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


async def page(here: PagesSite, path: str, token: str | None = ANN) -> str:
    answer = await here.http.get(path, headers=HTML | bearer(token))
    assert answer.status_code == 200, answer.text
    return answer.text


def text_of(html: str) -> str:
    """What a person reads in `main`."""
    main = html.partition("<main")[2].partition("</main>")[0]
    said = " ".join(re.sub(r"<[^>]+>", " ", "<" + main).split())
    return re.sub(r" ([,.:;])", r"\1", html_lib.unescape(said))


async def change(here: PagesSite, name: str, **said: object) -> Update:
    """Another state of an update, by somebody else."""
    stored = await here.service.store.get(name)
    assert isinstance(stored.job, Update)
    after = replace(stored.job, **said)  # type: ignore[arg-type] # by name
    await here.service.store.commit([Change(job=after, expected=stored.version)], [])
    return after
