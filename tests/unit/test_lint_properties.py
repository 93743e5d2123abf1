"""Lint never breaks, whatever it is given, and what it says has a form."""

import time
from collections.abc import Callable

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from tests.linting import BASE, a_recipe, codes, complaints
from watcher.core.lint import RULES, PoolContext, lint, sentences
from watcher.core.lint.check import MOST_SENTENCES

CONTEXT = PoolContext(
    release="4.16.3",
    kernel_type="realtime",
    extensions={"ipsec": "60-ipsec"},
    files={"/etc/chrony.conf": "50-chrony", "/opt/a": "51-a"},
)
FILES = ("a", "d/id_rsa", "d/e/foo.service", "[x", "*", "d/ä\n")
PIECES = st.sampled_from(
    [
        *("FROM ", "FROM scratch", "FROM a.io/b:1 AS x", "COPY ", "COPY --from=x "),
        "ADD http://x ",
        *("RUN ", "RUN --mount=type=bind,from=x,target=/opt ", "ENV A=$A$A "),
        *("ARG TOKEN=", "LABEL "),
        *("USER ", "CMD ", "WORKDIR ../", "ONBUILD RUN ", "<<EOF", "<<-'E F'", "EOF", "\n", "\\\n"),
        *("\r\n", "# relayer:ignore RL009 ", "# escape=`\n", "'", '"', "`", "$(", ")", "{"),
        *("${", "}"),
        *("&&", "|", ">", "/opt/a ", "/etc/chrony.conf ", "curl -k ", "dnf install ", "sh -c '"),
        *("systemctl enable foo", "*", "[", "../..", "\0", "\ufeff", "\u2028", "--", "a b ", "\t"),
        *("rpm-ostree override replace kernel", "rm -rf /", ",", "RL0", "[\"a\", \"/opt\"]", "::"),
    ]
)  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=200),
    st.lists(PIECES, max_size=40).map("".join),
    st.lists(PIECES, max_size=40).map(lambda pieces: BASE + "".join(pieces)),
)


@settings(max_examples=100)
@given(TEXTS)
@example(BASE + "COPY <<E /opt/\x85\nE")
@example(BASE + "RUN <<")
@example("FROM a\nCOPY " + "\\\n" * 20)
def test_any_text_is_answered(text: str) -> None:
    found = lint(a_recipe(text, *FILES), context=CONTEXT, contents={"a": b"\xff\x00"})
    event("readable" if codes(found) != {"RL005"} else "not readable")
    length = text.count("\n") + 1
    for one in found:
        assert one.severity in RULES[one.code].severities
        assert 1 <= one.line <= length
        assert 1 <= one.start <= one.line
        assert one.sentence.isprintable()
        assert len(one.sentence) < 1500
    assert list(found) == sorted(found, key=lambda one: (one.line, one.code, one.sentence))
    assert lint(a_recipe(text, *FILES), context=CONTEXT, contents={"a": b"\xff\x00"}) == found


@settings(max_examples=50)
@given(TEXTS, st.sampled_from([code for code, rule in RULES.items() if rule.check is not None]))
def test_ignoring_one_rule_silences_no_other(text: str, code: str) -> None:
    before = complaints(BASE + "COPY a /opt/a\n" + text, *FILES)
    after = complaints(f"{BASE}# relayer:ignore {code} why\nCOPY a /opt/a\n{text}", *FILES)
    gone = {(one.code, one.sentence) for one in before} - {(c.code, c.sentence) for c in after}
    assert {silenced for silenced, _ in gone} <= {code, "RL005", "RL092"}


MANY: dict[str, Callable[[], str]] = {
    "instructions": lambda: BASE + "USER app\n" * 50_000,
    "stages": lambda: "FROM a AS b0\n" + "".join(f"FROM b{n} AS b{n + 1}\n" for n in range(30_000)),
    "commands": lambda: BASE + "RUN " + "touch /opt/a;" * 50_000,
    "copies": lambda: BASE + "COPY . /opt/\n" * 30_000,
    "wildcards": lambda: BASE + "COPY " + "*a*a*a*b " * 50_000 + "/opt/\n",
    "variables": lambda: BASE + "ENV A=x\n" + "ENV A=$A$A$A$A\n" * 3000,
    "names": lambda: BASE + "".join(f"ENV A{n}=x\n" for n in range(50_000)),
    "quotes": lambda: BASE + "RUN " + "\\\"'a" * 100_000,
    "open quotes": lambda: BASE + "RUN a " + '"\\"' * 100_000 + " '",
    "digits": lambda: BASE + "RUN " + "1" * 300_000,
    "nested shells": lambda: BASE + "RUN " + "sh -c 'a;" * 30_000,
    "comments": lambda: BASE + "# relayer:ignore RL009 x\nUSER a\n" * 20_000,
    "heredocs": lambda: BASE + "RUN <<E\n" + "cat <<F\n" * 50_000 + "E\n",
    "secret": lambda: BASE + "COPY <<E /a\n" + '"auths":{"' * 50_000 + "\nE\n",
    "labels": lambda: BASE + "LABEL " + "containers.bootc=1 " * 40_000,
}


CUT_SHORT = {
    *("instructions", "commands", "nested shells", "copies", "wildcards", "variables", "names"),
    *("comments", "labels"),
}


@pytest.mark.parametrize("name", MANY)
def test_a_text_as_long_as_is_read_takes_no_time(name: str) -> None:
    recipe = a_recipe(MANY[name]()[: 1 << 20], *(f"aaaaaaaaaaaaaaaa{n}" for n in range(2000)))
    begin = time.process_time()
    found = lint(recipe, context=CONTEXT)
    assert time.process_time() - begin < 5
    assert len(found) < 5000
    assert ("RL090" in codes(found)) is (name in CUT_SHORT)


def test_sentences_are_few_and_the_worst_come_first() -> None:
    found = complaints(
        BASE + "COPY id_rsa /etc/\n" + "COPY a /opt/\n" * 30 + "CMD a", "a", "id_rsa"
    )
    said = sentences(found)
    assert said[0].startswith("error RL013, Containerfile line 2: id_rsa is ")
    assert said[1].startswith("warning RL009, Containerfile line 3: ")
    assert len(said) == MOST_SENTENCES + 1
    assert said[-1].startswith("and 11 more;")
    assert not any("RL019" in one for one in said)
    assert sentences(()) == ()
