"""What lint makes of commands, of COPY, and of comments that tell it to be quiet."""

import pytest

from tests.linting import BASE, codes, complaints, lines
from watcher.core.containerfile import scan
from watcher.core.lint import shell
from watcher.core.lint.of_runs import package_of
from watcher.core.lint.places import covers
from watcher.core.lint.shell import Command, Lines, unquoted


def commands(text: str, **values: str) -> list[Command]:
    [step] = [one for one in scan(text).instructions if one.name == "RUN"]
    return list(shell.commands(step, lines=Lines(text), values=values)[0])


def words(text: str, **values: str) -> list[tuple[str, ...]]:
    return [one.words for one in commands(text, **values)]


# --- commands ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("RUN a b && c || d; e | f & g", ["a b", "c", "d", "e", "f", "g"]),
        ("RUN if [ -f x ]; then A=1 sudo a; fi", ["[ -f x ]", "a", "fi"]),
        ("RUN { a; (b); }", ["a", "b", "}"]),
        ("RUN a 'b;c' \"d && e\" f\\ g", ["a|b;c|d && e|f g"]),
        ("RUN a $(b c) `d`", ["a $", "b c", "`d`"]),
        ("RUN a # b; c", ["a"]),
        ('RUN ["a", "b c"]', ["a|b c"]),
        ('RUN ["sh", "-c", "a; b"]', ["sh|-c|a; b", "a", "b"]),
        ("RUN sh -c 'a; bash -c \"b\"'", ['sh|-c|a; bash -c "b"', "a", "bash -c b", "b"]),
        ("RUN a 2>&1 >/dev/null <x y", ["a y"]),
    ],
    ids=lambda value: value[:24].replace(" ", "_") if isinstance(value, str) else "",
)
def test_commands_are_taken_apart(text: str, expected: list[str]) -> None:
    wanted = [tuple(one.split("|" if "|" in one else " ")) for one in expected]
    assert words(text) == wanted


def test_every_command_knows_its_line() -> None:
    text = "RUN a && \\\n # comment\n b; c \\\n  && d\n"
    assert [(one.name, one.line) for one in commands(text)] == [
        *(("a", 1), ("b", 3), ("c", 3), ("d", 4)),
    ]


def test_lines_of_heredocs_are_counted() -> None:
    text = "FROM x\nRUN <<A <<B\na\n\n# b\nc\nA\nd\nB\nUSER 1"
    assert [(one.name, one.line) for one in commands(text)] == [("a", 3), ("c", 6), ("d", 8)]


def test_heredocs_of_other_programs_and_files_are_no_commands() -> None:
    assert words("RUN python3 <<A\nrm x\nA") == [("python3",)]
    assert words("RUN <<A\n#!/usr/bin/python3\nrm x\nA") == []
    assert words("RUN <<A\n#!/usr/bin/env bash\nrm x\nA") == [("rm", "x")]
    inner = "RUN <<A\ncat > /opt/x <<B\nrm y\nB\nrm z\nA"
    assert words(inner) == [("cat",), ("rm", "z")]
    assert commands(inner)[0].writes == ("/opt/x",)


def test_known_variables_are_replaced_and_others_kept() -> None:
    assert words("RUN a $D/x \"${D}\" '$D' $E \\$D", D="/opt") == [
        ("a", "/opt/x", "/opt", "$D", "$E", "$D")
    ]
    assert unquoted("$A" * 5000, {"A": "x" * 4096}) == "$A" * 5000


def test_a_run_is_read_only_so_far() -> None:
    text = "RUN " + "a;" * (shell.MOST_COMMANDS + 1)
    [step] = scan(text).instructions
    found, whole = shell.commands(step, lines=Lines(text), values={})
    assert len(found) == shell.MOST_COMMANDS
    assert not whole
    assert "RL090" in codes(complaints(BASE + text))


@pytest.mark.parametrize(
    ("word", "package"),
    [
        ("htop", "htop"),
        ("kernel-rt-core", "kernel-rt-core"),
        ("https://x.io/a/kernel-core-5.14.0-295.el9.x86_64.rpm", "kernel-core"),
        ("/x/kernel-{,core-,modules-}5.14.rpm", "kernel"),
        ("/x/kernel-[0-9]*.rpm", "kernel"),
        ("/x/*.rpm", ""),
        ("libreswan.rpm", "libreswan"),
    ],
)
def test_a_package_is_known_by_its_file(word: str, package: str) -> None:
    assert package_of(word) == package


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("/tmp/a", "/tmp/a", True),
        ("/tmp", "/tmp/a/b", True),
        ("/tmp/", "/tmp/a", True),
        ("/tmp/*", "/tmp/a/b", True),
        ("/tmp/a*", "/tmp/b", False),
        ("/tmp/a", "/tmp/ab", False),
        ("tmp", "/tmp/a", False),
        ("", "/tmp/a", False),
    ],
)
def test_what_removing_a_path_reaches(pattern: str, path: str, expected: bool) -> None:
    assert covers(pattern, path) is expected


# --- COPY ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("copy", "is_there"),
    [
        ("COPY f /opt", True),
        ("COPY f /usr/", False),
        ("COPY ./d/../f /opt/", True),
        ("COPY d /opt", True),
        ("COPY d/g /usr/../opt/g", True),
        ('COPY ["f", "/opt/x"]', True),
        ("COPY d/* /opt/", True),
        ("COPY */f /opt/", False),
        ("COPY missing /opt/", False),
        ("COPY --parents d/g /opt", True),
        ("COPY --chmod=755 --chown=0:0 f /opt/f", True),
        ("COPY f \\\n  /opt/f", True),
    ],
)
def test_files_are_followed_to_their_place(copy: str, is_there: bool) -> None:
    assert bool(lines("RL009", BASE + copy, "f", "d/g")) is is_there


def test_a_file_keeps_its_name_below_a_directory() -> None:
    [one] = [c for c in complaints(BASE + "COPY d /opt/t", "d/g/h") if c.code == "RL009"]
    assert one.sentence.startswith("/opt/t/g/h: ")
    [one] = [c for c in complaints(BASE + "COPY --parents d/g /opt", "d/g") if c.code == "RL009"]
    assert one.sentence.startswith("/opt/d/g: ")


def test_many_files_of_a_copy_are_counted() -> None:
    files = [f"d/{n}" for n in range(30)]
    [one] = [c for c in complaints(BASE + "COPY d /opt/", *files) if c.code == "RL009"]
    assert "25 more" in one.sentence


def test_other_stages_do_not_end_up_in_the_image() -> None:
    text = "FROM a.io/b@sha256:" + "0" * 64 + " AS b\nCOPY id_rsa /opt/\n" + BASE
    assert not {"RL009", "RL013"} & codes(complaints(text, "id_rsa"))
    chained = BASE.strip() + " AS b\nCOPY id_rsa /opt/\nFROM b\n"
    assert {"RL009", "RL013"} <= codes(complaints(chained, "id_rsa"))


# --- comments ------------------------------------------------------------------------------------

COPY = "COPY a /opt/a"


@pytest.mark.parametrize(
    "text",
    [
        f"# relayer:ignore RL009 tested by hand\n{COPY}",
        f"#relayer:ignore rl009: tested by hand\n{COPY}",
        "# relayer:ignore RL009, RL013 tested\nCOPY id_rsa /opt/a",
        f"# relayer:ignore RL009 tested\n# and more\n{COPY}",
        "# relayer:ignore RL009 x\nRUN true && \\\n mkdir /opt/a",
        "RUN true && \\\n # relayer:ignore RL009 x\n mkdir /opt/a",
        "RUN mkdir /opt/a # relayer:ignore RL009 x",
        "RUN <<EOF\nmkdir /opt/a # relayer:ignore RL009 x\nEOF",
        "RUN <<EOF\n# relayer:ignore RL009 x\nmkdir /opt/a\nEOF",
    ],
    ids=range(9),
)
def test_a_comment_ignores_a_rule(text: str) -> None:
    found = codes(complaints(BASE + text, "a", "id_rsa"))
    assert not {"RL009", "RL013", "RL091", "RL092", "RL093"} & found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"# relayer:ignore RL009\n{COPY}", [("RL093", 2)]),
        (f"# relayer:ignore RL008 why\n{COPY}", [("RL009", 3), ("RL092", 2)]),
        (f"# relayer:ignore RL777 why\n{COPY}", [("RL009", 3), ("RL091", 2)]),
        (f"# relayer:ignore\n{COPY}", [("RL009", 3), ("RL091", 2)]),
        (f"# relayer:ignore the next line\n{COPY}", [("RL009", 3), ("RL091", 2)]),
        (f"# relayer:ignore RL009 why\n\n{COPY}", [("RL009", 4), ("RL092", 2)]),
        (f"# relayer:ignore RL009 why\nUSER root\n{COPY}", [("RL009", 4), ("RL092", 2)]),
        (f"{COPY}\n# relayer:ignore RL009 why", [("RL009", 2), ("RL092", 3)]),
        (f"# relayer:ignore RL092 why\n{COPY}", [("RL009", 3), ("RL091", 2)]),
        ("COPY <<E /opt/a\n# relayer:ignore RL009 content\nE", [("RL009", 2)]),
        ("USER app # relayer:ignore RL018 why", [("RL018", 2)]),
    ],
    ids=range(11),
)
def test_a_comment_that_ignores_nothing_is_told(text: str, expected: list[tuple[str, int]]) -> None:
    assert sorted((one.code, one.line) for one in complaints(BASE + text, "a")) == expected
