"""Which recipes need no container, and what they ask for."""

import pytest

from watcher.core.append import (
    CopyFiles,
    InlineFile,
    SetEnv,
    SetLabels,
    Source,
    Step,
    append_only,
    plan,
)
from watcher.core.containerfile import scan
from watcher.core.facts import Malformed
from watcher.core.patterns import IgnoreRules, glob
from watcher.core.words import expand, variables

FROM = "FROM quay.io/a/rhel-coreos@sha256:" + "01" * 32 + "\n"


def steps(text: str, **given: dict[str, str]) -> tuple[Step, ...]:
    scanned = scan(FROM + text)
    assert append_only(scanned) == []
    return plan(scanned, **given)


def copied(text: str) -> CopyFiles:
    (step,) = steps(text)
    assert isinstance(step, CopyFiles)
    return step


def test_a_recipe_of_files_labels_and_variables_is_append_only() -> None:
    text = (
        "ARG A=1\nLABEL a=b\nENV c=d\nCOPY --chmod=0600 --chown=1:2 a b\nADD a b\nCOPY <<E /x\nE\n"
    )
    assert append_only(scan(FROM + text)) == []


@pytest.mark.parametrize(
    ("line", "because"),
    [
        ("RUN true", "RUN needs the buildah builder"),
        ("WORKDIR /x", "WORKDIR needs the buildah builder"),
        ("USER x", "USER needs the buildah builder"),
        ("ONBUILD RUN x", "ONBUILD needs the buildah builder"),
        ("COPY --from=build /a /b", "COPY --from=build needs"),
        ("COPY --link a b", "COPY --link needs"),
        ("COPY --parents a b", "COPY --parents needs"),
        ("COPY --exclude=x a b", "COPY --exclude needs"),
        ("COPY --chmod=u+x a b", "COPY --chmod with anything but octal digits"),
        ("COPY --chmod=${M} a b", "COPY --chmod with anything but octal digits"),
        ("COPY --chown=root a b", "COPY --chown with anything but numbers"),
        ("ADD https://example.com/x /x", "ADD from a URL or from git"),
        ("ADD git@example.com:a/b /x", "ADD from a URL or from git"),
        ("ADD --checksum=sha256:1 a b", "ADD --checksum needs"),
        ("COPY <<E /x\na\\b\nE", "COPY of a heredoc with quotes or escapes"),
        ("COPY <<E /x\n'$a'\nE", "COPY of a heredoc with quotes or escapes"),
    ],
)
def test_what_needs_another_builder_is_named_with_its_line(line: str, because: str) -> None:
    (reason,) = append_only(scan(FROM + "LABEL a=b\n" + line + "\n"))
    assert str(reason).startswith(f"line 3: {because}")


def test_only_the_stages_down_to_the_base_count() -> None:
    text = FROM.strip() + " AS os\nCOPY a /a\nFROM x/y\nRUN z\nFROM os\nCOPY b /b\n"
    scanned = scan(text)
    assert append_only(scanned) == []
    assert [step.line for step in plan(scanned)] == [2, 6]


def test_a_from_with_a_platform_of_its_own_needs_another_builder() -> None:
    assert append_only(scan("FROM --platform=linux/arm64 x/y\n"))
    assert not append_only(scan("FROM --platform=$TARGETPLATFORM x/y\n"))


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (
            "LABEL a=b c=\"d e\" f='$x' g=h\\ i",
            [("a", "b"), ("c", "d e"), ("f", "$x"), ("g", "h i")],
        ),
        ("LABEL a some text", [("a", "some text")]),
        ('LABEL "a.b"="" \\\n  c=""', [("a.b", ""), ("c", "")]),
        ('LABEL a="say \\"yes\\" for \\$5"', [("a", 'say "yes" for $5')]),
    ],
)
def test_labels_are_read_without_quotes_and_escapes(
    text: str, labels: list[tuple[str, str]]
) -> None:
    assert steps(text) == (SetLabels(2, tuple(labels)),)


def test_env_is_read_with_the_variables_as_they_were_before() -> None:
    made = steps("ENV a=hello\nENV a=bye b=$a\nENV c=$a\n")
    assert made[1:] == (SetEnv(3, (("a", "bye"), ("b", "hello"))), SetEnv(4, (("c", "bye"),)))


def test_arguments_come_from_the_build_the_default_or_the_heading() -> None:
    body = "ARG top\nARG own=${top}2\nARG bare\nLABEL a=$own b=$bare c=$no"
    text = f"ARG top=1\nARG bare\n{FROM}{body}"
    scanned = scan(text)
    assert plan(scanned) == (SetLabels(7, (("a", "12"), ("b", ""), ("c", ""))),)
    given = plan(scanned, build_args={"top": "5", "bare": "x", "no": "never declared"})
    assert given == (SetLabels(7, (("a", "52"), ("b", "x"), ("c", ""))),)


def test_env_goes_before_arg_also_that_of_the_base() -> None:
    made = steps("ARG P=arg\nLABEL a=$P", base_env={"P": "base"})
    assert made == (SetLabels(3, (("a", "base"),)),)


def test_copies_carry_mode_owner_and_sources() -> None:
    made = copied("COPY --chmod=640 --chown=7 ./a//b *.conf /etc/\n")
    assert made.sources == (Source("a/b", False), Source("*.conf", True))
    assert (made.destination, made.mode, made.owner) == ("/etc/", 0o640, (7, 7))
    assert copied("COPY . /\n").sources == (Source("", False),)
    assert copied("ADD a /\n").unpacks


def test_the_list_form_keeps_spaces() -> None:
    assert copied('COPY ["a b", "/c d"]\n').sources == (Source("a b", False),)


def test_a_heredoc_is_a_file() -> None:
    made = copied("COPY <<A <<-'B' /x/\nhello\nA\n\t$name\nB\n")
    assert made.sources == (InlineFile("A", "hello\n"), InlineFile("B", "$name\n"))


def test_variables_in_a_heredoc_are_replaced_unless_it_is_quoted() -> None:
    made = steps("ARG v=1\nCOPY <<A /x\n${v}-$v\nA\n")
    assert isinstance(made[0], CopyFiles)
    assert made[0].sources == (InlineFile("A", "1-1\n"),)


@pytest.mark.parametrize(
    ("line", "because"),
    [
        ("COPY a", "line 2: COPY takes a source and a destination"),
        ("COPY ../a /b", "line 2: '../a' leaves the recipe directory"),
        ("COPY a b /c", "line 2: COPY of several sources"),
        ("COPY a $no", "line 2: COPY has an empty destination"),
        ("LABEL a=b c", "line 2: LABEL takes name=value"),
        ("LABEL", "line 2: LABEL without anything"),
        ("ENV a", "line 2: ENV a without a value"),
        ('ENV a="b', "line 2: a quote is not closed"),
        ("ENV a=" + "${b:-" * 5000 + "}" * 5000, "line 2: variables within one another"),
        ("ENV a=x" + "\nENV a=$a$a" * 40, "line 23: variables make it longer"),
        ("ENV a=${b%c}", "line 2: this form of variable"),
        ('ENV a="${b:?say why}"', "line 2: variable b is required: say why"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_its_line(line: str, because: str) -> None:
    with pytest.raises(Malformed, match=because):
        steps(line + "\n")


@pytest.mark.parametrize(
    ("word", "result"),
    [
        ("$a", "1"),
        ("${a}x", "1x"),
        ("$ax", ""),
        ("${e:-d}|${e-d}|${n:-d}|${n-d}", "d||d|d"),
        ("${a:+y}|${e:+y}|${e+y}|${n+y}", "y||y|"),
        ("${n:-${a}}", "1"),
        ("'$a'", "$a"),
        ('"$a"', "1"),
        ("\\$a", "$a"),
        ('"\\n\\$"', "\\n$"),
        ("$", "$"),
        ("$(a)", "$(a)"),
    ],
)
def test_variables_are_replaced_as_the_reference_says(word: str, result: str) -> None:
    assert expand(word, {"a": "1", "e": ""}) == result


def test_all_variables_of_a_word_are_named() -> None:
    assert variables("$a/${b:-$c}\\$d") == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("pattern", "matches", "others"),
    [
        ("*.conf", ["a.conf", ".conf"], ["a/b.conf", "a.config"]),
        ("a?c", ["abc"], ["a/c", "ac"]),
        ("[a-c]", ["b"], ["d", "/"]),
        ("[^a]", ["b"], ["a", "/"]),
        ("a\\*", ["a*"], ["ab"]),
        ("a.b+", ["a.b+"], ["axbb"]),
    ],
)
def test_patterns_follow_go(pattern: str, matches: list[str], others: list[str]) -> None:
    found = glob(pattern)
    assert all(found.fullmatch(path) for path in matches)
    assert not any(found.fullmatch(path) for path in others)


def test_a_class_that_is_not_closed_is_refused() -> None:
    with pytest.raises(Malformed, match="not closed"):
        glob("[a")


@pytest.mark.parametrize(
    ("rules", "ignored", "kept"),
    [
        (["# c", "", "tmp"], ["tmp", "tmp/a"], ["a/tmp", "tmpx"]),
        (["**/tmp"], ["tmp", "a/tmp", "a/b/tmp/c"], ["atmp"]),
        (["**/**/**/a"], ["a", "b/c/a"], ["b"]),
        (["a/**"], ["a/b", "a/b/c"], ["a", "ab"]),
        (["*", "!keep", "!etc/**"], ["x", "etc"], ["keep", "keep/a", "etc/a"]),
        (["!x", "x"], ["x"], []),
        (["/a/", "./b"], ["a", "b"], ["c/a"]),
    ],
)
def test_the_last_rule_that_matches_decides_what_is_ignored(
    rules: list[str], ignored: list[str], kept: list[str]
) -> None:
    read = IgnoreRules.parse(rules)
    assert [path for path in ignored + kept if read.ignores(path)] == ignored
