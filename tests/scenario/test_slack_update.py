"""Updates through the whole service, followed and decided in Slack."""

from dataclasses import replace
from pathlib import Path

import httpx

from simulator.cluster import Release
from simulator.registry.faults import Fault
from simulator.registry.images import base_image, push_to, release_image
from tests.scenario.service import running
from tests.scenario.slack_world import (
    LONG,
    SlackWorld,
    all_told,
    first_line,
    free_port,
    http_token,
    receiver,
    slack_world,
    update_of,
    with_webhook,
)
from tests.scenario.world import World
from watcher.core.changes import Mode

AWAITING = "awaiting-approval"


async def test_one_message_follows_an_update_from_its_build_to_its_end(tmp_path: Path) -> None:
    async with slack_world(tmp_path, speed=80) as there, receiver() as pager:
        slow = Fault("slow", "GET", "/v2/layered/infra/blobs/.*", pause_seconds=1.5)
        there.made.registry.faults.append(slow)
        settings = with_webhook(there.settings, pager.url, tmp_path)
        async with running(settings) as app:
            card = await there.reads("awaiting 0 of 1")
            assert "[ Approve ]  [ Reject ]" in there.shown(card)
            assert there.made.override_writes() == 0
            await there.reply(card, "@ann @bob prod/infra")
            await there.press("ann", "approve")
            done = await update_of(app, "infra", "done")
            await there.reads("done")
            await all_told(app.store)
            card = there.stands_once("infra: done")
            assert "[ Approve ]" not in there.shown(card)
            assert "Approved by\n• @ann" in there.shown(card)
            assert done.approval is not None
            assert done.approval.by == (there.by("ann"),)
            assert there.made.images() == {str(done.image)}
            _in_order(
                there.titles(card),
                "verifying",
                "awaiting 0 of 1",
                "rolling out",
                "done",
            )
            details, asked = there.slack.thread(there.channel, card.ts)
            assert "✅ `infra-1` Done" in there.shown(details)
            assert "1 more approval(s) needed" in there.shown(asked)
            assert there.slack.calls.count("chat.postMessage") == 3
        assert pager.unsigned == 0
        assert {letter["subject"] for letter in pager.updates()} == {done.id}
        assert len({letter["id"] for letter in pager.updates()}) == 1, "edits keep the id"
        states = [letter["update"]["state"] for letter in pager.updates()]
        assert states[-1] == "done"
        assert "awaiting-approval" in states
        sequence = [letter["sequence"] for letter in pager.updates()]
        assert sequence == sorted(set(sequence))


async def test_put_off_looked_up_and_rejected_for_a_reason(tmp_path: Path) -> None:
    async with slack_world(tmp_path) as there:
        settings = there.with_policy(there.policy(reason_required=True))
        async with running(settings) as app:
            asked = await update_of(app, "infra", AWAITING)
            card = await there.reads("awaiting 0 of 1")
            await there.press("eve", "approve")
            assert "is not an approver" in await there.told("eve", "not an approver")
            await there.press("bob", "snooze", value=_choice(there, "4 hours"))
            await there.told("bob", f"{asked.id} is put off until")
            await there.reads("snoozed until")
            said = await there.says("eve", "status")
            assert asked.id in said
            assert AWAITING in said

            await there.press("bob", "reject")
            form = await there.slack.view("bob")
            empty = await there.slack.submit(form, {"reason": " "})
            assert empty is not None
            assert "asks for a reason" in empty.errors["reason"]
            assert await there.slack.submit(form, {"reason": "not before the fair"})
            ended = await update_of(app, "infra", "rejected")
            assert "not before the fair" in ended.ended_because
            await there.reads("rejected")
            await all_told(app.store)
            last = there.stands_once("infra: rejected")
            assert last.ts == card.ts
            assert "rejected by @bob: not before the fair" in there.shown(last)
            assert there.made.override_writes() == 0


def _choice(there: SlackWorld, label: str) -> str:
    """What the menu's option with this label carries."""
    (card,) = there.cards()
    elements = [one for block in card.blocks for one in block.get("elements", ())]
    options = [o for one in elements for o in one.get("options", ())]
    return next(str(o["value"]) for o in options if o["text"]["text"] == label)


async def test_two_people_from_two_places_are_a_quorum_and_one_from_both_is_not(
    tmp_path: Path,
) -> None:
    async with slack_world(tmp_path) as there:
        port = free_port()
        settings = there.with_policy(there.policy(quorum=2))
        settings = replace(settings, web=replace(settings.web, port=port))
        async with running(settings) as app:
            asked = await update_of(app, "infra", AWAITING)
            await there.reads("awaiting 0 of 2")
            await there.press("ann", "approve")
            await there.reads("awaiting 1 of 2")
            binding = str(asked.binding.digest())
            url = f"http://127.0.0.1:{port}/api/v1/updates/{asked.id}/approve"
            async with httpx.AsyncClient(trust_env=False) as http:

                async def approve(name: str) -> httpx.Response:
                    headers = {"Authorization": f"Bearer {http_token(name)}"}
                    return await http.post(url, json={"binding": binding}, headers=headers)

                again = await approve("ann")
                assert "counts once" in again.text
                assert (await update_of(app, "infra", AWAITING)).approval is None
                assert (await approve("bob")).status_code == 200
            done = await update_of(app, "infra", "done")
            assert done.approval is not None
            assert done.approval.by == (there.by("ann"), "token:bob")
            last = await there.reads("done")
            assert "@ann" in there.shown(last)
            assert "token:bob" in there.shown(last)


async def test_who_wrote_the_recipe_cannot_be_its_only_approver(tmp_path: Path) -> None:
    async with slack_world(tmp_path) as there:
        settings = there.with_policy(there.policy(two_person=True))
        recipes = tuple(replace(r, authors=("person:ann",)) for r in settings.recipes)
        async with running(replace(settings, recipes=recipes)) as app:
            await there.reads("awaiting 0 of 1")
            await there.press("ann", "approve")
            await there.told("ann", "must approve too")
            await there.shows("it now takes somebody who neither asked for it nor wrote its recipe")
            assert (await update_of(app, "infra", AWAITING)).approval is None
            await there.press("bob", "approve")
            done = await update_of(app, "infra", "done")
            assert done.approval is not None
            assert set(done.approval.by) == {there.by("ann"), there.by("bob")}


async def test_a_patch_comes_by_itself_and_is_told_and_a_minor_release_is_asked_for(
    tmp_path: Path,
) -> None:
    async with slack_world(tmp_path) as there:
        made = there.made
        minor = await _release(made, "4.19.2", "419.96.202511150000-0")
        made.cluster.versions.offer(minor)
        settings = there.with_policy(there.policy(), Mode.AUTO, first="auto", minor="approve")
        async with running(settings) as app:
            first = await update_of(app, "infra", "done")
            made.cluster.start_upgrade(made.new)
            patch = await update_of(app, "infra", "done", after=first.id)
            card = await there.reads("done", about=patch.id)
            assert "4.18.9 → 4.18.10" in there.shown(card)
            assert "patch" in there.shown(card)
            await all_told(app.store)
            assert there.slack.calls.count("chat.postMessage") == 4, "nobody was called"

            made.cluster.start_upgrade(minor)
            asked = await update_of(app, "infra", AWAITING, after=patch.id)
            card = await there.reads("awaiting 0 of 1", about=asked.id)
            assert "minor upgrade" in there.shown(card)
            await there.press("ann", "approve", about=asked.id)
            done = await update_of(app, "infra", "done", after=patch.id, seconds=LONG)
            await there.reads("done", about=done.id)
            assert [first_line(card).partition(":")[0][-5:] for card in there.cards()] == [
                "infra"
            ] * 3
            assert made.images() == {str(done.image)}


async def _release(made: World, version: str, machine_os: str) -> Release:
    base = await push_to(made.registry.url, "openshift/rhel-coreos", base_image(machine_os))
    payload = release_image(version, {"rhel-coreos": str(base), "cli": str(base)})
    image = await push_to(made.registry.url, "openshift/release", payload)
    return Release(version=version, image=str(image), os_image=str(base))


def _in_order(lines: list[str], *wanted: str) -> None:
    """Each is in a line after that of the one before."""
    rest = iter(lines)
    missing = [text for text in wanted if not any(text in line for line in rest)]
    assert missing == [], lines
