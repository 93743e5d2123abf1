"""What is remembered of places that failed, and what is told when all did."""

import pytest

from watcher.clients.registry import NotFound, Tampered, TooLarge, Unauthorised
from watcher.clients.registry.errors import Untrusted
from watcher.clients.registry.model import digest_of
from watcher.clients.registry.places import REMEMBERED_SECONDS, Failures, Places, Troubles
from watcher.core.facts import Digest, Repository
from watcher.core.mirrors import MirrorRule, Mirrors
from watcher.ports import OutsideError, Refused, Transient

SOURCE = Repository("source.invalid/ocp/base")


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def some_places(clock: Clock) -> Places:
    rule = MirrorRule(source="source.invalid", mirrors=("a.io", "b.io"))
    return Places(Mirrors((rule,)), down=Troubles(clock), denied=Troubles(clock))


def order(places: Places, content: Digest | None = None) -> str:
    found = places.of(SOURCE, by_digest=True, content=content)
    return "".join(place[0] for place in found)


A, B = Repository(f"a.io/{SOURCE.path}"), Repository(f"b.io/{SOURCE.path}")


@pytest.mark.parametrize("error", [Transient("x"), Unauthorised("x"), Untrusted("x")])
def test_a_failure_of_a_place_is_remembered_for_a_minute(error: OutsideError) -> None:
    clock = Clock()
    places = some_places(clock)
    places.failed(A, error)
    clock.seconds = REMEMBERED_SECONDS - 1
    assert order(places) == "bsa"
    clock.seconds = REMEMBERED_SECONDS
    assert order(places) == "abs"
    places.failed(A, error)
    places.worked(A)
    assert order(places) == "abs", "it is well again"


@pytest.mark.parametrize("error", [NotFound("x"), TooLarge("x"), Refused("x")])
def test_what_one_image_lacks_says_nothing_about_the_place(error: OutsideError) -> None:
    places = some_places(Clock())
    places.failed(A, error, digest_of(b"x"))
    assert order(places, digest_of(b"x")) == "abs"


def test_bad_bytes_are_remembered_of_that_content_only() -> None:
    places = some_places(Clock())
    places.failed(A, Tampered("x"), digest_of(b"x"))
    assert order(places, digest_of(b"x")) == "bsa"
    assert order(places, digest_of(b"y")) == "abs"


def test_when_all_are_troubled_the_rules_order_them() -> None:
    places = some_places(Clock())
    for place in (SOURCE, B, A):
        places.failed(place, Transient("x"))
    assert order(places) == "abs"


def test_memory_is_bounded() -> None:
    clock = Clock()
    troubles = Troubles(clock)
    for n in range(5000):
        troubles.note(n)
    assert len(troubles._until) <= 1000
    clock.seconds = REMEMBERED_SECONDS + 1
    troubles.note("new")
    assert troubles.has("new")
    assert len(troubles._until) == 1


def joined(*errors: OutsideError) -> OutsideError:
    failures = Failures(SOURCE, "@x")
    for n, error in enumerate(errors):
        failures.add(Repository(f"m{n}.io/x"), error)
    return failures.joined()


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        ([NotFound("a"), NotFound("b")], NotFound),
        ([Unauthorised("a"), Unauthorised("b")], Unauthorised),
        ([Tampered("a"), Tampered("b")], Tampered),
        ([NotFound("a"), Transient("b")], Transient),
        ([Transient("b"), Unauthorised("a")], Transient),
        ([NotFound("a"), Tampered("b")], Refused),
        ([NotFound("a"), Unauthorised("b")], Refused),
    ],
)
def test_all_failures_make_one_error(errors: list[OutsideError], kind: type) -> None:
    error = joined(*errors)
    assert type(error) is kind
    assert str(error) == f"{SOURCE}@x could not be had: m0.io/x: {errors[0]}; m1.io/x: {errors[1]}"


def test_the_error_of_the_source_alone_is_its_own() -> None:
    failures, error = Failures(SOURCE, "@x"), NotFound("as it is")
    failures.add(SOURCE, error)
    assert failures.joined() is error


def test_the_soonest_retry_counts_and_the_text_is_bounded() -> None:
    waits = [Transient("x" * 5000, retry_after_seconds=n) for n in (30.0, 7.0)]
    error = joined(*waits, *[Transient("y\x1b" * 500)] * 50)
    assert isinstance(error, Transient)
    assert error.retry_after_seconds == 7.0
    assert str(error).endswith("and 46 more")
    assert len(str(error)) < 3000
    assert "\x1b" not in str(error)
