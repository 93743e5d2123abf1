"""Records are read by the release that wrote them, by the one before and by the one after."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.contract.stores import a_build, an_update, entry
from watcher.clients import codec
from watcher.clients.codec import UnreadableRecord
from watcher.core.approval import Approval, Binding, Vote
from watcher.core.build import Build, BuildState
from watcher.core.facts import Digest, Pullspec
from watcher.core.jobs import Job
from watcher.core.update import Update
from watcher.core.update_events import Override, UpdateState
from watcher.ports import Refused

A, B, C = ("sha256:" + letter * 64 for letter in "abc")
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def recorded(text: str) -> str:
    return text.replace("<A>", A).replace("<B>", B).replace("<C>", C)


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


def a_full_update() -> Update:
    """An update in which every field that can be absent is there."""
    image = Pullspec(f"registry.example.com/layered/infra@{A}")
    binding = Binding(
        update="u1", image=Digest(A), base=Digest(B), recipe=Digest(C), policy=Digest(A)
    )
    return replace(
        an_update("u1", state=UpdateState.ROLLING_OUT, build="b1"),
        image=image,
        expires_at=AT,
        votes=(Vote(by="token:ann", at=AT, binding=binding, reason="søndag"),),
        approval=Approval(binding=binding, by=("token:ann",), at=AT, until=AT),
        previous=Override(image=image, annotations=(("io.relayer.base", "x"),)),
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
    line = entry(a_build("b1"), "Built")
    assert codec.decode_entry(codec.encode_entry(line)) == line


@pytest.mark.parametrize("read", [codec.decode_entry, codec.decode_values])
def test_an_unreadable_line_or_view_is_refused(read: object) -> None:
    assert callable(read)
    with pytest.raises(UnreadableRecord):
        read(b"[1")
