"""YAML and JSON cut into objects: as a plain parser would have read them, however they come."""

import json
import random
import string
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import dumped
from tests.dumped import Document, Oc, everything
from watcher.clients.dumps.cutting import cut
from watcher.clients.dumps.json_text import json_pieces
from watcher.clients.dumps.limits import Limits
from watcher.clients.dumps.pieces import Unreadable
from watcher.clients.dumps.yaml_text import yaml_pieces

LIMITS = Limits()

words = st.text(alphabet=string.ascii_letters + " -:#'\"\\\n{}[],&*!|>%@\té~0.", max_size=12)
values = st.recursive(
    st.one_of(words, st.integers(-(10**9), 10**9), st.booleans(), st.none()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(words.filter(bool), inner, max_size=3)
    ),
    max_leaves=12,
)
objects = st.builds(
    lambda kind, spec, status: {"kind": kind, "spec": spec, "status": status},
    st.sampled_from(["Node", "Pod", "MachineConfig"]),
    values,
    values,
)
cuts = st.lists(st.integers(0, 3000), max_size=6)


def chunks(text: bytes, at: list[int]) -> Iterator[bytes]:
    begin = 0
    for end in sorted(at):
        yield text[begin:end]
        begin = max(begin, end)
    yield text[begin:]


def dump(document: object, *, width: int) -> str:
    text: str = yaml.dump(document, width=width, allow_unicode=True, Dumper=yaml.SafeDumper)
    return text


def read_yaml(text: bytes, at: list[int]) -> list[Any]:
    pieces = list(yaml_pieces(chunks(text, at), limits=LIMITS))
    return [p if isinstance(p, Unreadable) else p.read(dict[str, Any]) for p in pieces]


def read_json(text: bytes, at: list[int]) -> list[Any]:
    pieces = list(json_pieces(chunks(text, at), limits=LIMITS))
    return [p if isinstance(p, Unreadable) else p.read(dict[str, Any]) for p in pieces]


@settings(max_examples=100, deadline=None)
@given(st.lists(objects, min_size=1, max_size=3), cuts, st.booleans(), st.sampled_from([20, 10**9]))
def test_yaml_is_read_as_a_parser_reads_it(
    items: list[Document], at: list[int], windows: bool, width: int
) -> None:
    listed = dump({"apiVersion": "v1", "items": items, "kind": "List"}, width=width)
    alone = "---\n".join(dump(item, width=width) for item in items)
    text = f"{listed}---\n{alone}".encode()
    if windows:
        text = text.replace(b"\n", b"\r\n")
    assert read_yaml(text, at) == [*items, *items]


@settings(max_examples=100, deadline=None)
@given(st.lists(objects, min_size=1, max_size=3), cuts, st.sampled_from([None, 4]), st.booleans())
def test_json_is_read_as_a_parser_reads_it(
    items: list[Document], at: list[int], indent: int | None, escaped: bool
) -> None:
    listed = {"apiVersion": "v1", "a": {"items": [{"x": 1}]}, "items": items, "z": [{"items": 1}]}
    several = [listed, *items, items]
    text = "\n".join(json.dumps(one, indent=indent, ensure_ascii=escaped) for one in several)
    assert read_json(text.encode(), at) == [*items, *items, *items]


@settings(max_examples=100, deadline=None)
@given(cuts, st.lists(values, min_size=4, max_size=4), st.booleans())
def test_what_is_cut_is_the_block_and_nothing_else(
    at: list[int], there: list[Any], windows: bool
) -> None:
    config, before, after, last = there
    body = {"storage": [config, {"a": [config]}], "unit": "[Unit]\n\n  config:\n    x\n"}
    kept = {"a": before, "osImageURL": after, "z": last}
    images = [config, {"names": [config]}]
    document = {"spec": {**kept, "config": body, "images": images}, "zz": 1}
    text = dump(document, width=10**9).encode()
    if windows:
        text = text.replace(b"\n", b"\r\n")
    given_lines = list(cut(chunks(text, at), longest_line=10**6))
    lines = text.split(b"\n")
    left = b"".join(part for _, part in given_lines)
    for number, part in given_lines:
        for offset, line in enumerate(part.removesuffix(b"\n").split(b"\n")):
            assert lines[number - 1 + offset] == line
    found = yaml.load(left, Loader=yaml.SafeLoader)
    assert found == {"spec": {**kept, "config": None, "images": None}, "zz": 1}


@pytest.mark.parametrize("size", [1, 7, 64, 5000])
def test_cutting_does_not_depend_on_how_the_bytes_come(size: int) -> None:
    text = Oc.yaml(*everything()).encode()
    parts = [text[n : n + size] for n in range(0, len(text), size)]
    whole = b"".join(part for _, part in cut([text], longest_line=10**6))
    assert b"".join(part for _, part in cut(parts, longest_line=10**6)) == whole
    assert b"ExecStart" not in whole
    assert b"<none>:<none>" not in whole
    assert b"osImageURL" in whole


@pytest.mark.parametrize(
    "text",
    [
        "config: x\n",
        "config: {a: b}\n",
        "config: |\n  text\n",
        "configuration:\n  name: x\n",
        "a:\n              config:\n                deep: 1\n",
        "my-config:\n  a: 1\n",
    ],
)
def test_what_is_no_block_under_such_a_key_stays(text: str) -> None:
    assert b"".join(part for _, part in cut([text.encode()], longest_line=99)) == text.encode()


def test_comments_and_blank_lines_do_not_end_a_block() -> None:
    text = b"spec:\n  config:\n    a:\n\n# here\n  # and here\n    b: 1\n\n  z: 1\n"
    assert b"".join(p for _, p in cut([text], longest_line=99)) == b"spec:\n  config:\n  z: 1\n"


def test_a_list_whose_dashes_stand_under_its_key_is_cut_too() -> None:
    text = b"status:\n  images:\n  - names:\n    - a\n  -\n    b: 1\n  z: 1\n"
    for size in range(1, len(text)):
        parts = [text[n : n + size] for n in range(0, len(text), size)]
        left = b"".join(part for _, part in cut(parts, longest_line=99))
        assert left == b"status:\n  images:\n  z: 1\n"


def test_a_large_body_is_never_parsed() -> None:
    """What a parser would refuse is not seen by it: a body need not even be YAML."""
    text = Oc.yaml(dumped.machine_config()).replace("    ignition:\n", "    ]]: {{\n      :x:\n")
    (found,) = read_yaml(text.encode(), [])
    assert found["spec"]["config"] is None
    assert found["spec"]["osImageURL"] == dumped.LAYERED


def test_numbers_and_words_that_are_not_quoted() -> None:
    said: dict[str, object] = {
        "1": 1,
        "-1.5": -1.5,
        "true": True,
        "'true'": "true",
        "0x1F": "0x1F",
        "22:00": "22:00",
        "no": "no",
        "~": None,
        "1e3": 1000.0,
        "2026-01-01": "2026-01-01",
        "007": "007",
        ".5": ".5",
        "'1'": "1",
        "": None,
        "null": None,
        "NULL": None,
        "False": False,
    }
    text = "".join(f"k{number}: {value}\n" for number, value in enumerate(said))
    (found,) = read_yaml(text.encode(), [])
    assert list(found.values()) == list(said.values())
    assert [type(value) for value in found.values()] == [type(value) for value in said.values()]


def test_a_thousand_objects_need_no_more_than_the_largest() -> None:
    """Objects are given before the rest of the list has come."""
    item = dumped.machine_config(body=100_000)
    for text, read in (
        (Oc.yaml(*[item] * 50), yaml_pieces),
        (Oc.json(*[item] * 50), json_pieces),
    ):
        taken = 0

        def feed(data: bytes) -> Iterator[bytes]:
            nonlocal taken
            for begin in range(0, len(data), 65536):
                taken = begin
                yield data[begin : begin + 65536]

        first = next(iter(read(feed(text.encode()), limits=LIMITS)))
        assert not isinstance(first, Unreadable)
        assert taken < 400_000


def test_deep_strings_of_escapes_in_pieces() -> None:
    rng = random.Random(7)
    item = {"kind": "Node", "x": "".join(rng.choices('\\"{}[]a', k=3000))}
    text = json.dumps({"items": [item, item]}).encode()
    assert read_json(text, [rng.randrange(len(text)) for _ in range(300)]) == [item, item]
