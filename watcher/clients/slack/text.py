"""Text for Slack: what came from outside can neither ping, link, format nor fake the layout.

Slack's markup has no escape for `*`, `_`, `~` or `:x:`, so a word that could mean something to
Slack stands in a code span: nothing is read there, and it can still be copied as it was. All text
that is not ours passes `mrkdwn_plain`, `code`, `code_block` or `plain`; what is ours is put around
their results, and `cut` keeps markup whole.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

MOST = 3100
"""More of one text is not looked at: it is longer than Slack takes anywhere, and cut after this."""
_BLANKS = str.maketrans("\t\n\r\v\f", "     ")
_LOOKALIKES = str.maketrans({"&": "＆", "<": "‹", ">": "›"})
_ODD = re.compile(r"[^ -~]")
# Format (bidi, zero width), controls, surrogates, private use, unassigned; line and paragraph ends.
_UNSEEN = frozenset({"Cf", "Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
_FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and signs without a shape."""
# Formatting, mentions, channels, emoji, links, and names that would become links.
_RISKY = re.compile(r"[*_~<>@#|]|://|:[\w+'-]+:|\w\.[A-Za-z]{2,}")
_PIECE = re.compile(r"`([^`]+)`|([^ `]+)| |`")
_WORD = re.compile(r"([(\[]*)(.*?:[\w+'-]+:|.*?)([)\].,;:!?]*)")
_TOKEN = re.compile(r"```.*?```|`[^`\n]+`|<[^<>\n]*>|&(?:amp|lt|gt);|[^`<&]+|.", re.DOTALL)
_USER = re.compile(r"slack:([UW][A-Z0-9]{2,20})")
_GROUP = re.compile(r"slack-group:(S[A-Z0-9]{2,20})")
_NAMED = re.compile(rf"(?:(?<=[\s(])|^)({_USER.pattern}|{_GROUP.pattern})(?=[\s,;:.)]|$)")


def size(text: str) -> int:
    """Return the length as JavaScript counts it: an emoji is two. Slack counts no stricter."""
    return len(text) if text.isascii() else len(text) + sum(char > "\uffff" for char in text)


def visible(text: str) -> str:
    """Return `text` in one line, with � for what has no shape or moves other text."""
    begin = text if len(text) <= MOST else text[:MOST] + "…"
    return _ODD.sub(_shown, begin.translate(_BLANKS))


def _shown(found: re.Match[str]) -> str:
    char = found.group()
    return "�" if unicodedata.category(char) in _UNSEEN or char in _FILLERS else char


def one_line(text: str) -> str:
    """Return `text`, visible, with single spaces."""
    return " ".join(visible(text).split())


def escape(text: str) -> str:
    """Return `text` in one line with the three characters escaped that Slack wants escaped.

    Formatting in it would still work: see `mrkdwn_plain`.
    """
    return _escape(one_line(text))


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def plain(text: str, limit: int) -> str:
    """Return `text` for a plain_text object.

    Slack does not say whether it reads entities there, so it is given nothing that could be one.
    """
    return cut(one_line(text).translate(_LOOKALIKES), limit)


def code(text: str) -> str:
    """Return `text` as a code span: shown as it is, and good to copy."""
    return f"`{escape(text.replace('`', '‵')) or '–'}`"


def code_block(lines: Sequence[str], limit: int, *, last: bool = False) -> str:
    """Return whole lines as a code block of at most `limit`; `last`: it is the end that counts."""
    inner = [_escape(visible(line).rstrip().replace("`", "‵")) for line in lines]
    shown = fit(inner, limit - size("```\n\n```"), last=last)
    return "```\n" + ("\n".join(shown) or "–") + "\n```"


def mrkdwn_plain(text: str) -> str:
    """Return `text` in one line for a mrkdwn object, with its risky words as code spans.

    What stood between backticks is a code span too: our own sentences name commands like that.
    """
    out = ""
    for piece, is_code in _pieces(one_line(text)):
        # Slack takes backticks for code only where a word could begin or end.
        before, after = out[-1:] in ("", " "), piece[0] in " .,;:!?)]"
        if (out.endswith("`") and not after) or (is_code and not before):
            out += " "
        out += piece
    return out


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """Words and blanks as they shall be shown, and whether they begin with a code span."""
    for found in _PIECE.finditer(text):
        span, word = found.group(1), found.group(2)
        if span is not None:
            yield code(span), True
        elif word is None:
            yield found.group().replace("`", "‵"), False
        elif not _RISKY.search(word):
            yield _escape(word), False
        else:
            inner = _WORD.fullmatch(word)
            assert inner is not None, "it takes anything"
            before, risky, after = inner.groups()
            yield f"{before}{code(risky)}{after}", True


def cut(text: str, limit: int) -> str:
    """Return `text`, escaped before, in at most `limit`; it ends with … where it was cut.

    Entities and <…> stay whole or go, and a code span or block that is cut is closed.
    """
    if size(text) <= limit:
        return text
    return _begin(text, limit - 1).rstrip() + "…"


def _begin(text: str, room: int) -> str:
    kept: list[str] = []
    for found in _TOKEN.finditer(text):
        token = found.group()
        if size(token) > room:
            kept.append(_part(token, room))
            break
        kept.append(token)
        room -= size(token)
    return "".join(kept)


def _part(token: str, room: int) -> str:
    """Return the start of a run of text or of code; nothing of an entity or of <…>."""
    if token[0] in "<&":
        return ""
    if token[0] != "`":
        return token.encode("utf-16-le", "surrogatepass")[: 2 * room].decode("utf-16-le", "ignore")
    fence = "```" if token.startswith("```") else "`"
    inner = _begin(token[len(fence) : -len(fence)], max(0, room - 2 * len(fence))).rstrip()
    return f"{fence}{inner}{fence}" if inner else ""


def fit(lines: Sequence[str], limit: int, *, last: bool = False) -> list[str]:
    """Return as many whole lines as `limit` has room for, and a line that says how many are not.

    `last`: the first ones go. A single line that is too long is cut.
    """
    ordered = list(reversed(lines)) if last else list(lines)
    kept: list[str] = []
    room = limit - size(f"\n… and {len(lines)} earlier")
    for line in ordered:
        cost = size(line) + 1
        if cost > room and kept:
            break
        kept.append(cut(line, max(1, room)))
        room -= cost
    if hidden := len(lines) - len(kept):
        kept.append(f"… and {hidden} {'earlier' if last else 'more'}")
    return list(reversed(kept)) if last else kept


def when(at: datetime) -> str:
    """Return the moment, which Slack shows to everybody in their own time zone."""
    shown = f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return f"<!date^{int(at.timestamp())}^{{date_short_pretty}} {{time}}|{shown}>"


def mention(identity: str) -> str:
    """Return the mention of a Slack person or group, which wakes them; else the name as code."""
    if user := _USER.fullmatch(identity):
        return f"<@{user.group(1)}>"
    if group := _GROUP.fullmatch(identity):
        return f"<!subteam^{group.group(1)}>"
    return cut(code(identity), 100)


def named(text: str) -> str:
    """Return a sentence like `mrkdwn_plain`, with identities of Slack as people know them.

    Only for what a single person sees: there a mention wakes nobody.
    """
    out, at = "", 0
    for found in _NAMED.finditer(begin := one_line(text)):
        out += apart(begin[at : found.start()]) + mention(found.group(1))
        at = found.end()
    return out + apart(begin[at:])


def apart(part: str) -> str:
    """Return a part of a sentence, apart from its neighbours if it was."""
    return " " * part[:1].isspace() + mrkdwn_plain(part) + " " * part[-1:].isspace()


def is_mention(identity: str) -> bool:
    """Whether naming this identity in a message would wake somebody."""
    return bool(_USER.fullmatch(identity) or _GROUP.fullmatch(identity))


def duration(seconds: float) -> str:
    """Return a duration as people say it: `45s`, `3m`, `2h 10m`, `3d 4h`."""
    if seconds < 60:
        return f"{max(0, int(seconds))}s"
    minutes = int(seconds) // 60
    if minutes < 60:
        return f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h {minutes}m" if minutes else f"{hours}h"
    days, hours = divmod(hours, 24)
    return f"{days}d {hours}h" if hours else f"{days}d"
