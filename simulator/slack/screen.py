"""A message as a person reads it, in plain text for a terminal.

What Slack's clients resolve is resolved here: names, groups, dates in the reader's time zone,
links. Bold and italic have no place in plain text, so their marks are left out.
"""

import re
import textwrap
from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from simulator.slack.workspace import Json, Message, Workspace

WIDTH = 78
_EMOJI = {
    "white_check_mark": "✅",
    "heavy_check_mark": "✔",
    "x": "❌",
    "no_entry": "⛔",
    "warning": "⚠",
    "hourglass_flowing_sand": "⏳",
    "hourglass": "⌛",
    "rotating_light": "🚨",
    "arrows_counterclockwise": "🔄",
    "rewind": "⏪",
    "eyes": "👀",
    "lock": "🔒",
}
_SPECIAL = re.compile(r"<([^<>\n]+)>")
_CODE = re.compile(r"(```.*?```|`[^`\n]+`)", re.DOTALL)
_MARKS = re.compile(r"(?<![\w*_~])([*_~])(?=\S)([^\n]+?)(?<=\S)\1(?![\w*_~])")
_DATES: dict[str, Callable[[datetime], str]] = {
    "date_num": lambda at: f"{at:%Y-%m-%d}",
    "date": lambda at: f"{at:%B} {at.day}, {at.year}",
    "date_pretty": lambda at: f"{at:%B} {at.day}, {at.year}",
    "date_short": lambda at: f"{at:%b} {at.day}, {at.year}",
    "date_short_pretty": lambda at: f"{at:%b} {at.day}, {at.year}",
    "date_long": lambda at: f"{at:%A}, {at:%B} {at.day}, {at.year}",
    "date_long_pretty": lambda at: f"{at:%A}, {at:%B} {at.day}, {at.year}",
    "time": lambda at: f"{at:%H:%M}",
    "time_secs": lambda at: f"{at:%H:%M:%S}",
}


def render(message: Message, workspace: Workspace, *, width: int = WIDTH, tz: str = "UTC") -> str:
    """The whole message, without a newline at its end."""
    screen = _Screen(workspace, width, ZoneInfo(tz))
    lines = ["Only visible to you"] if message.only_for else []
    if message.blocks:
        for block in message.blocks:
            lines += screen.block(block)
    else:
        lines += screen.wrapped(screen.mrkdwn(message.text))
    if message.edit_shown:
        lines.append("(edited)")
    return "\n".join(line.rstrip() for line in lines)


def mrkdwn(text: str, workspace: Workspace, *, tz: str = "UTC") -> str:
    """One text as people see it."""
    return _Screen(workspace, WIDTH, ZoneInfo(tz)).mrkdwn(text)


class _Screen:
    """One reader's terminal."""

    def __init__(self, workspace: Workspace, width: int, zone: ZoneInfo) -> None:
        self._workspace, self._width, self._zone = workspace, width, zone

    def block(self, block: Json) -> list[str]:
        """The lines of one block."""
        match block["type"]:
            case "header":
                title = self.text(block["text"])
                return [title, "═" * min(len(title), self._width)]
            case "divider":
                return ["─" * self._width]
            case "section":
                return self._section(block)
            case "context":
                shown = " · ".join(map(self._small, block["elements"]))
                return self.wrapped(shown, "  ")
            case "actions":
                return self.wrapped("  ".join(map(self._element, block["elements"])))
            case "input":
                return [f"{self.text(block['label'])}:", f"  {self._element(block['element'])}"]
            case "image":
                return [f"[image: {block['alt_text']}]"]
            case "markdown":
                return self.wrapped(block["text"])
            case other:
                return [f"[{other}]"]

    def text(self, text: Json) -> str:
        """A text object: mrkdwn is resolved, plain text only has its emoji."""
        if text["type"] == "mrkdwn":
            return self.mrkdwn(text["text"])
        return _emoji(_unescaped(text["text"]))

    def mrkdwn(self, text: str) -> str:
        # Marks within code are meant as they stand.
        parts = _CODE.split(text)
        for at, part in enumerate(parts):
            code = part.startswith("`") and len(part) > 1
            # Marks go first, so that what a name or a link resolves to is not read as marks.
            parts[at] = part if code else _marked(part)
            parts[at] = _SPECIAL.sub(self._special, parts[at])
            if part.startswith("```"):
                parts[at] = parts[at][3:-3].strip("\n")
            elif not code:
                parts[at] = _emoji(parts[at])
        return _unescaped("".join(parts))

    def wrapped(self, text: str, indent: str = "") -> list[str]:
        """Lines no wider than the screen; what the author broke stays broken."""
        lines: list[str] = []
        for line in text.split("\n"):
            lead = len(line) - len(line.lstrip(" •-"))
            lines += textwrap.wrap(
                line,
                self._width,
                initial_indent=indent,
                subsequent_indent=indent + " " * lead,
                break_long_words=False,
                break_on_hyphens=False,
            ) or [""]
        return lines

    def _section(self, block: Json) -> list[str]:
        lines = self.wrapped(self.text(block["text"])) if block.get("text") else []
        lines += self._columns([self.text(field) for field in block.get("fields", [])])
        if accessory := block.get("accessory"):
            lines.append(self._element(accessory))
        return lines

    def _columns(self, fields: list[str]) -> list[str]:
        """Two by two, as Slack sets fields on a wide screen."""
        half = self._width // 2 - 1
        column = _Screen(self._workspace, half, self._zone)
        lines: list[str] = []
        for at in range(0, len(fields), 2):
            left = column.wrapped(fields[at])
            right = column.wrapped(fields[at + 1]) if at + 1 < len(fields) else []
            for row in range(max(len(left), len(right))):
                first = left[row] if row < len(left) else ""
                lines.append(f"{first:<{half}}  {right[row] if row < len(right) else ''}")
        return lines

    def _small(self, element: Json) -> str:
        if element["type"] == "image":
            return f"[{element['alt_text']}]"
        return self.text(element)

    def _element(self, element: Json) -> str:
        """Something to press, to choose from or to fill in."""
        kind = element["type"]
        if kind == "button":
            return f"[ {self.text(element['text'])} ]"
        if kind == "image":
            return f"[image: {element['alt_text']}]"
        if kind == "overflow":
            return "[ … ]"
        hint = self.text(element["placeholder"]) if "placeholder" in element else ""
        if "input" in kind:
            return f"[{element.get('initial_value') or hint or ' ' * 20}]"
        chosen = element.get("initial_option")
        return f"[ {self.text(chosen['text']) if chosen else hint or 'Choose'} ▾ ]"

    def _special(self, found: re.Match[str]) -> str:
        what, _, label = found[1].partition("|")
        if what.startswith("!date^"):
            return self._date(what, label)
        if what.startswith("!subteam^"):
            group = self._workspace.usergroups.get(what.removeprefix("!subteam^"))
            return f"@{group.handle}" if group else label or "@unknown-group"
        if what.startswith("!"):
            return f"@{what[1:]}"
        if what.startswith("@"):
            user = self._workspace.users.get(what[1:])
            return f"@{user.name}" if user else label or "@unknown-user"
        if what.startswith("#"):
            channel = self._workspace.channels.get(what[1:])
            return f"#{channel.name}" if channel else f"#{label or 'unknown-channel'}"
        return label or what.removeprefix("mailto:")

    def _date(self, what: str, fallback: str) -> str:
        """A time as the reader's client writes it; the fallback where it cannot."""
        parts = what.split("^")
        if len(parts) < 3 or not parts[1].isdigit():
            return fallback
        at = datetime.fromtimestamp(int(parts[1]), UTC).astimezone(self._zone)

        def token(found: re.Match[str]) -> str:
            if found[1] == "ago":
                return _ago(self._workspace.clock() - at.timestamp())
            return _DATES[found[1]](at) if found[1] in _DATES else found[0]

        return re.sub(r"\{(\w+)\}", token, parts[2])


def _ago(seconds: float) -> str:
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if (count := int(abs(seconds) // size)) > 0:
            many = f"{count} {unit}{'s' if count > 1 else ''}"
            return f"{many} ago" if seconds > 0 else f"in {many}"
    return "just now"


def _marked(text: str) -> str:
    """Without the marks of bold, italic and struck text; twice, as they nest."""
    return _MARKS.sub(r"\2", _MARKS.sub(r"\2", text))


def _emoji(text: str) -> str:
    return re.sub(r":([a-z_]+):", lambda found: _EMOJI.get(found[1], found[0]), text)


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
