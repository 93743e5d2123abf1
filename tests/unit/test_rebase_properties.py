"""What holds for every Containerfile when its base is replaced.

The texts are put together from pieces whose meaning is known, and the place of the base is known
with them; so the expected text is made without the code under test.
"""

from dataclasses import dataclass

from hypothesis import event, given
from hypothesis import strategies as st

from watcher.core.containerfile import Instruction, scan
from watcher.core.facts import Malformed, Pullspec
from watcher.core.rebase import rebase

BASE = Pullspec("registry.example.com:5000/ocp/rhel-coreos@sha256:" + "ab" * 32)
IMAGES = st.sampled_from(
    [
        "quay.io/openshift-release-dev/ocp-v4.0-art-dev@sha256:" + "01" * 32,
        "quay.io/a/b:latest",
        "localhost:5000/rhel-coreos",
        "golang:1.22",
        BASE,
    ]
)
EOL = st.sampled_from(["\n", "\r\n"])
INDENT = st.sampled_from(["", " ", "\t", "  \t"])
GAP = st.sampled_from([" ", "\t", "   "])
SPELLING = st.sampled_from([str.upper, str.lower, str.title])
# Lines that would be instructions, comments, directives or continuations outside a heredoc.
BODY_LINE = st.sampled_from(
    [
        "FROM quay.io/evil/base:1",
        "from scratch",
        "  FROM x AS final",
        "ARG BASE_IMAGE",
        "ONBUILD FROM x",
        "RUN <<OTHER",
        "# escape=`",
        "echo \\",
        "echo \\\\",
        "an open quote: it's \"",
        "",
        "\tEOF",
        "\tEOF2",
        "ünïcödé",
    ]
)


@dataclass
class Text:
    """A growing Containerfile; `base` is where the base reference stands."""

    text: str = ""
    base: tuple[int, int] = (0, 0)
    count: int = 0
    """Instructions written so far."""


@st.composite
def containerfiles(draw: st.DrawFn) -> Text:
    """A text whose final stage stands on a literal image."""
    out = Text(text=draw(st.sampled_from(["", "\ufeff"])))
    eol = draw(EOL)
    escape = draw(st.sampled_from(["\\", "`"]))
    if escape == "`" or draw(st.booleans()):
        out.text += f"# escape={escape}{eol}"
    for _ in range(draw(st.integers(0, 2))):
        _filler(draw, out, eol, only_arguments=True, escape=escape)
    stages = draw(st.integers(1, 4))
    names = [draw(st.sampled_from([f"stage{n}", f"os.{n}", ""])) for n in range(stages)]
    # below[n]: the earlier stage that stage n stands on, or None for an image.
    below = [draw(st.none() | st.integers(0, n - 1)) if n else None for n in range(stages)]
    root = stages - 1
    while (under := below[root]) is not None:
        root = under
    event(f"stages: {stages}, base in stage {root}")
    for number in range(stages):
        under = below[number]
        place = _from(draw, out, eol, escape, under, names, name=names[number])
        if number == root:
            out.base = place
        for _ in range(draw(st.integers(0, 3))):
            _filler(draw, out, eol, only_arguments=False, escape=escape)
    if draw(st.booleans()):
        out.text = out.text.rstrip("\r\n")
    return out


def _from(
    draw: st.DrawFn,
    out: Text,
    eol: str,
    escape: str,
    under: int | None,
    names: list[str],
    *,
    name: str,
) -> tuple[int, int]:
    if under is None:
        image: str = draw(IMAGES)
    else:
        image = names[under] or str(under)
    break_ = draw(st.sampled_from(["", f" {escape}{eol}", f" {escape} {eol} # FROM no{eol}{eol}"]))
    out.text += draw(INDENT) + draw(SPELLING)("from") + break_ + draw(GAP)
    begin = len(out.text)
    out.text += image
    end = len(out.text)
    if name:
        out.text += draw(GAP) + draw(SPELLING)("as") + draw(GAP) + name
    out.text += draw(st.sampled_from(["", " ", "\t"])) + eol
    out.count += 1
    return begin, end


def _filler(draw: st.DrawFn, out: Text, eol: str, *, only_arguments: bool, escape: str) -> None:
    kinds = ["comment", "blank", "arg"]
    if not only_arguments:
        kinds += ["plain", "continued", "heredoc", "two heredocs"]
    kind = draw(st.sampled_from(kinds))
    event(kind)
    indent = draw(INDENT)
    if kind == "comment":
        out.text += f"{indent}# FROM quay.io/no/no AS no {escape}{eol}"
        return
    if kind == "blank":
        out.text += indent + eol
        return
    out.count += 1
    if kind == "arg":
        out.text += f"{indent}ARG NAME{out.count}=quay.io/a/b{eol}"
    elif kind == "plain":
        line = draw(st.sampled_from(["RUN echo FROM x", "COPY FROM /x", 'LABEL a="FROM b"']))
        out.text += indent + line + eol
    elif kind == "continued":
        out.text += (
            f"{indent}RUN echo {escape}{eol}# FROM no{eol}  FROM x {escape} {eol}FROM y{eol}"
        )
    else:
        _heredoc(draw, out, eol, marks=1 if kind == "heredoc" else 2)


def _heredoc(draw: st.DrawFn, out: Text, eol: str, *, marks: int) -> None:
    out.text += draw(SPELLING)("copy")
    bodies = ""
    for name in ["EOF", "EOF2"][:marks]:
        dash = draw(st.sampled_from(["", "-"]))
        quote = draw(st.sampled_from(["", '"', "'"]))
        out.text += f" <<{dash}{quote}{name}{quote}"
        lines = draw(st.lists(BODY_LINE, max_size=4))
        bodies += "".join(
            line + eol for line in lines if (line.lstrip("\t") if dash else line) != name
        )
        bodies += ("\t" if dash else "") + name + eol
    out.text += " /x/" + eol + bodies


@given(containerfiles())
def test_everything_but_the_base_reference_stays(made: Text) -> None:
    begin, end = made.base
    result = rebase(made.text, BASE)
    assert result.text == made.text[:begin] + BASE + made.text[end:]
    assert result.original == made.text[begin:end]
    assert result.build_args == {}


@given(containerfiles())
def test_doing_it_twice_is_the_same_as_once(made: Text) -> None:
    once = rebase(made.text, BASE)
    twice = rebase(once.text, BASE)
    assert (twice.text, twice.original, twice.from_line) == (once.text, BASE, once.from_line)


@given(containerfiles())
def test_the_instructions_stay_the_same_but_for_the_base(made: Text) -> None:
    before, result = scan(made.text), rebase(made.text, BASE)
    after = scan(result.text)
    assert len(before.instructions) == made.count

    def without_places(step: Instruction) -> tuple[object, ...]:
        args = step.args
        if step.name == "FROM" and result.from_line == step.line:
            args = args.replace(result.original, BASE, 1)
        return (step.name, step.flags, args, step.line, step.end_line, step.heredocs)

    assert [*map(without_places, before.instructions)] == [
        without_places(step) for step in after.instructions
    ]


@given(containerfiles(), st.integers(0, 100))
def test_a_base_in_a_variable_leaves_the_text_alone(made: Text, salt: int) -> None:
    begin, end = made.base
    name = f"BASE_{salt}"
    head, rest = made.text[:begin], made.text[end:]
    first = scan(made.text).instructions[0]
    at = first.args_at[0] if first.args_at else begin
    line_start = made.text.rfind("\n", 0, at) + 1
    if first.line != first.end_line or line_start > begin:
        return
    line_start = max(line_start, 1 if made.text.startswith("\ufeff") else 0)
    text = f"{head[:line_start]}ARG {name}\n{head[line_start:]}${{{name}}}{rest}"
    result = rebase(text, BASE)
    assert (result.text, result.build_args) == (text, {name: BASE})


@given(
    st.text(
        alphabet=st.sampled_from(list("FROMARGUNCPYASfromx/.:@$ {}<>-\"'\\`#=\t\r\n0\xa0")),
        max_size=120,
    )
    | st.lists(
        st.sampled_from(
            [
                "FROM ",
                "from a/b",
                "ARG A",
                "=",
                "$A",
                "${A:-b}",
                "\\",
                "\n",
                "RUN <<E",
                "E",
                "#",
                " ",
            ]
        ),
        max_size=20,
    ).map("".join)
)
def test_any_text_is_either_refused_as_malformed_or_changed_in_one_place(text: str) -> None:
    try:
        result = rebase(text, BASE)
    except Malformed:
        return
    if result.build_args:
        assert result.text == text
        return
    head, found, tail = result.text.partition(BASE)
    assert found
    assert text == head + result.original + tail
