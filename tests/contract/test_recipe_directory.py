"""A recipe directory as it is on disk: what is read, what is refused."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from watcher.clients.recipes import RecipeLimits, load_recipe, stage_recipe
from watcher.core.facts import Repository
from watcher.core.recipe import EntryKind, Recipe
from watcher.ports import Refused, Transient

TARGET = Repository("registry.example.com/team/layered")
TEXT = "FROM quay.io/a/b\r\nCOPY etc /etc\r\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    root = tmp_path / "recipe"
    (root / "etc" / "empty").mkdir(parents=True)
    (root / "Containerfile").write_bytes(TEXT.encode())
    (root / "etc" / "a.conf").write_text("a\n")
    (root / "etc" / "run").write_text("#!/bin/sh\n")
    (root / "etc" / "run").chmod(0o755)
    (root / "etc" / "link").symlink_to("a.conf")
    return root


def load(directory: Path, **options: object) -> Recipe:
    return load_recipe(directory, name="kdump", target=TARGET, **options)  # type: ignore[arg-type]


def refused(directory: Path, **options: object) -> str:
    with pytest.raises(Refused) as caught:
        load(directory, **options)
    text = str(caught.value)
    assert text.startswith("recipe kdump: ")
    assert len(text) < 600
    assert text.isprintable()
    return text


def paths(recipe: Recipe) -> list[str]:
    return [entry.path for entry in recipe.entries]


def test_a_recipe_is_its_text_and_its_files(directory: Path) -> None:
    recipe = load(directory, build_args={"A": "1"})
    assert recipe.containerfile == TEXT
    assert (recipe.name, recipe.target, recipe.build_args) == ("kdump", TARGET, {"A": "1"})
    assert [(entry.path, entry.kind, entry.executable) for entry in recipe.entries] == [
        ("Containerfile", EntryKind.FILE, False),
        ("etc", EntryKind.DIRECTORY, False),
        ("etc/a.conf", EntryKind.FILE, False),
        ("etc/empty", EntryKind.DIRECTORY, False),
        ("etc/link", EntryKind.SYMLINK, False),
        ("etc/run", EntryKind.FILE, True),
    ]


def test_times_and_other_permission_bits_do_not_change_the_digest(directory: Path) -> None:
    before = load(directory).digest
    os.utime(directory / "etc" / "a.conf", (1, 1))
    (directory / "etc" / "a.conf").chmod(0o600)
    (directory / "etc").chmod(0o700)
    assert load(directory).digest == before


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "etc" / "a.conf").write_text("b\n"),
        lambda root: (root / "etc" / "a.conf").chmod(0o755),
        lambda root: (root / "etc" / "a.conf").rename(root / "etc" / "b.conf"),
        lambda root: (root / "etc" / "new").mkdir(),
        lambda root: (root / "Containerfile").write_text(TEXT + "LABEL a=b\n"),
    ],
    ids=["content", "executable", "name", "directory", "text"],
)
def test_each_change_of_the_files_changes_the_digest(
    directory: Path, change: Callable[[Path], object]
) -> None:
    before = load(directory).digest
    change(directory)
    assert load(directory).digest != before


def test_a_dockerfile_is_taken_where_there_is_no_containerfile(directory: Path) -> None:
    (directory / "Containerfile").rename(directory / "Dockerfile")
    assert load(directory).containerfile == TEXT


def test_the_containerfile_can_be_named(directory: Path) -> None:
    (directory / "etc" / "Other").write_text("FROM x/y\n")
    assert load(directory, containerfile="etc/Other").containerfile == "FROM x/y\n"


def test_ignored_files_are_no_part_of_the_recipe(directory: Path) -> None:
    (directory / ".containerignore").write_text("etc/*\n!etc/run\n.containerignore\n")
    (directory / ".dockerignore").write_text("Containerfile\n")
    assert paths(load(directory)) == [".dockerignore", "Containerfile", "etc", "etc/run"]


def test_a_dockerignore_counts_where_there_is_no_containerignore(directory: Path) -> None:
    (directory / ".dockerignore").write_text("etc\n.dockerignore\n")
    assert paths(load(directory)) == ["Containerfile"]


def test_a_mounted_configmap_reads_the_same_whatever_its_time_directory_is_called(
    tmp_path: Path,
) -> None:
    digests = set()
    for name in ("..2026_11_21_07_00_00.1", "..2026_11_22_08_00_00.2"):
        root = tmp_path / f"volume{name}"
        (root / name).mkdir(parents=True)
        (root / name / "Containerfile").write_text(TEXT)
        (root / "..data").symlink_to(name)
        (root / "Containerfile").symlink_to("..data/Containerfile")
        recipe = load(root)
        assert paths(recipe) == ["Containerfile"]
        digests.add(recipe.digest)
    assert len(digests) == 1


# --- what is refused --------------------------------------------------------------------------


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    assert "there is no directory" in refused(tmp_path / "missing")


def test_a_file_in_place_of_the_directory_is_refused(directory: Path) -> None:
    assert "there is no directory" in refused(directory / "Containerfile")


def test_a_directory_without_containerfile_is_refused(directory: Path) -> None:
    (directory / "Containerfile").unlink()
    assert "there is no Containerfile or Dockerfile" in refused(directory)


def test_a_named_containerfile_that_is_missing_is_refused(directory: Path) -> None:
    assert "there is no 'x/Other'" in refused(directory, containerfile="x/Other")


def test_a_containerfile_outside_the_directory_is_refused(directory: Path) -> None:
    (directory.parent / "Other").write_text(TEXT)
    assert "not a path below" in refused(directory, containerfile="../Other")


def test_a_containerfile_that_is_a_link_is_refused(directory: Path) -> None:
    (directory / "Containerfile").rename(directory / "Real")
    (directory / "Containerfile").symlink_to("Real")
    assert "'Containerfile' is a link" in refused(directory)


def test_a_containerfile_that_is_not_utf8_is_refused_with_line_and_byte(directory: Path) -> None:
    (directory / "Containerfile").write_bytes(b"FROM a\nLABEL a=\xe9\n")
    assert "'Containerfile', line 2, byte 9: 0xe9 is not UTF-8" in refused(directory)


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("out", "/etc/passwd"),
        ("out", ".."),
        ("etc/out", "../../recipe/Containerfile"),
        ("etc/out", "up/../x"),
    ],
    ids=["absolute", "parent", "out and in again", "through another link"],
)
def test_a_link_that_leaves_the_directory_is_refused(
    directory: Path, link: str, target: str
) -> None:
    (directory / "etc" / "up").symlink_to("..")
    (directory / link).symlink_to(target)
    assert f"the link '{link}'" in refused(directory)


def test_a_link_that_leaves_is_fine_when_it_is_ignored(directory: Path) -> None:
    (directory / "out").symlink_to("/etc")
    (directory / ".containerignore").write_text("out\n")
    assert "out" not in paths(load(directory))


def test_a_link_that_leaves_by_way_of_an_ignored_one_is_refused(directory: Path) -> None:
    (directory / "out").symlink_to("/etc")
    (directory / "x").symlink_to("out/passwd")
    (directory / ".containerignore").write_text("out\n")
    assert "the link 'x'" in refused(directory)


def test_a_fifo_is_refused_and_does_not_hang(directory: Path) -> None:
    os.mkfifo(directory / "etc" / "fifo")
    assert "'etc/fifo' is neither a file" in refused(directory)


def test_a_containerfile_that_is_a_fifo_is_refused_and_does_not_hang(directory: Path) -> None:
    (directory / "Containerfile").unlink()
    os.mkfifo(directory / "Containerfile")
    assert "'Containerfile' is neither a file" in refused(directory)


def test_a_socket_is_refused(directory: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(directory / "s"))
        assert "'s' is neither a file" in refused(directory)


def test_a_file_name_that_is_not_utf8_is_refused(directory: Path) -> None:
    (directory / os.fsdecode(b"caf\xe9")).write_text("")
    assert "is not UTF-8; rename it" in refused(directory)


def test_a_link_target_that_is_not_utf8_is_refused(directory: Path) -> None:
    (directory / "l").symlink_to(os.fsdecode(b"caf\xe9"))
    assert "the target of the link 'l' is not UTF-8" in refused(directory)


def test_control_characters_of_file_names_do_not_reach_the_message(directory: Path) -> None:
    (directory / "a\n\x1b[31m").symlink_to("/")
    assert "\\x1b" in refused(directory)


def test_a_wrong_ignore_file_is_refused_with_its_line(directory: Path) -> None:
    (directory / ".containerignore").write_text("a\n[b\n")
    assert ".containerignore, line 2: a [ is not closed" in refused(directory)


@pytest.mark.parametrize(
    ("limits", "because"),
    [
        (RecipeLimits(entries=3), "more than 3 files and directories"),
        (RecipeLimits(total_bytes=20), "larger than 20 bytes in all"),
        (RecipeLimits(containerfile_bytes=10), "'Containerfile' is larger than 10 bytes"),
        (RecipeLimits(depth=1), "more than 1 directories below one another"),
    ],
    ids=["entries", "bytes", "containerfile", "depth"],
)
def test_limits_are_kept(directory: Path, limits: RecipeLimits, because: str) -> None:
    assert because in refused(directory, limits=limits)


def test_what_may_not_be_read_is_refused(directory: Path) -> None:
    (directory / "etc" / "a.conf").chmod(0)
    was = os.geteuid()
    if was == 0:
        # Root reads everything, so be nobody for a moment.
        os.seteuid(65534)
    try:
        assert "no permission to read" in refused(directory)
    finally:
        os.seteuid(was)


# --- staging ----------------------------------------------------------------------------------


def test_a_staged_copy_has_what_the_recipe_lists_and_its_modes(
    directory: Path, tmp_path: Path
) -> None:
    (directory / "secret").write_text("x")
    (directory / ".containerignore").write_text("secret\n")
    (directory / "etc" / "a.conf").chmod(0o600)
    recipe = load(directory)
    into = tmp_path / "staged"
    into.mkdir()
    stage_recipe(recipe, directory, into=into)
    assert load(into).digest == recipe.digest
    assert not (into / "secret").exists()
    assert (into / "etc" / "a.conf").stat().st_mode & 0o777 == 0o644
    assert (into / "etc" / "link").readlink() == Path("a.conf")


def test_a_file_out_of_an_ignored_directory_is_staged(directory: Path, tmp_path: Path) -> None:
    (directory / ".containerignore").write_text("*\n!etc/a.conf\n")
    into = tmp_path / "staged"
    into.mkdir()
    stage_recipe(load(directory), directory, into=into)
    assert [path.name for path in into.rglob("*")] == ["etc", "a.conf"]


@pytest.mark.parametrize("replacement", ["other content", "link", "gone"])
def test_staging_a_directory_that_changed_asks_to_read_it_again(
    directory: Path, tmp_path: Path, replacement: str
) -> None:
    recipe = load(directory)
    changed = directory / "etc" / "a.conf"
    changed.unlink()
    if replacement == "link":
        changed.symlink_to("run")
    elif replacement == "other content":
        changed.write_text("b\n")
    (tmp_path / "staged").mkdir()
    with pytest.raises(Transient, match="recipe kdump: its directory changed"):
        stage_recipe(recipe, directory, into=tmp_path / "staged")
