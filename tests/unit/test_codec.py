"""Records are read by the release that wrote them, by the one before and by the one after."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.contract.stores import a_build, an_update, entry
from watcher.clients import codec
from watcher.clients.codec import UnreadableRecord
from watcher.core.approval import Approval, ApprovalRules, Binding, Vote
from watcher.core.build import Build, BuildState
from watcher.core.facts import Digest, Pullspec
from watcher.core.jobs import Job
from watcher.core.letters import Delivered
from watcher.core.order import After
from watcher.core.timing import Freeze
from watcher.core.update import Background, Policy, Update, missing
from watcher.core.update_events import Override, UpdateState
from watcher.core.windows import Blackout, Window
from watcher.ports import AuditEntry, Refused

A, B, C = ("sha256:" + letter * 64 for letter in "abc")
# Of RECORDED_APPROVED, as the release that wrote it worked them out.
POLICY_DIGEST = "sha256:f02f321a1ffb51613323675151915a024ad496af3a9314e69cca6e93c8ed59be"
BINDING_DIGEST = "sha256:1344be9887cab3f09cad5a0e57e460afea746ec05b9441f0d3f4f481ee03d6e5"
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def recorded(text: str) -> str:
    for mark, digest in {"<A>": A, "<B>": B, "<C>": C, "<P>": POLICY_DIGEST}.items():
        text = text.replace(mark, digest)
    return text


# As written by 0.1.0. These stay as they are: they are what lies in Redis.
RECORDED_BUILD = recorded(
    '{"v":1,"kind":"build","body":{"id":"b1","key":"b1","base":"quay.io/release/os@<B>",'
    '"base_version":"4.18.3","recipe":"infra","recipe_digest":"<C>",'
    '"target":"registry.example.com/layered/infra","platforms":["linux/amd64"],'
    '"created_at":"2026-03-01T12:00:00Z","changed_at":"2026-03-01T12:00:00Z",'
    '"state":"ready","image":"registry.example.com/layered/infra@<A>","ended_because":""}}'
)
RECORDED_UPDATE = recorded(
    '{"v":1,"kind":"update","body":{"id":"u1","cluster":"east","pool":"u1","kind":"layered",'
    '"target":{"release_version":"4.18.3","release_image":"quay.io/release/payload@<A>",'
    '"base":"quay.io/release/os@<B>","recipe":"infra","recipe_digest":"<C>","build_key":"k"},'
    '"policy":{"approval":{"auto":false,"quorum":1,"approvers":[],"reason_required":false,'
    '"ask_seconds":86400,"keep_seconds":604800},"soak_seconds":600,"node_seconds":1800},'
    '"because":"the base moved","requested_by":"relayer","created_at":"2026-03-01T12:00:00Z",'
    '"changed_at":"2026-03-01T12:00:00Z","expires_at":null,"state":"waiting-for-build",'
    '"build":"","image":null,"votes":[],"approval":null,"previous":null,'
    '"downgrade_allowed":false,"ended_because":""}}'
)
# As written by 0.1.0 at a1865d3, before chat: approved by two people, with everything filled in.
RECORDED_APPROVED = recorded(
    '{"v":1,"kind":"update","body":{"id":"u1","cluster":"east","pool":"u1","kind":"layered",'
    '"target":{"release_version":"4.18.3","release_image":"quay.io/release/payload@<A>",'
    '"base":"quay.io/release/os@<B>","recipe":"infra","recipe_digest":"<C>","build_key":"k"},'
    '"policy":{"approval":{"auto":false,"quorum":2,"approvers":["token:ann","cli:root"],'
    '"reason_required":true,"ask_seconds":86400,"keep_seconds":604800},'
    '"windows":[{"days":["sat","sun"],"start":"02:00","hours":4,"timezone":"Europe/Berlin"}],'
    '"soak_seconds":900,"node_seconds":1800},'
    '"because":"the base moved","requested_by":"relayer","created_at":"2026-03-01T12:00:00Z",'
    '"changed_at":"2026-03-01T12:00:00Z","expires_at":"2026-03-01T12:00:00Z","state":"scheduled",'
    '"build":"b1","image":"registry.example.com/layered/infra@<A>","votes":['
    '{"by":"token:ann","at":"2026-03-01T12:00:00Z","binding":{"update":"u1","image":"<A>",'
    '"base":"<B>","recipe":"<C>","policy":"<P>"},"reason":"søndag"},'
    '{"by":"cli:root","at":"2026-03-01T12:00:00Z","binding":{"update":"u1","image":"<A>",'
    '"base":"<B>","recipe":"<C>","policy":"<P>"},"reason":""}],'
    '"approval":{"binding":{"update":"u1","image":"<A>","base":"<B>","recipe":"<C>",'
    '"policy":"<P>"},"by":["token:ann","cli:root"],"at":"2026-03-01T12:00:00Z",'
    '"until":"2026-03-01T12:00:00Z"},'
    '"previous":{"image":"registry.example.com/layered/infra@<A>",'
    '"annotations":[["io.relayer.base","x"]]},"downgrade_allowed":false,"ended_because":""}}'
)
RECORDED_ENTRY = (
    '{"at":"2026-03-01T12:00:00Z","job":"u1","event":"Approved","by":"token:ann",'
    '"state":"scheduled","detail":"2 of 2","cluster":"east","pool":"infra"}'
)
OLD_POLICIES = [
    pytest.param(
        Policy(),
        "sha256:c24f67c34b0c188de723689dd46373b1893e511ca66ae78fb6d23b2e09e87b91",
        id="defaults",
    ),
    pytest.param(
        Policy(windows=(Window(days=("mon",), start="22:00", hours=6),)),
        "sha256:027d8757b7fee02d8322d087e4b80748b7aa98b4fcbccc927dda633d23ab438a",
        id="window",
    ),
]


def a_full_update() -> Update:
    """An update in which every field that can be absent is there."""
    image = Pullspec(f"registry.example.com/layered/infra@{A}")
    binding = Binding(
        update="u1", image=Digest(A), base=Digest(B), recipe=Digest(C), policy=Digest(A)
    )
    vote = Vote(
        by="slack:U1",
        at=AT,
        binding=binding,
        reason="søndag",
        person="ann",
        groups=("slack-group:S1", "slack-group:S2"),
        surface="slack button",
    )
    policy = Policy(
        approval=ApprovalRules(two_person=True, approvers=("slack-group:S1",)),
        windows=(
            Window(days=("sat",), start="02:00", hours=4.5),
            Window(cron="0 2 * * 6", hours=4),
        ),
        blackouts=(Blackout(first="12-20", last="01-06", reason="Jul"),),
        min_age_seconds=3600,
        after=(After(place="lab/infra", soak_seconds=7200),),
        when_closed="pause",
    )
    background = Background(
        nodes=6,
        estimate_seconds=5400,
        os_version="418.94",
        signature="signed",
        from_image=str(image),
        from_release="4.18.2",
        from_base=B,
        from_recipe=C,
        from_os_version="418.93",
    )
    return replace(
        an_update("u1", state=UpdateState.ROLLING_OUT, build="b1"),
        policy=policy,
        image=image,
        expires_at=AT,
        votes=(vote,),
        approval=Approval(binding=binding, by=("token:ann",), at=AT, until=AT),
        previous=Override(image=image, annotations=(("io.relayer.base", "x"),)),
        change="patch",
        authors=("cli:root", "person:ann"),
        snoozed_until=AT,
        snoozed_by="token:ann",
        background=background,
        times=(("waiting-for-build", AT), ("awaiting-approval", AT)),
    )


@pytest.mark.parametrize(
    "job", [a_build("b1"), an_update("u1"), a_full_update()], ids=["build", "update", "full"]
)
def test_what_is_written_is_read(job: Job) -> None:
    assert codec.decode(codec.encode(job)) == job


def test_the_recorded_build_is_still_read() -> None:
    image = Pullspec(f"registry.example.com/layered/infra@{A}")
    expected = replace(a_build("b1", state=BuildState.READY), image=image)
    assert codec.decode(RECORDED_BUILD.encode()) == expected


def test_the_recorded_update_is_still_read() -> None:
    assert codec.decode(RECORDED_UPDATE.encode()) == an_update("u1")


def test_an_update_approved_before_chat_is_read_with_defaults() -> None:
    found = codec.decode(RECORDED_APPROVED.encode())
    assert isinstance(found, Update)
    assert [vote.by for vote in found.votes] == ["token:ann", "cli:root"]
    for vote in found.votes:
        assert (vote.person, vote.groups, vote.surface) == ("", (), "")
    assert (found.change, found.authors, found.times) == ("", (), ())
    assert (found.snoozed_until, found.snoozed_by) == (None, "")
    assert found.background == Background()
    rules = ApprovalRules(
        quorum=2, approvers=("token:ann", "cli:root"), reason_required=True, two_person=False
    )
    window = Window(days=("sat", "sun"), start="02:00", hours=4, timezone="Europe/Berlin")
    assert found.policy == Policy(
        approval=rules,
        windows=(window,),
        soak_seconds=900,
        blackouts=(),
        min_age_seconds=0,
        after=(),
        when_closed="finish",
    )


def test_what_was_approved_before_chat_is_still_approved() -> None:
    """Else an upgrade of ours would void every approval that waits for its window."""
    found = codec.decode(RECORDED_APPROVED.encode())
    assert isinstance(found, Update)
    assert found.policy.digest() == POLICY_DIGEST
    assert found.binding.digest() == BINDING_DIGEST
    assert found.approval is not None
    assert found.approval.binding == found.binding
    assert missing(found) == 0


@pytest.mark.parametrize(("policy", "digest"), OLD_POLICIES)
def test_a_policy_without_new_settings_has_the_digest_it_always_had(
    policy: Policy, digest: str
) -> None:
    assert policy.digest() == digest


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"approval": ApprovalRules(two_person=True)}, id="two-person"),
        pytest.param({"blackouts": (Blackout(first="12-20", last="12-31"),)}, id="blackouts"),
        pytest.param({"min_age_seconds": 1}, id="min-age"),
        pytest.param({"after": (After(place="lab/infra", soak_seconds=0),)}, id="after"),
        pytest.param({"when_closed": "pause"}, id="when-closed"),
    ],
)
def test_a_new_setting_that_is_used_is_part_of_the_digest_also_after_reading(
    changed: dict[str, Any],
) -> None:
    update = replace(an_update("u1"), policy=Policy(**changed))
    assert update.policy.digest() != Policy().digest()
    found = codec.decode(codec.encode(update))
    assert isinstance(found, Update)
    assert found.policy.digest() == update.policy.digest()


def test_values_are_checked_strings_again() -> None:
    build = codec.decode(RECORDED_BUILD.encode())
    assert isinstance(build, Build)
    assert isinstance(build.recipe_digest, Digest)
    assert isinstance(build.image, Pullspec)
    assert build.image.digest.short == "a" * 12


def test_a_field_of_a_newer_release_is_skipped() -> None:
    record = json.loads(RECORDED_UPDATE)
    record["body"]["signed_by"] = {"who": "later"}
    record["body"]["policy"]["later"] = 1
    record["later"] = True
    assert codec.decode(json.dumps(record).encode()) == an_update("u1")


def test_a_field_that_an_older_release_did_not_write_takes_its_default() -> None:
    record = json.loads(RECORDED_UPDATE)
    for name in ("votes", "approval", "downgrade_allowed", "ended_because", "previous"):
        del record["body"][name]
    del record["body"]["policy"]["node_seconds"]
    assert codec.decode(json.dumps(record).encode()) == an_update("u1")


@pytest.mark.parametrize(
    ("record", "says"),
    [
        pytest.param('{"v":2,"kind":"build","body":{}}', "newer", id="newer-format"),
        pytest.param('{"v":1,"kind":"dream","body":{}}', "kind 'dream'", id="unknown-kind"),
        pytest.param('{"v":1,"kind":"build","body":{}}', "missing", id="field-missing"),
        pytest.param('{"kind":"build"}', "cannot be read", id="no-version"),
        pytest.param("", "cannot be read", id="empty"),
        pytest.param("[]", "cannot be read", id="no-object"),
        pytest.param(RECORDED_BUILD[:-20], "cannot be read", id="cut"),
        pytest.param(RECORDED_BUILD.replace(A, "latest"), "sha256", id="tag-for-digest"),
        pytest.param(RECORDED_BUILD.replace('"ready"', '"gone"'), "gone", id="unknown-state"),
        pytest.param(RECORDED_BUILD.replace('"infra"', "7"), "cannot be read", id="wrong-type"),
    ],
)
def test_an_unreadable_record_is_refused_saying_why(record: str, says: str) -> None:
    with pytest.raises(UnreadableRecord, match=says) as caught:
        codec.decode(record.encode())
    assert isinstance(caught.value, Refused)
    assert len(str(caught.value)) < 300


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(UnreadableRecord):
        codec.decode(b'{"v":1,"kind":"build","body":{"id":"\xff"}}')


def test_text_that_is_not_unicode_is_refused_before_it_is_written() -> None:
    with pytest.raises(Refused, match="Unicode"):
        codec.encode(replace(an_update("u1"), because="half \ud800"))


def test_an_audit_entry_is_read_back() -> None:
    line = replace(entry(a_build("b1"), "Built"), surface="slack button", binding=A)
    assert codec.decode_entry(codec.encode_entry(line)) == line


def test_an_audit_entry_written_before_chat_is_read_with_defaults() -> None:
    assert codec.decode_entry(RECORDED_ENTRY.encode()) == AuditEntry(
        at=AT,
        job="u1",
        event="Approved",
        by="token:ann",
        state="scheduled",
        detail="2 of 2",
        cluster="east",
        pool="infra",
        surface="",
        binding="",
    )


@pytest.mark.parametrize("until", [None, AT], ids=["open", "ends"])
def test_a_freeze_is_read_back(until: datetime | None) -> None:
    freeze = Freeze(scope="prod", by="token:ann", because="søndag", at=AT, until=until)
    assert codec.decode_freeze(codec.encode_freeze(freeze), "prod") == freeze


def test_a_delivered_letter_is_read_back() -> None:
    letter = Delivered(key="card@slack:C1", sent="s", ref="r", trying="t", gone="g", version=3)
    assert codec.decode_delivered(codec.encode_delivered(letter), "u1") == letter


def test_a_freeze_that_cannot_be_read_names_its_scope_and_the_way_out() -> None:
    with pytest.raises(UnreadableRecord, match=r"freeze of prod .* until it is lifted"):
        codec.decode_freeze(b"{}", "prod")
    with pytest.raises(UnreadableRecord, match="freeze of everything"):
        codec.decode_freeze(b"{}", "")


@pytest.mark.parametrize("read", [codec.decode_entry, codec.decode_values])
def test_an_unreadable_line_or_view_is_refused(read: object) -> None:
    assert callable(read)
    with pytest.raises(UnreadableRecord):
        read(b"[1")
