"""What lint says of a pool's recipe: in plans, kept with updates, told where somebody decides."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tests.facts import (
    INFRA,
    PROD,
    T0,
    a_machine_config,
    a_pool,
    a_recipe,
    a_view,
    an_update,
    digest,
)
from tests.scene import Scene
from tests.unit.test_cards import Table
from tests.unit.test_planner import the_update
from tests.unit.test_slack_card import AWAITING
from watcher import linting, shown
from watcher.clients import codec
from watcher.clients.slack.card import card
from watcher.core.cluster import MachineConfig, Meta
from watcher.core.lint import context_of
from watcher.core.recipe import EntryKind, Recipe, RecipeEntry
from watcher.core.update import Background, Update
from watcher.core.update_events import Kind, UpdateState
from watcher.linting import Linter
from watcher.proposals import COMPLAINTS
from watcher.telling.cards import COMPLAINTS_SHOWN

CHRONY = "/etc/chrony.conf"
COPIES = "FROM registry.example.com/rhel-coreos:x\nCOPY chrony.conf /etc/chrony.conf\n"


def entry(path: str) -> RecipeEntry:
    return RecipeEntry(path=path, kind=EntryKind.FILE, content=digest(path), size_bytes=9)


def recipe(text: str = COPIES, *paths: str) -> Recipe:
    entries = tuple(map(entry, paths or ("chrony.conf",)))
    return replace(a_recipe(), containerfile=text, entries=entries, digest=digest(text))


def writes(name: str, *paths: str, role: str = "infra", version: str = "1") -> MachineConfig:
    made = a_machine_config(name, role)
    return replace(made, files=paths, meta=replace(made.meta, resource_version=version))


WRITES = writes("50-chrony", CHRONY)


def scene(text: str = COPIES, *configs: MachineConfig) -> Scene:
    made = Scene(recipe=recipe(text))
    for one in configs:
        made.cluster.put(one)
    return made


# --- the pool ------------------------------------------------------------------------------------


def test_a_pools_files_are_those_of_the_machineconfigs_it_selects_and_the_last_one_writes() -> None:
    pool = a_pool()
    configs = (
        writes("99-all", CHRONY, "/etc/a", role="worker"),
        writes("50-chrony", CHRONY),
        writes("50-master", "/etc/b", role="master"),
        replace(writes("rendered", "/etc/c"), meta=Meta(name="rendered")),
    )
    view = a_view(pools=(pool,), machine_configs=configs)
    inherits = {CHRONY: "50-chrony", "/etc/a": "99-all"}
    assert context_of(view, pool, release="4.16.3").files == inherits
    # Up to 4.14 plainly by name.
    assert context_of(view, pool, release="4.14.3").files == {**inherits, CHRONY: "99-all"}
    assert set(context_of(view, pool, release="soon").files) == set(inherits)


@dataclass
class Reads:
    """Counts how often a recipe is looked at."""

    names: list[str] = field(default_factory=list)

    def __call__(self, name: str) -> Callable[[str], bytes | None]:
        self.names.append(name)
        return {"chrony.conf": b"-----BEGIN RSA PRIVATE KEY-----\n"}.get


async def test_what_did_not_change_is_not_looked_at_again() -> None:
    reads = Reads()
    linter, pool = Linter(heads=reads), a_pool()

    async def look(*configs: MachineConfig, release: str = "4.16.3", text: str = COPIES) -> Any:
        view = a_view(pools=(pool,), machine_configs=configs)
        return await linter.sentences(
            view, pool, recipe(text), release=release, file="Containerfile"
        )

    said = await look(WRITES)
    assert any("RL012" in one and "50-chrony" in one for one in said)
    assert any(one.startswith("error RL013") for one in said)  # by what the file begins with
    assert await look(WRITES) is said
    assert len(reads.names) == 1
    assert not any("RL012" in one for one in await look(writes("50-chrony", version="2")))
    await look(WRITES, release="4.19.1")
    await look(WRITES, text=COPIES + "USER me\n")
    assert len(reads.names) == 4
    for number in range(linting.KEPT):
        await look(writes("50-chrony", version=f"v{number}"))
    before = len(reads.names)
    await look(WRITES)
    assert len(reads.names) == before + 1


# --- plans and updates ---------------------------------------------------------------------------


async def test_a_plan_has_what_lint_says_of_the_recipe_on_this_pool() -> None:
    made = scene(COPIES, WRITES)
    plan = await made.planner.plan(PROD, INFRA)
    told = shown.plan_row(plan)["complaints"]
    assert any("RL012" in one and "50-chrony" in one and "line 2" in one for one in told)
    others = shown.plan_row(await scene().planner.plan(PROD, INFRA))["complaints"]
    assert [one for one in told if one not in others] == [one for one in told if "RL012" in one]


async def test_a_recipe_with_complaints_is_proposed_and_they_are_kept_with_the_update() -> None:
    made = scene(COPIES, WRITES)
    update = await the_update(made)
    assert any("RL012" in one for one in update.background.complaints)
    assert shown.update_row(update)["background"]["complaints"] == list(
        update.background.complaints
    )
    assert codec.decode(codec.encode(update)) == update


async def test_of_many_complaints_the_first_are_kept_and_the_others_counted() -> None:
    lines = "".join(f"ENV PASSWORD_{n}=hunter2{n}\n" for n in range(COMPLAINTS + 5))
    made = scene("FROM registry.example.com/rhel-coreos:x\n" + lines)
    kept = (await the_update(made)).background.complaints
    assert len(kept) == COMPLAINTS + 1
    assert all(one.startswith("error") for one in kept[:COMPLAINTS])
    assert "`relayer lint gpu`" in kept[-1]
    assert not any("hunter2" in one for one in kept)


async def test_a_request_for_the_stock_image_has_no_complaints() -> None:
    made = scene(COPIES, WRITES)
    update = await made.planner.stock(PROD, INFRA, by="token:ann")
    assert update.kind is Kind.STOCK
    assert update.background.complaints == ()


# --- told ----------------------------------------------------------------------------------------


def with_complaints(number: int, state: UpdateState = UpdateState.AWAITING_APPROVAL) -> Update:
    said = tuple(f"warning RL00{n}, Containerfile line {n}: odd" for n in range(number))
    return an_update(state=state, background=Background(complaints=said), expires_at=T0)


async def test_a_card_tells_a_few_of_them_while_it_may_still_be_decided_not_to() -> None:
    table = Table()
    assert (await table.card(with_complaints(0))).complaints == ()
    few = with_complaints(COMPLAINTS_SHOWN)
    assert (await table.card(few)).complaints == few.background.complaints
    many = (await table.card(with_complaints(9))).complaints
    assert len(many) == COMPLAINTS_SHOWN + 1
    assert many[-1] == "and more: `relayer lint gpu` says all"
    assert (await table.card(with_complaints(9, UpdateState.ROLLING_OUT))).complaints == ()


def test_in_slack_it_is_a_list_that_cannot_be_anything_else() -> None:
    nasty = "error RL013, Containerfile line 2: <!channel> *all*"
    sections = [
        block["text"]["text"]
        for block in card(replace(AWAITING, complaints=(nasty,)))["blocks"]
        if block["type"] == "section" and "text" in block
    ]
    [told] = [text for text in sections if "Lint of the recipe" in text]
    assert "RL013" in told
    assert "<!channel>" not in told
