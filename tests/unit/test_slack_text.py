"""Text for Slack: nothing from outside pings, links, formats or fakes the layout.

How Slack reads markup, and what it takes, is written here once more without the code under test;
the tests of the messages use it too.
"""

import difflib
import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from watcher.clients.slack import text

SNAPSHOTS = Path(__file__).parent / "snapshots" / "slack"
AT = datetime(2026, 11, 25, 14, 2, 30, tzinfo=UTC)

NASTY = (
    *("<!channel>", "<!here>", "<@U024BE7LH>", "<!subteam^S012345|zz>", "<http://evil.com|zz>"),
    *("@everyone", "@zz", "#general", "http://evil.com/zz", "evilzz.com", "*zz*", "*zz", "_zz_"),
    *("~zz~", ":zz:", ":zz::zz:", "`", "```", "`zz*`", "zz`*zz*", "&", "&amp;", "&lt;!channel&gt;"),
    *(
        ">",
        "<",
        "|",
        "zz_zz_",
        "\u202e",
        "\u200b",
        "\u2028",
        "\u2060",
        "\x00",
        "\x1b[31m",
        "\ud800",
    ),
    *(
        "\n",
        "\n\n> ",
        "\t",
        " ",
        "(",
        ")",
        ".",
        ",",
        ":",
        "🎉",
        "👩‍💻",
        "שלום",
        "مرحبا",
        "word",
        "4.16.9",
    ),
    "registry.example.com/os/gpu@sha256:" + "0" * 64,
)
WRITTEN = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="`*_~<>&:@ az.", max_size=40),
    st.lists(st.sampled_from(NASTY), max_size=12).map("".join),
    st.lists(st.sampled_from(NASTY), max_size=12).map(" ".join),
)
LONG = st.sampled_from(NASTY).map(lambda piece: (piece * 100_000)[:100_000])
TEXTS = st.one_of(WRITTEN, WRITTEN, WRITTEN, LONG)
PEOPLE = st.one_of(
    st.sampled_from(
        ["slack:U024BE7LH", "slack:W024BE7LH", "slack-group:S012345", "token:ann", "slack:U1|x"]
    ),
    WRITTEN,
)

DATE = re.compile(r"<!date\^-?\d+\^\{date_short_pretty\} \{time\}\|[-\d]+ \d\d:\d\d UTC>")
MENTION = re.compile(r"<(?:@[UW][A-Z0-9]+|!subteam\^S[A-Z0-9]+)>")


def live(said: str) -> str:
    """What Slack would read for markup: all but code, which is shown as □."""
    said = re.sub(r"```.+?```", "□", said, flags=re.DOTALL)
    out, at = "", 0
    while at < len(said):
        # A span needs a word's border on both sides, and no blank within its backticks.
        found = re.compile(r"`(?![\s`])[^`\n]*(?<!\s)`(?![\w`])").match(said, at)
        if found and not (out and (out[-1].isalnum() or out[-1] in "_□`")):
            out, at = out + "□", found.end()
        else:
            out, at = out + said[at], at + 1
    return out


def mentions(said: str) -> list[str]:
    return MENTION.findall(said)


def faults_of_mrkdwn(said: str, *, bold: bool = False) -> Iterator[str]:
    """What in a mrkdwn text is not ours, wherever it came from."""
    ours = MENTION.sub("", DATE.sub("", said))
    if "<" in ours or ">" in ours:
        yield f"a special sequence: {ours[:200]!r}"
    if re.search(r"&(?!amp;|lt;|gt;)", ours):
        yield f"a bare & or half an entity: {ours[-200:]!r}"
    rest = live(ours)
    if found := re.search(r"[_~@#|`]|://|:[\w+'-]+:|\w\.[A-Za-z]{2,}", rest):
        yield f"markup {found.group()!r} in {rest[:300]!r}"
    if any(line.count("*") % 2 for line in rest.splitlines()) or ("*" in rest and not bold):
        yield f"a * that is not ours: {rest[:300]!r}"
    for char in said:
        if char != "\n" and (not char.isprintable() and not char.isspace()):
            yield f"a character nobody sees: {char!r}"


def units(said: str) -> int:
    return len(said.encode("utf-16-le", "surrogatepass")) // 2


def _text(said: Any, most: int, at: str, *, plain: bool = False) -> Iterator[str]:
    if not 1 <= units(said["text"]) <= most or not said["text"].strip():
        yield f"{at}: {units(said['text'])} of {most} characters"
    if said["type"] == "plain_text":
        if (
            set(said) != {"type", "text", "emoji"}
            or said["emoji"]
            or set(said["text"]) & set("<>&")
        ):
            yield f"{at}: not plain: {said}"
        if not said["text"].replace(" ", "").isprintable():
            yield f"{at}: unseen characters in {said['text']!r}"
    elif plain or said["type"] != "mrkdwn" or said["verbatim"] is not True:
        yield f"{at}: the wrong kind of text"
    else:
        yield from faults_of_mrkdwn(said["text"], bold=True)


def _id(said: str, at: str) -> Iterator[str]:
    if not 1 <= units(said) <= 255:
        yield f"{at}: an id of {units(said)} characters"


def _element(said: Any) -> Iterator[str]:
    yield from _id(said["action_id"], "action_id")
    match said["type"]:
        case "button":
            yield from _text(said["text"], 75, "button", plain=True)
            if len(said["value"]) > 2000:
                yield "button: its value"
            if "confirm" in said:
                for name, most in {"title": 100, "text": 300, "confirm": 30, "deny": 30}.items():
                    yield from _text(said["confirm"][name], most, f"confirm {name}", plain=True)
        case "static_select":
            yield from _text(said["placeholder"], 150, "placeholder", plain=True)
            if not 1 <= len(said["options"]) <= 100:
                yield f"select: {len(said['options'])} options"
            for option in said["options"]:
                yield from _text(option["text"], 75, "option", plain=True)
                if not 1 <= len(option["value"]) <= 150:
                    yield f"option: a value of {len(option['value'])}"
        case "plain_text_input":
            if not 1 <= said["max_length"] <= 3000:
                yield "input: max_length"
            if "placeholder" in said:
                yield from _text(said["placeholder"], 150, "placeholder", plain=True)
        case other:
            yield f"an unknown element {other}"


def _block(said: Any) -> Iterator[str]:
    if "block_id" in said:
        yield from _id(said["block_id"], "block_id")
    match said["type"]:
        case "header":
            yield from _text(said["text"], 150, "header", plain=True)
        case "section" if "fields" in said:
            if not 1 <= len(said["fields"]) <= 10:
                yield f"{len(said['fields'])} fields"
            for one in said["fields"]:
                yield from _text(one, 2000, "field")
        case "section":
            yield from _text(said["text"], 3000, "section")
        case "context":
            if not 1 <= len(said["elements"]) <= 10:
                yield f"{len(said['elements'])} elements"
            for one in said["elements"]:
                yield from _text(one, 2000, "context")
        case "actions":
            if not 1 <= len(said["elements"]) <= 25:
                yield f"{len(said['elements'])} elements"
            for one in said["elements"]:
                yield from _element(one)
        case "input":
            yield from _text(said["label"], 2000, "label", plain=True)
            yield from _element(said["element"])
            if "hint" in said:
                yield from _text(said["hint"], 2000, "hint", plain=True)
        case "divider":
            pass
        case other:
            yield f"an unknown block {other}"


def _blocks(blocks: Any, most: int) -> Iterator[str]:
    if not 1 <= len(blocks) <= most:
        yield f"{len(blocks)} blocks"
    ids = [one["block_id"] for one in blocks if "block_id" in one]
    if len(ids) != len(set(ids)):
        yield f"twice the same block_id: {ids}"
    for one in blocks:
        yield from _block(one)


def faults_of_message(said: Any) -> list[str]:
    """Why Slack would not take it, and what in it was not ours. `said` must be JSON."""
    json.loads(json.dumps(said, allow_nan=False).encode())
    whole = json.dumps(said["blocks"], ensure_ascii=False).encode()  # raises for half a surrogate
    # What one `msg_blocks_too_long` cost: slackapi/bolt-js#2509.
    faults = [f"{len(whole)} bytes"] if len(whole) > 13_200 else []
    if set(said) != {"text", "blocks"} or not 1 <= units(said["text"]) <= 3000:
        faults.append("its text")
    faults += faults_of_mrkdwn(said["text"], bold=True)
    return [*faults, *_blocks(said["blocks"], 50)]


def faults_of_view(said: Any) -> list[str]:
    """The same for a modal."""
    json.dumps(said, ensure_ascii=False).encode()
    faults = list(_blocks(said["blocks"], 100))
    for name in ("title", "submit", "close"):
        if name in said:
            faults += _text(said[name], 24, name, plain=True)
    if any(one["type"] == "input" for one in said["blocks"]) and "submit" not in said:
        faults.append("a form that cannot be sent")
    if len(said.get("private_metadata", "")) > 3000 or said["type"] != "modal":
        faults.append("its metadata or type")
    return faults


def same_as_snapshot(name: str, said: object) -> None:
    """It is what the file says; with RELAYER_REWRITE_SNAPSHOTS=1 the file is written instead."""
    path = SNAPSHOTS / f"{name}.json"
    now = json.dumps(said, ensure_ascii=False, indent=2) + "\n"
    if os.environ.get("RELAYER_REWRITE_SNAPSHOTS") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(now, encoding="utf-8")
    was = path.read_text(encoding="utf-8") if path.exists() else ""
    if was != now:
        lines = difflib.unified_diff(
            was.splitlines(), now.splitlines(), str(path), "now", lineterm=""
        )
        told = "\n".join(lines)
        pytest.fail(f"{told}\n\nif this is meant: RELAYER_REWRITE_SNAPSHOTS=1", pytrace=False)


# --- tests -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("its base is that of 4.16.3, not 4.16.9", "its base is that of 4.16.3, not 4.16.9"),
        ("`relayer rebuild prod/infra` goes on", "`relayer rebuild prod/infra` goes on"),
        ("*bold* _it_ ~s~", "`*bold*` `_it_` `~s~`"),
        ("<!channel> @everyone :tada:", "`&lt;!channel&gt;` `@everyone` `:tada:`"),
        ("see (http://evil.com/x).", "see (`http://evil.com/x`)."),
        ("runs q.io/x@sha256:00, built", "runs `q.io/x@sha256:00`, built"),
        ("disk & memory", "disk &amp; memory"),
        ("a`b`c`*d*", "a `b` c‵ `*d*`"),
        ("two\nlines\tand  more", "two lines and more"),
        ("> no quote", "`&gt;` no quote"),
        ("", ""),
    ],
)
def test_text_from_outside_is_read_as_it_was_written(said: str, shown: str) -> None:
    assert text.mrkdwn_plain(said) == shown


@given(TEXTS)
@example("`zz*``*zz*`")
@example("(:zz:)")
def test_text_from_outside_has_no_markup(said: str) -> None:
    assert list(faults_of_mrkdwn(text.mrkdwn_plain(said))) == []
    assert list(faults_of_mrkdwn(text.code(said))) == []
    assert text.mrkdwn_plain(said).count("\n") == 0


@given(TEXTS, st.integers(1, 300))
def test_cut_text_is_within_its_limit_and_has_no_half_of_anything(said: str, limit: int) -> None:
    for whole in (text.escape(said), text.mrkdwn_plain(said), text.code(said)):
        short = text.cut(whole, limit)
        assert units(short) <= limit
        assert not re.search(r"&(?!amp;|lt;|gt;)", short)
        assert short == whole or short.endswith("…")
    assert list(faults_of_mrkdwn(text.cut(text.mrkdwn_plain(said), limit))) == []


@pytest.mark.parametrize("limit", range(1, 60))
def test_what_is_ours_stays_whole_or_goes_when_it_is_cut(limit: int) -> None:
    whole = f"{text.mention('slack:U024BE7LH')} &amp; `code` {text.when(AT)} ```\nblock\n```"
    short = text.cut(whole, limit)
    assert units(short) <= limit
    assert list(faults_of_mrkdwn(short)) == []


def test_a_cut_entity_goes_as_a_whole() -> None:
    assert [text.cut("a&amp;b", limit) for limit in (2, 4, 6, 7)] == ["a…", "a…", "a…", "a&amp;b"]
    assert text.cut("`abcdef` x", 7) == "`abcd`…"
    assert text.cut("🎉🎉🎉", 4) == "🎉…"


def test_characters_that_fake_the_layout_are_shown() -> None:
    assert text.escape("a\u202eb\u200bc\x07d\u2028e\ud800f\u3164g") == "a�b�c�d�e�f�g"
    assert text.escape("a\r\nb") == "a b"


def test_a_digest_can_be_copied_from_a_sentence_and_from_a_code_span() -> None:
    image = "registry.example.com/os/gpu_x@sha256:" + "0af1" * 16
    assert text.code(image) == f"`{image}`"
    assert text.mrkdwn_plain(f"runs {image}.") == f"runs `{image}`."


def test_backticks_end_no_code_span() -> None:
    assert text.code("a`*b*`c") == "`a‵*b*‵c`"
    assert text.code_block(["```", "<!here>"], 100) == "```\n‵‵‵\n&lt;!here&gt;\n```"


@given(st.lists(TEXTS, max_size=8), st.integers(60, 400), st.booleans())
def test_a_code_block_keeps_its_limit_and_its_fences(
    lines: list[str], limit: int, last: bool
) -> None:
    said = text.code_block(lines, limit, last=last)
    assert units(said) <= limit
    assert said.startswith("```\n")
    assert said.endswith("\n```")
    assert list(faults_of_mrkdwn(said)) == []


def test_lines_that_do_not_fit_are_counted() -> None:
    lines = [f"line {number}" for number in range(100)]
    assert text.fit(lines, 50) == ["line 0", "line 1", "line 2", "line 3", "… and 96 more"]
    assert text.fit(lines, 50, last=True) == ["… and 96 earlier", *lines[-4:]]
    assert text.fit(lines[:3], 50) == lines[:3]
    assert text.fit(["x" * 100, "y"], 30) == ["x" * 13 + "…", "… and 1 more"]


@given(st.lists(st.text(alphabet="ab", max_size=30), max_size=20), st.integers(30, 300))
def test_fitted_lines_never_exceed_their_limit(lines: list[str], limit: int) -> None:
    for last in (False, True):
        shown = text.fit(lines, limit, last=last)
        assert units("\n".join(shown)) <= limit
        assert len(lines) == 0 or shown


@pytest.mark.parametrize(
    ("identity", "shown"),
    [
        ("slack:U024BE7LH", "<@U024BE7LH>"),
        ("slack:W024BE7LH", "<@W024BE7LH>"),
        ("slack-group:S012345", "<!subteam^S012345>"),
        ("token:ann", "`token:ann`"),
        ("slack:U1", "`slack:U1`"),
        ("slack:U024BE7LH\n", "`slack:U024BE7LH`"),
        ("slack:U024BE7LH> <!channel>", "`slack:U024BE7LH&gt; &lt;!channel&gt;`"),
        ("slack:u024be7lh", "`slack:u024be7lh`"),
        ("slack-group:channel", "`slack-group:channel`"),
        ("slack:S012345", "`slack:S012345`"),
        ("", "`–`"),
    ],
)
def test_only_an_id_becomes_a_mention(identity: str, shown: str) -> None:
    assert text.mention(identity) == shown
    assert text.is_mention(identity) == bool(mentions(shown))


def test_a_moment_is_shown_in_the_readers_time_zone() -> None:
    assert text.when(AT) == "<!date^1795615350^{date_short_pretty} {time}|2026-11-25 14:02 UTC>"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        *((-5, "0s"), (45.9, "45s"), (60, "1m"), (200, "3m"), (3600, "1h"), (7800, "2h 10m")),
        *((86_400, "1d"), (100_000, "1d 3h")),
    ],
)
def test_durations_are_said_as_people_say_them(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown


@pytest.mark.parametrize("plain", [text.escape, text.code, text.mrkdwn_plain])
def test_a_very_long_text_costs_no_time(plain: Callable[[str], str]) -> None:
    assert units(plain("<" * 10_000_000)) <= 4 * text.MOST + 10
