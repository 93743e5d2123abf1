"""Whatever bytes are called a dump: sentences come of them, never an error."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import dumped
from tests.dumped import Oc, everything, gathered, gz, tar, write
from watcher.clients.dumps import Limits, read_dumps

NOW = datetime(2027, 1, 1, tzinfo=UTC)
GOOD = Oc.yaml(*everything())


def told(place: Path, limits: Limits | None = None) -> tuple[str, ...]:
    dumps = read_dumps([place], limits=limits, now=NOW)
    return (*dumps.problems, *(problem for view in dumps.views for problem in view.problems))


YAML_PARTS = (
    b"items:\n|- |  |---\n|...\n|kind: Node\n|config:\n|\n|\r\n|metadata:\n|name: a\n|&a|*a|!!x |: "
    b"|#|%YAML 1.1\n|<<: |?|\t|\0|\xff|\xef\xbb\xbf|>\n|\x1f\x8b|ustar|{|[|'"
)
JSON_PARTS = b'{"items": [|{"kind": "Node"|}|]|,|"|\\|{"kind": "NodeList", "items": [{'
POOLS = (Oc.yaml(dumped.pool()).encode(), Oc.json(dumped.pool()).encode())
FRAGMENTS = st.sampled_from([*YAML_PARTS.split(b"|"), *JSON_PARTS.split(b"|"), *POOLS])


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.binary(max_size=2000), st.lists(FRAGMENTS, max_size=30).map(b"".join)))
def test_any_bytes_give_sentences_and_never_an_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    place = tmp_path_factory.mktemp("any")
    packed = tar({"a.yaml": content})
    write(place, {"a.yaml": content, "b.yaml": gz(content), "c.tar": packed})
    for problem in told(place, Limits(objects=100)):
        assert problem.isprintable()


@settings(max_examples=60, deadline=None)
@given(
    cut=st.integers(min_value=0, max_value=100_000),
    flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=5),
    form=st.sampled_from(["yaml", "json", "tar", "gz"]),
)
def test_a_damaged_dump_gives_sentences_and_never_an_error(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flips: list[tuple[int, int]], form: str
) -> None:
    content = bytearray(DAMAGED[form])
    for at, byte in flips:
        content[at % len(content)] = byte
    place = write(tmp_path_factory.mktemp("damaged"), {"a.tar": bytes(content[:cut])})
    for problem in told(place):
        assert problem.isprintable()


DAMAGED = {
    "yaml": GOOD.encode(),
    "json": Oc.json(*everything()).encode(),
    "tar": tar(gathered(everything())),
    "gz": gz(tar(gathered(everything()))),
}
