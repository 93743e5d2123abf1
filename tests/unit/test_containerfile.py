"""The scanner and the base replacement on texts written by hand."""

import sys
from types import FrameType

import pytest

from watcher.core.containerfile import Ambiguous, NoBase, decode, scan
from watcher.core.facts import Malformed, Pullspec
from watcher.core.rebase import rebase

BASE = Pullspec("quay.io/openshift/rhel-coreos@sha256:" + "ab" * 32)
OLD = "quay.io/openshift/rhel-coreos@sha256:" + "01" * 32


def names(text: str) -> list[tuple[str, int]]:
    return [(step.name, step.line) for step in scan(text).instructions]


def replaced(text: str, *, once: str = OLD) -> None:
    """Assert that `once` is replaced, that once, and nothing else changed."""
    head, found, tail = text.partition(once)
    assert found
    result = rebase(text, BASE)
    assert result.text == head + BASE + tail
    assert result.build_args == {}
    assert rebase(result.text, BASE).text == result.text


# --- scanning ---------------------------------------------------------------------------------


def test_instructions_have_upper_case_names_and_lines() -> None:
    assert names("# hello\n\nfrom a\n  Run b\n\tcopy c d") == [("FROM", 3), ("RUN", 4), ("COPY", 5)]


def test_continued_lines_are_one_instruction_and_comments_within_are_dropped() -> None:
    step = scan("RUN a \\\n  # no\n\n#no\n && b \\ \t\n && c\nRUN d\n").instructions[0]
    assert step.args == "a  && b  && c"
    assert (step.line, step.end_line) == (1, 6)


def test_each_character_of_the_arguments_knows_its_place() -> None:
    text = "\ufeff  run --network=none a\\\r\n# c\r\n bc\r\n"
    step = scan(text).instructions[0]
    assert "".join(text[at] for at in step.args_at) == step.args == "a bc"


def test_the_escape_directive_changes_continuation() -> None:
    assert names("# escape=`\nRUN a `\n FROM b\nRUN c \\\nRUN d") == [
        ("RUN", 2),
        ("RUN", 4),
        ("RUN", 5),
    ]


@pytest.mark.parametrize(
    "text",
    ["# escape=x\nFROM a\n", "# escape=\\\n# escape=\\\nFROM a\n"],
    ids=["unknown character", "twice"],
)
def test_a_wrong_escape_directive_is_refused(text: str) -> None:
    with pytest.raises(Malformed, match=r"line [12]: "):
        scan(text)


def test_an_escape_directive_that_only_one_builder_sees_is_refused() -> None:
    with pytest.raises(Ambiguous, match="line 2: buildah"):
        scan("# syntax=docker/dockerfile:1\n# escape=`\nFROM a\n")


def test_an_escape_directive_after_a_comment_is_a_comment() -> None:
    assert scan("# hello\n# escape=`\nFROM a\n").escape == "\\"


def test_a_doubled_escape_at_the_end_of_a_line_is_refused() -> None:
    with pytest.raises(Ambiguous, match="line 2: ends with two"):
        scan("FROM a\nRUN b \\\\\nFROM c\n")


@pytest.mark.parametrize(
    "start",
    [
        "RUN <<EOF",
        "RUN <<-EOF",
        "RUN <<'EOF'",
        'COPY <<"EOF" /x',
        "ADD <<EOF /x",
        "RUN --network=none python3 <<EOF && echo done",
        "RUN cat 3<<EOF",
        "ONBUILD RUN <<EOF",
        "run \\\n  <<EOF",
        'RUN echo "it\'s" <<EOF',
        "RUN echo ${A:-b} <<EOF",
    ],
)
def test_the_text_of_a_heredoc_is_no_instruction(start: str) -> None:
    text = f"FROM a\n{start}\nFROM b\n \\\n# escape=`\nEOF\nUSER c\n"
    assert [name for name, _ in names(text)] == ["FROM", start.split()[0].upper(), "USER"]


@pytest.mark.parametrize(
    "line",
    [
        'RUN ["cat", "<<EOF"]',
        "RUN cat <<<EOF",
        "RUN cat<<EOF",
        "RUN cat << EOF",
        'RUN echo "a <<EOF b"',
        "RUN echo $((1<<2))",
        "LABEL a=<<EOF",
        "RUN " + "[" * 100_000,
        "# RUN <<EOF",
    ],
)
def test_what_only_looks_like_a_heredoc_is_none(line: str) -> None:
    assert names(f"{line}\nUSER b\n")[-1] == ("USER", 2)


def test_several_heredocs_follow_one_another() -> None:
    step = scan("COPY <<A <<-'B C' /x/\n1\nA\nFROM\n\tB C\n").instructions[0]
    first, second = step.heredocs
    assert (first.name, first.text, first.expands, first.strips_tabs) == ("A", "1\n", True, False)
    assert (second.name, second.text) == ("B C", "FROM\n")
    assert (second.expands, second.strips_tabs) == (False, True)
    assert step.end_line == 5


def test_only_the_tab_form_of_a_heredoc_ends_on_an_indented_line() -> None:
    assert len(names("RUN <<A\n\tA\nUSER b\nA\nUSER c\n")) == 2


def test_texts_with_heredocs_say_so_because_old_builders_do_not_know_them() -> None:
    assert scan("FROM a\nRUN <<A\nA\n").heredoc_lines == (2,)


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("FROM a\nRUN <<EOF\nFROM b\n", "line 2: heredoc 'EOF' has no end"),
        ("RUN echo it's <<EOF\nEOF\n", "line 1: a heredoc beside a quote"),
        ("RUN echo ${a#b} <<EOF\nEOF\n", "line 1: a heredoc beside a rare form"),
        ('RUN <<""\n\n', "line 1: a heredoc with the name"),
        ("RUN <<$A\n$A\n", "line 1: a heredoc with the name"),
        ('COPY --chown="1 a b\n', "line 1: a quote is not closed"),
        ("FROM a\nRUN b\0\n", "line 2: a NUL"),
    ],
)
def test_what_cannot_be_read_for_certain_is_refused_with_its_line(text: str, because: str) -> None:
    with pytest.raises(Malformed, match=because):
        scan(text)


def test_flags_are_read_without_their_quotes() -> None:
    step = scan('COPY --From=build --chmod="0755" --link a b\n').instructions[0]
    assert [(flag.name, flag.value) for flag in step.flags] == [
        ("from", "build"),
        ("chmod", "0755"),
        ("link", None),
    ]
    assert step.args == "a b"


def test_bytes_that_are_not_utf8_are_named_by_line_and_byte() -> None:
    with pytest.raises(Malformed, match="line 2, byte 5: 0xff is not UTF-8"):
        decode(b"FROM a\nRUN \xff\n")


# --- putting another base under -----------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        f"FROM {OLD}\nRUN x\n",
        f"FROM {OLD}",
        f"\ufefffrom\t{OLD}\r\nRUN x\r\n",
        f"FROM --platform=linux/amd64 {OLD} AS final\nRUN FROM x\n",
        f"FROM \\\n  # FROM other\n  {OLD} \\\n AS x\n",
        f"# FROM a\nARG X=1\nFROM {OLD}\nRUN <<EOF\nFROM b\nEOF\n",
        f"FROM golang AS build\nRUN x\nFROM {OLD}\nCOPY --from=build /a /a\n",
        f"FROM {OLD} AS os\nFROM golang\nFROM os\n",
        f"FROM {OLD}\nFROM golang\nFROM 0\n",
        f"FROM golang\nFROM {OLD} AS rhcos\nFROM rhcos AS a\nFROM other/x AS b\nFROM a\n",
        f"FROM {OLD} AS os\nFROM --platform=$TARGETPLATFORM os\n",
        f"FROM {OLD} AS rhcos\nFROM rhcos AS rhcos\n",
    ],
)
def test_only_the_base_of_the_final_stage_is_replaced(text: str) -> None:
    replaced(text)


def test_a_stage_on_the_same_image_that_does_not_lead_to_the_end_is_left_alone() -> None:
    text = f"FROM {OLD} AS build\nFROM {OLD}\nCOPY --from=build /a /a\n"
    assert rebase(text, BASE).text == text.replace(f"\nFROM {OLD}\n", f"\nFROM {BASE}\n")


def test_a_quoted_image_is_replaced_with_its_quotes() -> None:
    assert rebase(f'FROM "{OLD}" AS a\n', BASE).text == f"FROM {BASE} AS a\n"


def test_the_result_says_what_was_there_and_where() -> None:
    result = rebase(f"\nFROM {OLD}\n", BASE)
    assert (result.original, result.from_line) == (OLD, 2)


@pytest.mark.parametrize(
    "text",
    [
        "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n",
        "ARG BASE_IMAGE=quay.io/a/b\nFROM $BASE_IMAGE AS a\nFROM a\n",
        "ARG BASE_IMAGE=rhel-coreos\nFROM x/y AS build\nFROM ${BASE_IMAGE}\n",
        'ARG A=1 BASE_IMAGE\nFROM "${BASE_IMAGE:-quay.io/a/b:1}"\n',
        "ARG BASE_IMAGE\nARG OTHER=golang\nFROM ${OTHER}\nFROM ${BASE_IMAGE}\nARG BASE_IMAGE\n",
    ],
)
def test_a_base_that_is_a_variable_is_set_by_build_argument(text: str) -> None:
    result = rebase(text, BASE)
    assert (result.text, result.build_args) == (text, {"BASE_IMAGE": BASE})
    assert rebase(text, BASE, build_args=result.build_args) == result


def test_a_digest_that_is_a_variable_is_set_where_the_repository_is_right() -> None:
    result = rebase(f"ARG D\nFROM {BASE.repository}@${{D}}\n", BASE)
    assert result.build_args == {"D": BASE.digest}


def test_a_stage_chosen_by_build_argument_is_refused() -> None:
    text = "ARG V=quay.io/x/y\nFROM quay.io/x/z AS a\nFROM $V\n"
    assert rebase(text, BASE).build_args == {"V": BASE}
    with pytest.raises(Ambiguous, match=r"line 3: FROM [$]V chooses a stage by variable"):
        rebase(text, BASE, build_args={"V": "a"})


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("", "there is no FROM"),
        ("ARG A\n# FROM a\n", "there is no FROM"),
        ("FROM scratch\n", "line 1: FROM scratch"),
        ("FROM SCRATCH AS a\nFROM a\n", "line 1: FROM scratch"),
    ],
)
def test_without_a_base_there_is_nothing_to_replace(text: str, because: str) -> None:
    with pytest.raises(NoBase, match=because):
        rebase(text, BASE)


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("ARG A\nARG B\nFROM $A/$B\n", "line 3: .* more than one plain variable"),
        ("ARG A\nARG B=x/y\nFROM ${A:-$B}\n", "line 3: .* more than one plain variable"),
        ("ARG A\nFROM ${A:+x/y}\n", "line 2: .* more than one plain variable"),
        ("FROM $A\n", "line 1: FROM uses A, but no ARG A"),
        ("FROM x/y AS b\nARG A\nFROM $A\n", "line 3: FROM uses A, but no ARG A"),
        ("ARG A\nARG A=x/y\nFROM $A\n", "lines 1 and 2: ARG A is declared twice"),
        ("ARG A=x/y\nFROM $A AS b\nFROM $A\n", "lines 3 and 2: both FROMs depend on A"),
        ("ARG A=x/y\nARG B=$A\nFROM $B AS b\nFROM $A\n", "lines 4 and 3: both FROMs"),
        ("ARG T=1\nFROM quay.io/a/b:$T\n", "line 2: no value of T makes"),
        ("FROM b AS a\nFROM a AS b\n", "line 1: FROM b names the stage of line 2"),
        ("FROM x/y AS a\nFROM z/y AS A\nFROM a\n", "line 3: .* could mean the stages of lines 1"),
        ("FROM x/y AS os\nFROM OS\n", "lines 1 and 2: builders differ about os and OS"),
        ("ARG N=os\nFROM x/y AS os\nFROM ${N}\n", "line 3: FROM .* chooses a stage by variable"),
        ("ARG N=0\nFROM x/y AS os\nFROM ${N}\n", "line 3: FROM 0: there is no earlier stage"),
        ("FROM x/y AS build\nFROM biuld\n", "line 2: biuld is no earlier stage"),
        ("FROM x/y\nFROM 1\n", "line 2: FROM 1: there is no earlier stage"),
        ("FROM --platform=linux/arm64 x/y AS a\nFROM a\n", "lines 1 and 2: .* --platform"),
        ("FROM --platform=$BUILDPLATFORM x/y\n", "line 1: .* building machine"),
        ("FROM x/\\\ny\n", "line 1: .* spread over lines"),
        ("FROM x/y\nONBUILD FROM z\n", "line 2: ONBUILD cannot carry FROM"),
        ("FROM x/y AS $A\n", "line 1: not a plain name for a stage"),
    ],
)
def test_an_ambiguous_base_is_refused_naming_the_lines(text: str, because: str) -> None:
    with pytest.raises(Ambiguous, match=because):
        rebase(text, BASE)


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("FROM\n", "line 1: FROM takes"),
        ("FROM a b\n", "line 1: FROM takes"),
        ("FROM a # comment\n", "line 1: FROM takes"),
        ("FROM a\xa0AS b\n", "line 1: FROM has a character"),
        ("RUN a\nFROM b\n", "line 1: RUN comes before"),
        ("ARG A='x\nFROM b\n", "line 1: a quote is not closed"),
        ("ARG A=${x#y}\nFROM b\n", "line 1: this form of variable"),
    ],
)
def test_a_text_no_builder_takes_is_refused(text: str, because: str) -> None:
    with pytest.raises(Malformed, match=because):
        rebase(text, BASE)


def test_a_recipe_that_sets_the_base_argument_itself_is_refused() -> None:
    with pytest.raises(Ambiguous, match="line 2: A chooses the base"):
        rebase("ARG A\nFROM $A\n", BASE, build_args={"A": "quay.io/a/b"})


def _work(text: str) -> int:
    """How many functions are called to put another base under it."""
    calls = 0

    def count(frame: FrameType, event: str, said: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        rebase(text, BASE)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize(
    "line",
    ["FROM s{0} AS s{1}\n", "RUN echo {0}\n", "COPY --from=s0 a{0} /b\n", "RUN a \\\n && b{0}\n"],
    ids=["stages", "runs", "copies", "continued lines"],
)
def test_a_text_of_twice_as_many_lines_is_twice_the_work(line: str) -> None:
    def text(lines: int) -> str:
        return "FROM quay.io/os/base AS s0\n" + "".join(
            line.format(number, number + 1) for number in range(lines)
        )

    assert _work(text(2000)) < 2.2 * _work(text(1000))
