"""Verdicts over signatures: which keys must have signed, which places are asked, what is kept.

gpgv and HTTP are played here; tests/contract/test_signatures.py has the real ones.
"""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tests.facts import PROD, T0, a_version, digest, release_image, seconds
from tests.fakes import FakeCluster, FixedClock
from tests.played_signatures import (
    BY_KEY,
    BY_KEY2,
    BY_STRANGER,
    KEY,
    KEY2,
    OTHER,
    RELEASE,
    STORE,
    PlayedGpgv,
    PlayedStores,
    signed_text,
)
from tests.virtual_time import virtually
from watcher.clients.signatures import GpgSignatures
from watcher.clients.signatures.gpgv import NotInstalled
from watcher.clients.signatures.stores import Found
from watcher.clients.signatures.verdicts import (
    ASKED_AGAIN_SECONDS,
    CHECKED_AGAIN_SECONDS,
    MOST_KEPT,
)
from watcher.core.facts import ClusterName, Digest, Malformed
from watcher.core.genuine import Proof, Verdict
from watcher.ports import OutsideError, Refused, ReleaseSignatures, Transient
from watcher.settings_registry import ReleaseSettings


class Trusting(FakeCluster):
    """A cluster with keys, stores and signatures, that counts who asks for them."""

    def __init__(self, clock: FixedClock, *, signatures: tuple[bytes, ...] = ()) -> None:
        super().__init__(clock)
        self.held = ReleaseSignatures(
            keys={"verifier-public-key-one": KEY}, stores=(STORE,), signatures=signatures
        )
        self.asked = 0

    async def release_signatures(self, release: Digest) -> ReleaseSignatures:
        self.asked += 1
        await asyncio.sleep(0)
        self._maybe_fail("release_signatures")
        return self.held


class World:
    def __init__(
        self,
        *signatures: bytes,
        keys: dict[str, bytes] | None = None,
        configured: ReleaseSettings | None = None,
        **stores: Found,
    ) -> None:
        self.clock = FixedClock()
        self.cluster = Trusting(self.clock, signatures=signatures)
        if keys is not None:
            self.cluster.held = replace(self.cluster.held, keys=keys)
        self.gpgv = PlayedGpgv()
        named = {"store": STORE, "other": OTHER}
        self.stores = PlayedStores({named[name]: found for name, found in stores.items()})
        self.signatures = GpgSignatures(
            configured or ReleaseSettings(),
            {PROD: self.cluster},
            gpgv=self.gpgv,
            stores=self.stores,
            clock=self.clock,
        )

    def __call__(self) -> Verdict:
        return virtually(self.signatures.verdict(PROD, RELEASE))


TWO = {"verifier-public-key-one": KEY, "verifier-public-key-two": KEY2}


# --- verdicts -------------------------------------------------------------------------------------


def test_a_signature_in_the_cluster_is_enough_and_no_store_is_asked() -> None:
    world = World(BY_KEY)
    said = world()
    assert (said.proof, said.source) == (Proof.GOOD, "cluster")
    assert said.signers == (KEY[1:].hex().upper().rjust(40, "0"),)
    assert world.stores.asked == []


def test_a_signature_in_a_store_is_as_good_and_its_place_is_told() -> None:
    said = World(store=Found(signatures=(BY_KEY,)))()
    assert (said.proof, said.source) == (Proof.GOOD, STORE)


def test_none_anywhere_is_missing() -> None:
    said = World()()
    assert said.proof is Proof.MISSING
    assert said.because == "no signature by verifier-public-key-one was found"


def test_a_signature_by_another_key_is_bad() -> None:
    for world in (World(BY_STRANGER), World(store=Found(signatures=(BY_STRANGER,)))):
        said = world()
        assert said.proof is Proof.BAD
        assert said.because == "no signature of it is good: it is signed by another key"
        assert said.signers == ()


def test_a_good_signature_for_another_release_is_bad() -> None:
    world = World(BY_KEY)
    world.gpgv.texts[BY_KEY] = signed_text(digest("another release"))
    said = world()
    assert said.proof is Proof.BAD
    assert "it is for another image" in said.because


def test_a_good_signature_over_unknown_fields_is_bad() -> None:
    world = World(BY_KEY)
    world.gpgv.texts[BY_KEY] = signed_text(RELEASE.digest)[:-1] + b', "more": 1}'
    assert "unknown field 'more'" in world().because


def test_a_bad_signature_does_not_hide_a_good_one() -> None:
    world = World(BY_STRANGER, b"garbage", store=Found(signatures=(BY_STRANGER, BY_KEY)))
    assert world().proof is Proof.GOOD


def test_all_verifiers_must_have_signed() -> None:
    said = World(BY_KEY, keys=TWO)()
    assert said.proof is Proof.MISSING
    assert said.because == (
        "signed by verifier-public-key-one, but not by verifier-public-key-two, and all must have"
        " signed"
    )


def test_each_verifier_may_be_satisfied_by_another_signature_in_another_place() -> None:
    said = World(BY_KEY2, keys=TWO, store=Found(signatures=(BY_KEY,)))()
    assert said.proof is Proof.GOOD
    assert len(said.signers) == 2
    assert said.source == f"cluster, {STORE}"


def test_one_signature_satisfies_two_verifiers_with_the_same_key() -> None:
    assert World(BY_KEY, keys={"verifier-public-key-a": KEY, "b": KEY})().proof is Proof.GOOD


def test_a_store_that_cannot_be_asked_is_told() -> None:
    said = World(store=Found(problem="a.example.com: answered 500"))()
    assert said.proof is Proof.UNREACHABLE
    assert said.because.endswith("was found; not asked: a.example.com: answered 500")


def test_a_store_that_cannot_be_asked_does_not_soften_a_bad_signature() -> None:
    said = World(BY_STRANGER, store=Found(problem="answered 500"))()
    assert said.proof is Proof.BAD
    assert "not asked: answered 500" in said.because


def test_a_slow_store_is_not_waited_for_when_another_had_it() -> None:
    world = World(other=Found(signatures=(BY_KEY,)))
    world.cluster.held = replace(world.cluster.held, stores=(STORE, OTHER))
    world.stores.hang = {STORE}

    async def timed() -> tuple[Verdict, float]:
        began = asyncio.get_running_loop().time()
        said = await world.signatures.verdict(PROD, RELEASE)
        return said, asyncio.get_running_loop().time() - began

    said, took = virtually(timed())
    assert (said.proof, took) == (Proof.GOOD, 0.0)


def test_the_whole_search_ends() -> None:
    world = World(BY_KEY)
    world.gpgv.hangs = {BY_KEY}
    said = world()
    assert said.proof is Proof.UNREACHABLE
    assert "the search was given up after 60 s" in said.because


def test_a_message_made_to_keep_gpgv_busy_does_not_hide_a_good_one() -> None:
    world = World(BY_STRANGER, BY_KEY)
    world.gpgv.fails[BY_STRANGER] = Refused("gpgv was stopped after 10 s")
    assert world().proof is Proof.GOOD
    alone = World(BY_STRANGER)
    alone.gpgv.fails[BY_STRANGER] = Refused("gpgv was stopped after 10 s")
    assert alone().proof is Proof.UNREACHABLE


def test_without_gpgv_nothing_is_checked_and_it_says_what_to_install() -> None:
    for world in (World(BY_KEY), World(store=Found(signatures=(BY_KEY,)))):
        world.gpgv.fails[BY_KEY] = NotInstalled("gpgv")
        said = world()
        assert said.proof is Proof.UNCHECKED
        assert "gpgv is not installed" in said.because
        assert "gnupg2" in said.because


def test_a_key_that_cannot_be_read_is_not_passed_over() -> None:
    said = World(BY_KEY, keys={**TWO, "verifier-public-key-x": b"-----BEGIN"})()
    assert said.proof is Proof.UNCHECKED
    assert said.because.startswith("verifier-public-key-x cannot be used: ")


@pytest.mark.parametrize("error", [Refused("403 forbidden"), Transient("no answer")])
def test_a_cluster_that_does_not_tell_its_keys_is_unreachable(error: OutsideError) -> None:
    world = World(BY_KEY, configured=ReleaseSettings(keys=(Path("/dev/null"),)))
    world.cluster.fails["release_signatures"] = [error]
    said = world()
    assert said.proof is Proof.UNREACHABLE
    assert str(error) in said.because


def test_a_cluster_that_is_not_looked_at_is_told() -> None:
    said = virtually(World().signatures.verdict(ClusterName("nowhere"), RELEASE))
    assert (said.proof, said.because) == (
        Proof.UNCHECKED,
        "cluster nowhere is not looked at here",
    )


# --- which keys and stores ------------------------------------------------------------------------


def test_without_any_key_it_says_where_keys_come_from() -> None:
    said = World(BY_KEY, keys={})()
    assert said.proof is Proof.UNCHECKED
    assert "release-verification" in said.because
    assert "release.keys" in said.because


async def test_configured_keys_count_where_the_cluster_has_none_and_only_there(
    tmp_path: Path,
) -> None:
    (tmp_path / "key").write_bytes(KEY2)
    configured = ReleaseSettings(keys=(tmp_path / "key",))
    missing = ReleaseSettings(keys=(tmp_path / "nothing",))
    for world, proof, says in (
        (World(BY_KEY2, keys={}, configured=configured), Proof.GOOD, ""),
        (World(BY_KEY2, configured=configured), Proof.BAD, "another key"),
        (World(keys={}, configured=missing), Proof.UNCHECKED, "read: No such file"),
    ):
        said = await world.signatures.verdict(PROD, RELEASE)
        assert said.proof is proof
        assert says in said.because


def test_configured_stores_are_asked_beside_the_clusters() -> None:
    configured = ReleaseSettings(signature_stores=(OTHER, STORE))
    world = World(configured=configured)
    assert world().proof is Proof.MISSING
    assert world.stores.asked == [STORE, OTHER]


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        pytest.param(None, [STORE], id="not written"),
        pytest.param((OTHER,), [OTHER], id="another"),
        pytest.param((), [], id="an empty list means none"),
    ],
)
def test_the_stores_written_in_cluster_version_replace_the_releases(
    written: tuple[str, ...] | None, asked: list[str]
) -> None:
    world = World()
    world.cluster.version = a_version(signature_stores=written)
    assert world().proof is Proof.MISSING
    assert world.stores.asked == asked


def test_more_stores_than_allowed_are_not_asked() -> None:
    world = World()
    many = tuple(f"https://{n}.example.com" for n in range(40))
    world.cluster.held = replace(world.cluster.held, stores=many)
    assert "only 32 of 40 stores are asked" in world().because
    assert len(world.stores.asked) == 32


def test_commands_without_a_cluster_give_the_material_themselves() -> None:
    world = World(store=Found(signatures=(BY_KEY,)))
    said = virtually(world.signatures.verdict_with(world.cluster.held, RELEASE.digest))
    assert said.proof is Proof.GOOD
    assert world.cluster.asked == 0


# --- what is remembered ---------------------------------------------------------------------------


def test_a_hundred_looks_at_once_ask_once() -> None:
    world = World(store=Found(signatures=(BY_KEY,)))

    async def looks() -> list[Verdict]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(world.signatures.verdict(PROD, RELEASE)) for _ in range(100)]
        return [task.result() for task in tasks]

    assert {said.proof for said in virtually(looks())} == {Proof.GOOD}
    assert (world.cluster.asked, world.stores.asked, world.gpgv.checks) == (1, [STORE], 1)


def test_a_look_that_is_given_up_leaves_the_others_alone() -> None:
    world = World(BY_KEY)

    async def looks() -> Verdict:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(world.signatures.verdict(PROD, RELEASE))
            second = group.create_task(world.signatures.verdict(PROD, RELEASE))
            await asyncio.sleep(0)
            first.cancel()
        return second.result()

    assert virtually(looks()).proof is Proof.GOOD


@pytest.mark.parametrize("signature", [BY_STRANGER, b""], ids=["bad", "missing"])
def test_what_is_not_good_is_asked_again_after_a_minute(signature: bytes) -> None:
    world = World(*filter(None, [signature]))
    first = world()
    assert world() == first
    assert world.cluster.asked == 1
    world.cluster.held = replace(world.cluster.held, signatures=(BY_KEY,))
    world.clock.advance(ASKED_AGAIN_SECONDS - 1)
    assert world() == first
    world.clock.advance(1)
    assert world().proof is Proof.GOOD


def test_a_good_verdict_is_not_checked_again_while_the_keys_are_the_same() -> None:
    world = World(store=Found(signatures=(BY_KEY,)))
    world()
    world.clock.advance(ASKED_AGAIN_SECONDS)
    assert world().proof is Proof.GOOD
    assert (world.cluster.asked, world.stores.asked, world.gpgv.checks) == (2, [STORE], 1)


def test_a_good_verdict_ends_when_the_keys_change() -> None:
    world = World(BY_KEY)
    world()
    world.cluster.held = replace(world.cluster.held, keys=TWO)
    world.clock.advance(ASKED_AGAIN_SECONDS)
    assert world().proof is Proof.MISSING


@pytest.mark.parametrize("lasts", [30.0, 3600.0])
def test_a_good_verdict_ends_with_its_signature(lasts: float) -> None:
    world = World(BY_KEY)
    world.gpgv.expires[BY_KEY] = T0 + seconds(lasts)
    assert world().proof is Proof.GOOD
    world.gpgv.fails[BY_KEY] = Malformed("the signature has expired")
    world.clock.advance(lasts)
    assert world().because == "no signature of it is good: the signature has expired"


def test_a_good_verdict_is_checked_again_after_a_day_as_keys_expire_too() -> None:
    world = World(BY_KEY)
    world()
    world.gpgv.fails[BY_KEY] = Malformed("the key that signed it has expired")
    world.clock.advance(CHECKED_AGAIN_SECONDS - 1)
    assert world().proof is Proof.GOOD
    world.clock.advance(ASKED_AGAIN_SECONDS)
    assert world().proof is Proof.BAD


def test_what_is_remembered_does_not_grow_without_end() -> None:
    world = World()

    async def many() -> None:
        for number in range(MOST_KEPT + 1):
            await world.signatures.verdict(PROD, release_image(str(number)))
        await world.signatures.verdict(PROD, release_image(str(MOST_KEPT)))
        assert world.cluster.asked == MOST_KEPT + 1
        await world.signatures.verdict(PROD, release_image("0"))
        assert world.cluster.asked == MOST_KEPT + 2, "the oldest was forgotten"

    virtually(many())


def test_more_keys_than_anybody_has_are_refused() -> None:
    said = World(BY_KEY, keys={f"verifier-public-key-{n}": KEY for n in range(17)})()
    assert (said.proof, said.because) == (
        Proof.UNCHECKED,
        "more than 16 keys must have signed it",
    )
