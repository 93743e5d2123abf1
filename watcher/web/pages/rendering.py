"""Templates and the files beside them, read once: no path of a request ever reaches the disk."""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import jinja2
from markupsafe import Markup, escape

from watcher.web.pages import tones

HERE = Path(__file__).parent.parent
KINDS: Mapping[str, str] = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class _Environment(jinja2.Environment):
    """`row.update` is what stands in the row, whatever methods dictionaries have."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


@cache
def environment() -> jinja2.Environment:
    """The templates; whatever is put into one is escaped, and a name that is missing is a bug."""
    made = _Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        version=metadata.version("relayer"),
        tag_of=tones.tag_of,
        STATES=tones.STATES,
        UPDATES=tones.UPDATES,
        GROUPS=tones.GROUPS,
    )
    made.filters.update(
        ago=ago, moment=moment, short=short, path=path, query=query, count=count, words=words
    )
    return made


@cache
def files() -> Mapping[str, tuple[str, str]]:
    """Name → content and media type of everything in `static`."""
    found = sorted((HERE / "static").iterdir())
    return {p.name: (p.read_text("utf-8"), KINDS[p.suffix]) for p in found if p.suffix in KINDS}


def moment(at: datetime | str | None, empty: str = "never") -> Markup:
    """A moment as text in UTC; the script writes it in the reader's own time zone."""
    if not at:
        return escape(empty)
    parsed = datetime.fromisoformat(at) if isinstance(at, str) else at
    text = parsed.strftime("%Y-%m-%d %H:%M UTC")
    return Markup('<time datetime="{}" data-local>{}</time>').format(parsed.isoformat(), text)


def ago(at: datetime | str | None, now: datetime, empty: str = "never") -> Markup:
    """How long ago, or in how long; the script keeps it right while the page is open."""
    if not at:
        return escape(empty)
    parsed = datetime.fromisoformat(at) if isinstance(at, str) else at
    said = span((now - parsed).total_seconds())
    return Markup('<time datetime="{}" data-ago>{}</time>').format(parsed.isoformat(), said)


def span(seconds: float) -> str:
    """Seconds that have passed, in words; negative ones are ahead. `page.js` says the same."""
    ahead, left = seconds < 0, abs(seconds)
    if left < 60:
        return "in a moment" if ahead else "just now"
    if left < 5400:
        said = f"{left / 60:.0f} min"
    elif left < 129600:
        said = f"{left / 3600:.0f} h"
    else:
        said = f"{left / 86400:.0f} d"
    return f"in {said}" if ahead else f"{said} ago"


def short(image: str) -> str:
    """An image as people tell it from another: the first characters of its digest."""
    found = _DIGEST.search(image)
    return found.group(1)[:12] if found else image


def path(*parts: str) -> str:
    """A path of which each part may be anything."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def query(said: Mapping[str, str], **other: str) -> str:
    """The query string with some values changed; empty ones are left out."""
    values = {name: value for name, value in {**said, **other}.items() if value}
    return f"?{urlencode(values)}" if values else "?"


def count(number: int, one: str, many: str = "") -> str:
    """`1 pool`, `2 pools`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def words(state: str) -> str:
    """A state's name as words."""
    return state.replace("-", " ")


def render(template: str, model: Mapping[str, Any]) -> str:
    """Return the template with the model's values."""
    return environment().get_template(template).render(model)
