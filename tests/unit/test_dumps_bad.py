"""Dumps with something wrong in them: a sentence with its place, and the rest goes on."""

import os
import random
import time
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from tests import dumped
from tests.dumped import SECRET, Oc, everything, gathered, gz, tar, write
from watcher.clients.dumps import Dumps, Limits, read_dumps
from watcher.clients.dumps.objects import File
from watcher.clients.dumps.yaml_text import YamlPiece, said

NOW = datetime(2027, 1, 1, tzinfo=UTC)


def read(*paths: Path, **limits: int) -> Dumps:
    return read_dumps(paths, limits=Limits(**limits), now=NOW)


def told(dumps: Dumps) -> tuple[str, ...]:
    """Every sentence, but for those about kinds that are missing."""
    every = (*dumps.problems, *(p for view in dumps.views for p in view.problems))
    return tuple(problem for problem in every if "is in the dump; add" not in problem)


def one(dumps: Dumps) -> str:
    (problem,) = told(dumps)
    return problem


def reads_the_rest(dumps: Dumps) -> bool:
    (view,) = dumps.views
    return set(view.pools) == {"master", "worker"} and len(view.nodes) == 2


GOOD = Oc.yaml(*everything())


# --- objects -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_a_malformed_object_costs_only_itself(form: str, tmp_path: Path) -> None:
    bad = dumped.machine_config("99-bad")
    bad["spec"]["extensions"] = {"not": "a list"}
    text = (Oc.yaml if form == "yaml" else Oc.json)(bad, *everything())
    dumps = read(write(tmp_path, {f"prod.{form}": text}))
    line = 3 if form == "yaml" else 4
    assert one(dumps) == (
        f"{tmp_path}/prod.{form}:{line}: MachineConfig 99-bad is left out: Expected `array | null`,"
        " got `object` - at `$.spec.extensions`"
    )
    assert reads_the_rest(dumps)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("kind: Node\n  metadata: x\n   y: [", "5: an object is left out: not valid YAML"),
        (
            "kind: Node\n  metadata: {name: a, name: b}",
            "4: an object is left out: a key is written",
        ),
        ("kind: Node\n  metadata: &a {name: a}", ""),
        ("kind: Node\n  metadata: &a {name: a}\n  spec: *a", "5: an object is left out: aliases"),
        ("kind: Node\n  metadata: !!python/object:os.system {}", "4: an object is left out: tags"),
        ("kind: Node\n  ? [a]\n  : b", "4: an object is left out: a key is not a word"),
        ("kind: Node\n  metadata: {}", "3: Node (without a name) is left out: Object missing"),
        ("kind: Node\n  metadata: {name: ''}", "3: Node (without a name) is left out: it has no"),
        (
            "kind: Node\n  apiVersion: v3\n  metadata: {name: a}",
            "3: Node a is left out: its version",
        ),
        (
            "kind: Node\n  metadata: {name: 7}",
            "3: an object is left out: Expected `str`, got `int`",
        ),
        ("kind: [Node]", "3: an object is left out: Expected `str`, got `array`"),
        ("just text", "3: an object is left out: Expected `object`, got `str`"),
        ("kind: Node\n  metadata: {name: a}\n  status: {x: \x01}", "3: an object is left out: not"),
    ],
)
def test_each_mistake_is_told_with_its_line(bad: str, why: str, tmp_path: Path) -> None:
    items = GOOD.split("items:\n", 1)
    text = f"{items[0]}items:\n- {bad}\n{items[1]}"
    dumps = read(write(tmp_path, {"prod.yaml": text}))
    if why:
        assert one(dumps).startswith(f"{tmp_path}/prod.yaml:{why}")
        assert reads_the_rest(dumps)
    else:
        assert told(dumps) == ()  # an anchor that nothing refers to is only a name


def test_lines_are_those_of_the_file_though_bodies_were_cut(tmp_path: Path) -> None:
    large = Oc.yaml(dumped.machine_config(body=60_000))
    text = f"{large}---\n{large}---\nkind: Node\nmetadata:\n  name: a\n  name: b\n"
    dumps = read(write(tmp_path, {"prod.yaml": text}))
    line = text.count("\n")
    assert told(dumps)[0].startswith(f"{tmp_path}/prod.yaml:{line}: an object is left out: a key")
    bad = Oc.json(dumped.node()).replace('"name"', "name")
    text = Oc.json(dumped.machine_config(body=60_000)) * 2 + bad
    line = text.count("\n") - bad.count("\n") + 1
    dumps = read(write(tmp_path / "json", {"prod.json": text}))
    assert told(dumps)[0].startswith(f"{tmp_path}/json/prod.json:{line}: an object is left out:")


def test_a_config_map_that_the_operator_would_refuse(tmp_path: Path) -> None:
    bad = dumped.os_image_urls()
    del bad["data"]["releaseVersion"]
    dumps = read(write(tmp_path, {"prod.yaml": Oc.yaml(*everything()[:3], bad)}))
    assert "ConfigMap machine-config-osimageurl is left out: data lacks" in one(dumps)


def test_what_a_mirror_set_names_is_not_repeated(tmp_path: Path) -> None:
    bad = dumped.mirror_set()
    bad["spec"]["imageDigestMirrors"][0]["source"] = f"https://me:{SECRET}@quay.io/x y"
    problem = one(read(write(tmp_path, {"prod.yaml": Oc.yaml(*everything()[:3], bad)})))
    assert "ImageDigestMirrorSet mirrors is left out: one of its entries is no mirror" in problem


# --- secrets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        Oc.yaml(dumped.secret()),
        Oc.json(dumped.secret()),
        Oc.json(dumped.secret(), dumped.node()),
        Oc.yaml(dumped.secret()) + f"  broken: '{SECRET}\n",
        Oc.yaml(dumped.secret()).replace("kind: Secret", "kind: [Secret"),
        Oc.json(dumped.secret()).replace('"Secret"', f'"Secret", {SECRET}'),
        Oc.json(dumped.secret())[:-9],
        f"kind: Node\nmetadata:\n  name: {{{SECRET}: &{SECRET} *{SECRET}}}\n",
        f"kind: Node\nmetadata: !{SECRET} {{}}\n",
        f"kind: Node\nmetadata: !{SECRET}!x {{}}\n",
        f"kind: Node\nmetadata: {{name: a, labels: {{{SECRET}: [{SECRET}]}}}}\n",
        f'kind: Node\nmetadata: {{name: a, {SECRET}: "{SECRET}\\q"}}\n',
        f"{SECRET}\n",
        f'["{SECRET}"]',
        f'{{"kind": "Node", "metadata": "{SECRET}"}}',
    ],
)
def test_nothing_of_a_secret_is_ever_said(text: str, tmp_path: Path) -> None:
    dumps = read(write(tmp_path, {"prod.yaml": text, "ok.yaml": Oc.yaml(dumped.pool())}))
    assert SECRET not in repr(dumps)
    assert dumps.views


def test_a_secret_is_not_even_parsed(tmp_path: Path) -> None:
    """A broken one is no problem of anybody: nobody looked."""
    text = Oc.yaml(dumped.secret()).replace("data:", "data: [")
    dumps = read(write(tmp_path, {"prod.yaml": text, "ok.yaml": Oc.yaml(dumped.pool())}))
    assert told(dumps) == ()
    assert dumps.ignored == 1


def test_a_config_map_of_another_name_is_not_even_parsed(tmp_path: Path) -> None:
    """Among them are those of a whole must-gather's namespaces."""
    other = Oc.yaml(dumped.os_image_urls()).replace("machine-config-osimageurl", "other")
    dumps = read(write(tmp_path, {"prod.yaml": other + "broken: [", "ok.yaml": GOOD}))
    assert told(dumps) == ()


@pytest.mark.parametrize(
    "text", [f"a: !{SECRET}!x b", f"%TAG !{SECRET}! x\n%TAG !{SECRET}! x\n---"]
)
def test_neither_parser_of_yaml_quotes(text: str) -> None:
    for parser in (yaml.SafeLoader, yaml.CSafeLoader):
        with pytest.raises(yaml.MarkedYAMLError) as raised:
            list(yaml.parse(text, Loader=parser))
        assert SECRET not in said(raised.value)


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (GOOD.encode("utf-16"), "UTF-16, not UTF-8: it is not read; convert it first"),
        (b"BZh91AY", "compressed with bzip2: it is not read; convert it first"),
        (b"\xfd7zXZ\0\0", "compressed with xz: it is not read; convert it first"),
        (b"PK\x03\x04...", "a zip archive: it is not read; convert it first"),
        (b"kind: Node\nmetadata:\n  name: \xff\xfe\n", "1: an object is left out: not UTF-8"),
        (b"\x1f\x8b\x08\0\0", "it ends within its compressed stream; the rest is left out"),
        (b"\x1f\x8bnothing of gzip", "malformed gzip: "),
        (gz(GOOD)[:-200], "it ends within its compressed stream; the rest is left out"),
        (b'{"kind": "Node", "metadata": {', "1: it ends within an object"),
        (b'\n[{"kind": "Node"}, 7]', "2: not an object, or not JSON"),
        (b"[1, 2]", "1: not an object, or not JSON"),
        (b'{"a": 1}}', "1: not valid JSON"),
        (b'{"kind": "Node", x}', "1: an object is left out: not valid JSON"),
        (b'{"kind": "Node\xff"}', "1: an object is left out: not UTF-8"),
        (b"{" * 5000 + b"}" * 5000, "1: an object is left out: "),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "1: an object is left out: not valid JSON"),
        (tar({"a.tar": tar({"b.yaml": "x"})}), "/a.tar: an archive within an archive is not read"),
        (tar({"a.yaml": "x" * 900})[:700], "/a.yaml: the archive ends within an entry"),
        (tar({"a.yaml": "kind: X\n"})[:512] + b"7" * 512, ""),
    ],
)
def test_a_file_that_is_none_costs_only_itself(content: bytes, why: str, tmp_path: Path) -> None:
    write(tmp_path, {"ok.yaml": GOOD, "z.tar": content})
    dumps = read(tmp_path)
    assert reads_the_rest(dumps)
    places = tuple(f"{tmp_path}/z.tar{mark}{why}" for mark in ("", ":", ": "))
    assert any(problem.startswith(places) for problem in told(dumps)), told(dumps)


def test_what_came_before_the_end_of_a_cut_off_file_counts(tmp_path: Path) -> None:
    packed = gz(tar({"a.yaml": Oc.yaml(*everything()), "b.yaml": random.Random(1).randbytes(9000)}))
    dumps = read(write(tmp_path, {"prod.tgz": packed[:-4000]}))
    assert reads_the_rest(dumps)
    assert any("ends within its compressed stream" in problem for problem in told(dumps))


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    problems = read(tmp_path / "no", Path("a\0b"), Path("x" * 5000)).problems
    assert problems == (
        f"{tmp_path}/no: No such file or directory",
        "a b: cannot be read",
        f"{'x' * 299}…: File name too long",
    )


def test_a_dump_of_nothing_is_said(tmp_path: Path) -> None:
    write(tmp_path, {"README.md": "hello", "empty.yaml": "", "x.yaml": "---\n---\n# no\n...\n"})
    assert one(read(tmp_path)).startswith(f"{tmp_path}: holds nothing of a cluster; expected is")
    assert one(read()).startswith("no path: holds nothing")


def test_links_and_pipes_in_a_directory_are_not_followed(tmp_path: Path) -> None:
    """A dump comes from elsewhere: what it points to is nobody's to read, and a pipe never ends."""
    outside = write(tmp_path / "outside", {"x.yaml": Oc.yaml(dumped.node("outside"))})
    place = write(tmp_path / "dump", {"ok.yaml": GOOD})
    (place / "link.yaml").symlink_to(outside / "x.yaml")
    (place / "directory").symlink_to(outside)
    (place / "loop").symlink_to(place)
    os.mkfifo(place / "pipe.yaml")
    dumps = read(place)
    assert reads_the_rest(dumps)
    assert told(dumps) == ()


def test_entries_of_an_archive_that_are_no_files_or_lead_out_of_it(tmp_path: Path) -> None:
    files = gathered(everything()) | {"../../evil.yaml": GOOD, "/abs/x.yaml": "kind: X"}
    dumps = read(write(tmp_path, {"prod.tar": tar(files)}))
    assert reads_the_rest(dumps)
    assert not any("evil" in repr(view) for view in dumps.views)
    assert os.listdir(tmp_path) == ["prod.tar"]


# --- limits --------------------------------------------------------------------------------------


def test_each_limit_is_named(tmp_path: Path) -> None:
    place = write(tmp_path, {"ok.yaml": GOOD})
    assert "the dumps are larger than the limit of 1000 bytes" in one_of(
        read(place, total_bytes=1000)
    )
    assert "larger than the limit of 999 bytes; the rest" in one_of(read(place, file_bytes=999))
    assert "more than the limit of 3 objects" in one_of(read(place, objects=3))
    assert "more than the limit of 50 values" in one_of(read(place, values=50))
    assert "deeper than the limit of 2 levels" in one_of(read(place, depth=2))
    assert "more than the limit of 9 lines; the rest is left out" in one_of(read(place, lines=9))
    assert "larger than the limit of 700 bytes" in one_of(read(place, object_bytes=700))
    long = write(tmp_path / "long", {"a.yaml": "x" * 999})
    assert "line 1 is longer than the limit of 700 bytes" in one_of(read(long, object_bytes=700))
    write(place, {f"{n}.yaml": "" for n in range(9)})
    assert "more than the limit of 9 files" in one_of(read(place, entries=9))


def one_of(dumps: Dumps) -> str:
    return told(dumps)[0]


def test_a_limit_of_the_whole_is_told_of_every_cluster(tmp_path: Path) -> None:
    """Nobody knows whose the rest was."""
    write(tmp_path, {"prod.yaml": GOOD, "stage.yaml": Oc.yaml(*everything(cluster_id="2"))})
    dumps = read(tmp_path, objects=15)
    assert len(dumps.views) == 2
    for view in dumps.views:
        assert "the limit of 15 objects; the rest is left out" in view.problems[-1]


def test_an_object_beyond_the_limit_costs_only_itself(tmp_path: Path) -> None:
    large = dumped.machine_config("99-large")
    large["metadata"]["annotations"] = {f"a{n}": "x" * 100 for n in range(500)}
    for form in (Oc.yaml, Oc.json):
        place = write(tmp_path / form.__name__, {"prod.yaml": form(large, *everything())})
        dumps = read(place, object_bytes=30_000)
        assert "larger than the limit of 30000 bytes" in one(dumps)
        assert reads_the_rest(dumps)


def test_a_json_object_that_would_have_to_be_held_ends_its_file(tmp_path: Path) -> None:
    """Its end is not known before its strings are read."""
    large = dumped.machine_config("99-large", body=2_000_000)
    place = write(tmp_path, {"a.json": Oc.json(*everything()) + Oc.json(large), "b.json": ""})
    dumps = read(place, object_bytes=500_000)
    assert "an object is larger than the limit of 500000 bytes; the rest of the file" in one(dumps)
    assert reads_the_rest(dumps)


def test_what_is_beyond_a_limit_is_not_held_either() -> None:
    piece = YamlPiece(Limits(object_bytes=100), 0)
    file = File((), (), "x")
    for number in range(1000):
        piece.add(number, b"a line\n")
        file.tell("wrong", limit=10)
    assert len(piece.text) <= 100
    assert (len(file.problems), file.untold) == (10, 990)


def test_problems_beyond_the_limit_are_counted(tmp_path: Path) -> None:
    bad = "kind: Node\nmetadata: {}\n---\n" * 50
    dumps = read(write(tmp_path, {"a.yaml": GOOD, "b.yaml": bad, "c.yaml": bad}), problems=7)
    (view,) = dumps.views
    assert len(view.problems) == 8
    assert view.problems[-1] == "93 more objects are left out"


@pytest.mark.parametrize(
    "bomb",
    [
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{a}: &{a} [{','.join([f'*{b}'] * 9)}]\n" for b, a in pairwise("abcdefghij")),
        "kind: Node\nmetadata: " + "[" * 100_000,
        "kind: Node\nmetadata: " + "{a: " * 100_000,
        "kind: Node\nmetadata:\n" + "".join(f"{' ' * n}a:\n" for n in range(1, 2000)),
        "kind: Node\nmetadata: [" + "a," * 1_000_000 + "]",
        "- " * 100_000,
        "? " * 100_000,
        "items:\n" + "- " * 100_000,
        '{"items": [' * 100_000,
        '"' * 3_000_000,
        '{"kind": "' + '\\"' * 1_500_000,
        '{"a": "' + "\\" * 3_000_000,
        "\n" * 3_000_000,
        "items:\n" + "- a\n" * 20_000,
    ],
)
def test_bombs_end_soon(bomb: str, tmp_path: Path) -> None:
    began = time.perf_counter()
    dumps = read(write(tmp_path, {"ok.yaml": GOOD, "z.yaml": bomb}))
    assert reads_the_rest(dumps)
    assert time.perf_counter() - began < 5


def test_a_compressed_bomb_ends_at_the_limit(tmp_path: Path) -> None:
    files = {"a.yaml": gz(b" \n" * 25_000_000), "b.tar": tar({"a.bin": b"\0" * 20_000_000})}
    files["c.tar"] = gz(files["b.tar"])
    for name, content in files.items():
        place = write(tmp_path / name, {"0.yaml": GOOD, name: content})
        dumps = read(place, total_bytes=10_000_000)
        assert reads_the_rest(dumps)
        assert "the dumps are larger than the limit of 10000000 bytes" in told(dumps)[0]


@pytest.mark.parametrize("lines", ["items:\n", "items:\na:\n", "kind: NodeList\nitems:\nb: 1\n"])
def test_a_list_that_begins_again_and_again_is_looked_at_once(lines: str, tmp_path: Path) -> None:
    # Each beginning once asked everything before it for its kind: a megabyte took an hour.
    began = time.monotonic()
    told(read(write(tmp_path, {"bomb.yaml": lines * (1_000_000 // len(lines))})))
    assert time.monotonic() - began < 20


def test_a_block_to_cut_in_every_line_costs_no_more_than_others(tmp_path: Path) -> None:
    text = "kind: Node\nmetadata:\n  name: x\n" + "  config:\n" * 150_000
    began = time.monotonic()
    told(read(write(tmp_path, {"bomb.yaml": text})))
    assert time.monotonic() - began < 4
