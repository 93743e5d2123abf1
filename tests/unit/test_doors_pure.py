"""Cookies, signatures, origins, limits and what a proxy says: whatever is sent, by property."""

import asyncio
import string
from collections.abc import Mapping
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from tests.facts import T0, digest
from tests.fakes import FixedClock
from watcher.clients.store.memory_store import MemoryStore
from watcher.core import approval
from watcher.core.approval import ApprovalRules, Binding, Vote
from watcher.core.facts import Digest
from watcher.ports_reviews import Reviewed
from watcher.settings_web import ProxySettings
from watcher.web.callers import Role
from watcher.web.doors import cookies, limits, origins, sessions
from watcher.web.doors.entry import highest
from watcher.web.doors.keys import KEPT, Key, Keys
from watcher.web.doors.proxies import ProxyDoor, address_of
from watcher.web.doors.sessions import Lifetime, Session
from watcher.web.problems import Problem

ANY = st.text(max_size=200)
LATIN = st.text(alphabet=st.characters(max_codepoint=255), max_size=300)
VALUE = st.text(alphabet=string.ascii_letters + string.digits + "-_.", min_size=1, max_size=80)
NAMES = st.text(alphabet=string.ascii_letters + "-_", min_size=1, max_size=20)
KEY = Key("0123456789ab", b"k" * 32, 0.0)
NOW = 1_700_000_000.0
LIFE = Lifetime(12 * 3600.0, 3600.0)


# --- cookies -------------------------------------------------------------------------------------


@given(st.lists(LATIN, max_size=4))
def test_any_cookie_header_is_read_without_a_fault_and_nothing_is_made_up(sent: list[str]) -> None:
    value = cookies.value_of(sent, "relayer-session")
    assert value == "" or any(f"relayer-session={value}" in one for one in sent)


@given(VALUE, st.lists(st.tuples(NAMES, VALUE), max_size=8), st.integers(0, 8))
def test_ours_is_found_among_others_wherever_it_stands(
    value: str, others: list[tuple[str, str]], at: int
) -> None:
    pairs = [f"{name}={said}" for name, said in others if name != cookies.SECURE_NAME]
    pairs.insert(at, f"{cookies.SECURE_NAME}={value}")
    assert cookies.value_of(["; ".join(pairs)], cookies.SECURE_NAME) == value
    assert cookies.value_of(pairs, cookies.SECURE_NAME) == value


@given(VALUE, VALUE)
def test_two_of_the_name_are_none(one: str, other: str) -> None:
    name = cookies.SECURE_NAME
    assert cookies.value_of([f"{name}={one}; {name}={other}"], name) == ""
    assert cookies.value_of([f"{name}={one}", f"x=y;{name}={other}"], name) == ""


def test_another_case_or_beginning_is_another_name() -> None:
    for sent in (
        "__host-relayer-session=v",
        "x__Host-relayer-session=v",
        "a b__Host-relayer-session=v",
    ):
        assert cookies.value_of([sent], cookies.SECURE_NAME) == ""
    assert cookies.value_of([f"{cookies.SECURE_NAME.lower()}=v"], cookies.SECURE_NAME) == ""


def test_a_header_that_is_too_long_has_no_cookie() -> None:
    long = "x=" + "y" * cookies.MOST_BYTES
    assert cookies.value_of([f"{long}; {cookies.LOCAL_NAME}=v"], cookies.LOCAL_NAME) == ""


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("127.0.0.1:8080", cookies.LOCAL_NAME),
        ("localhost", cookies.LOCAL_NAME),
        ("[::1]:8080", cookies.LOCAL_NAME),
        ("relayer.example.com", cookies.SECURE_NAME),
        ("127.0.0.1.example.com", cookies.SECURE_NAME),
        ("localhost.example.com:8080", cookies.SECURE_NAME),
        ("", cookies.SECURE_NAME),
    ],
)
def test_only_this_machine_does_without_https(host: str, name: str) -> None:
    assert cookies.name_for(host) == name
    assert ("; Secure" in cookies.made(host, "v", seconds=1)) is (name == cookies.SECURE_NAME)


# --- sessions ------------------------------------------------------------------------------------

SESSIONS = st.builds(
    Session,
    id=VALUE,
    door=st.sampled_from(["token", "openshift"]),
    name=ANY,
    began=st.floats(0, 1e10),
    seen=st.floats(0, 1e10),
    bound=st.binary(max_size=32),
    person=st.none()
    | st.builds(Reviewed, name=ANY, uid=ANY, groups=st.lists(ANY, max_size=3).map(tuple)),
)


@given(SESSIONS)
def test_what_was_sealed_comes_back_and_only_with_its_key(session: Session) -> None:
    value = sessions.seal(session, KEY)
    if value is None:
        return
    assert sessions.unseal(value, KEY) == session
    assert sessions.key_id_of(value) == KEY.id
    assert sessions.unseal(value, Key(KEY.id, b"x" * 32, 0.0)) is None
    assert sessions.unseal(value, Key("ba9876543210", KEY.secret, 0.0)) is None


@given(SESSIONS, st.integers(0, 4000), st.characters(max_codepoint=127))
def test_one_changed_character_is_a_forgery(session: Session, at: int, other: str) -> None:
    value = sessions.seal(session, KEY)
    if value is None or value[at % len(value)] == other:
        return
    at %= len(value)
    assert sessions.unseal(value[:at] + other + value[at + 1 :], KEY) is None


@given(st.one_of(ANY, LATIN, st.binary(max_size=300).map(lambda data: data.decode("latin-1"))))
def test_any_value_is_read_without_a_fault(value: str) -> None:
    assert sessions.unseal(value, KEY) is None
    assert sessions.unseal(f"v1.{KEY.id}.{value}", KEY) is None
    sessions.key_id_of(value)


def test_somebody_with_too_many_groups_gets_no_cookie() -> None:
    person = Reviewed(name="ann", groups=tuple(f"group-{n:03}" * 5 for n in range(100)))
    session = Session("a", "openshift", "", NOW, NOW, person=person)
    assert sessions.seal(session, KEY) is None


@pytest.mark.parametrize(
    ("began", "seen", "over"),
    [
        (NOW, NOW, False),
        (NOW - 12 * 3600 + 1, NOW, False),
        (NOW - 12 * 3600, NOW, True),
        (NOW - 3600, NOW - 3599, False),
        (NOW - 3600, NOW - 3600, True),
        (NOW + 59, NOW + 59, False),
        (NOW + 61, NOW + 61, True),
        (NOW - 60, NOW + 61, True),
        (NOW, NOW - 1, True),
        (float("nan"), NOW, True),
        (float("-inf"), NOW, True),
    ],
)
def test_how_long_a_login_lasts(began: float, seen: float, over: bool) -> None:
    session = Session("a", "token", "ann", began, seen)
    assert LIFE.is_over(session, now=NOW) is over


@given(st.lists(st.binary(max_size=8), max_size=3), st.lists(st.binary(max_size=8), max_size=3))
def test_parts_of_what_is_signed_do_not_run_into_each_other(
    one: list[bytes], other: list[bytes]
) -> None:
    assert (KEY.sign("csrf", *one) == KEY.sign("csrf", *other)) is (one == other)
    assert KEY.sign("csrf", *one) != KEY.sign("session", *one)
    assert "kkkk" not in repr(KEY)


ROWS = st.none() | ANY | st.lists(st.none() | ANY | st.dictionaries(NAMES, ANY, max_size=3))


@given(ROWS)
def test_whatever_lies_in_the_store_is_no_key(rows: object) -> None:
    keys = Keys(lambda: MemoryStore(FixedClock()), FixedClock(), keep_seconds=1.0)
    assert keys._decoded(rows) == ()


class Slow(MemoryStore):
    """Others get their turn between asking and answer, as with a real one."""

    async def kept(self, key: str) -> Mapping[str, object]:
        await asyncio.sleep(0)
        found = await super().kept(key)
        await asyncio.sleep(0)
        return found


async def test_two_who_come_first_at_once_get_one_key() -> None:
    clock = FixedClock()
    store = Slow(clock)
    keys = Keys(lambda: store, clock, keep_seconds=60.0)
    one, other = await asyncio.gather(keys.newest(), keys.newest())
    assert one == other == await keys.named(one.id)


async def test_what_somebody_put_in_place_of_the_keys_is_replaced() -> None:
    clock = FixedClock()
    store = MemoryStore(clock)
    now = clock.now().timestamp()
    await store.keep(KEPT, {"keys": [{"id": "x", "key": "AAAA", "at": now}]})
    keys = Keys(lambda: store, clock, keep_seconds=60.0)
    assert len((await keys.newest()).secret) == 32


# --- origins -------------------------------------------------------------------------------------

HOST = "relayer.example.com"


@pytest.mark.parametrize(
    ("headers", "ours"),
    [
        ([("sec-fetch-site", "same-origin")], True),
        ([("sec-fetch-site", "same-origin"), ("origin", f"https://{HOST}")], True),
        ([("sec-fetch-site", "same-origin"), ("origin", "https://inner:8080")], True),
        ([("sec-fetch-site", "same-origin"), ("origin", f"http://{HOST}")], False),
        ([("sec-fetch-site", "same-origin")] * 2, False),
        ([("sec-fetch-site", "cross-site"), ("origin", f"https://{HOST}")], False),
        ([("sec-fetch-site", "same-site"), ("origin", f"https://{HOST}")], False),
        ([("sec-fetch-site", "none")], False),
        ([("sec-fetch-site", "")], False),
        ([("origin", f"https://{HOST}")], True),
        ([("origin", f"https://{HOST}:443")], True),
        ([("origin", f"https://{HOST}:8443")], False),
        ([("origin", f"http://{HOST}")], False),
        ([("origin", f"https://{HOST}")] * 2, False),
        ([("origin", f"https://{HOST}.evil.com")], False),
        ([("origin", f"https://evil.com/{HOST}")], False),
        ([("origin", f"https://ann@{HOST}")], False),
        ([("origin", "null")], False),
        ([("origin", "https://[")], False),
        ([("origin", "")], False),
        ([("referer", f"https://{HOST}/")], False),
        ([], False),
    ],
)
def test_which_page_is_ours(headers: list[tuple[str, str]], ours: bool) -> None:
    raw = [(n.encode(), v.encode()) for n, v in [*headers, ("host", HOST)]]
    assert origins.is_our_page(Headers(raw=raw)) is ours


@given(LATIN, LATIN)
def test_any_origin_is_read_without_a_fault(origin: str, host: str) -> None:
    raw = [(b"origin", origin.encode("latin-1")), (b"host", host.encode("latin-1"))]
    origins.is_our_page(Headers(raw=raw))
    origins.says_another_page(Headers(raw=raw))


# --- limits --------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 30)), max_size=120))
def test_no_order_of_tries_gets_more_than_the_rate(tries: list[tuple[int, float]]) -> None:
    made, now = limits.Tries(limits.Rate(3, 10.0), limits.Rate(8, 5.0)), 1000.0
    passed: dict[int, int] = {}
    for peer, later in tries:
        now += later
        if made.take(f"192.0.2.{peer}", now) == 0:
            passed[peer] = passed.get(peer, 0) + 1
    gone = now - 1000.0
    assert all(count <= 3 + gone / 10.0 for count in passed.values())
    assert sum(passed.values()) <= 8 + gone / 5.0


def test_addresses_are_remembered_in_bounded_memory() -> None:
    made = limits.Tries(most=50)
    for number in range(1000):
        made.take(f"10.0.{number // 250}.{number % 250}", float(number * 10))
    assert len(made) == 50


def test_one_ipv6_network_is_one_address() -> None:
    made = limits.Tries(limits.Rate(1, 10.0))
    assert made.take("2001:db8::1", 0.0) == 0
    assert made.take("2001:db8::ffff:1", 0.0) > 0
    assert made.take("2001:db8:0:1::1", 0.0) == 0


def test_a_clock_that_is_set_back_gives_nothing_away() -> None:
    made = limits.Tries(limits.Rate(1, 10.0))
    assert made.take("192.0.2.1", 100.0) == 0
    assert made.take("192.0.2.1", 0.0) > 0


# --- proxies -------------------------------------------------------------------------------------

DOOR = ProxyDoor(
    ProxySettings(
        trusted=("10.0.0.5", "10.128.0.0/14", "fd00::/8"),
        groups={"platform": "approver", "dev": "viewer"},
    )
)


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.0.0.5", True),
        ("::ffff:10.0.0.5", True),
        ("10.131.255.255", True),
        ("fd00::1", True),
        ("fd00::1%eth0", True),
        ("10.0.0.6", False),
        ("10.132.0.0", False),
        ("127.0.0.1", False),
        ("::1", False),
        ("", False),
        ("10.0.0.5, 10.0.0.6", False),
        ("/run/relayer.sock", False),
    ],
)
def test_who_is_the_proxy(peer: str, trusted: bool) -> None:
    assert DOOR.trusts(peer) is trusted


@given(ANY)
def test_any_address_is_read_without_a_fault(peer: str) -> None:
    address_of(peer)


@given(st.lists(LATIN, min_size=1, max_size=3), st.lists(LATIN, max_size=3))
def test_whatever_the_proxy_says_is_one_clean_name_or_nobody(
    users: list[str], groups: list[str]
) -> None:
    raw = [(b"x-forwarded-user", user.encode("latin-1")) for user in users]
    raw += [(b"x-forwarded-groups", group.encode("latin-1")) for group in groups]
    try:
        entry = DOOR.entry(Headers(raw=raw))
    except Problem:  # nothing else, and it is a 401: see below
        return
    assert entry is not None
    name = entry.identity.removeprefix("proxy:")
    assert [name] == users
    assert name.isprintable()
    assert name.isascii()
    assert 0 < len(name) <= 150
    assert entry.role in (None, Role.VIEWER, Role.APPROVER)


@given(st.lists(st.sampled_from(list(Role))))
def test_the_highest_role_counts(roles: list[Role]) -> None:
    found = highest(roles)
    assert (found is None) is (not roles)
    assert all(found is not None and found.covers(role) for role in roles)


# --- nobody without a name -----------------------------------------------------------------------


def test_a_vote_of_whoever_is_on_the_machine_never_counts() -> None:
    one = digest("one")
    binding = Binding(update="u-1", image=one, base=one, recipe=one, policy=Digest(str(one)))
    named = Vote(by="token:ann", at=T0, binding=binding)
    local = Vote(by="local:root", at=T0 + timedelta(seconds=1), binding=binding)
    rules = ApprovalRules(quorum=1, two_person=True)
    assert approval.voters(ApprovalRules(), binding, [local]) == ()
    assert approval.approve(ApprovalRules(), binding, [local], now=T0) is None
    # Nor is it the second person beside an author.
    assert approval.missing(rules, binding, [named, local], authors=["token:ann"]) == 1
