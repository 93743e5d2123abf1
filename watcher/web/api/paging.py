"""Lists in pages. A cursor names the last row that was given, not how many there were before it,
so that rows which come meanwhile neither repeat one nor hide one."""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from watcher.web.face import as_json
from watcher.web.problems import Problem

MOST = 200
USUAL = 50
_LONGEST = 300
_TEXT = r"^[A-Za-z0-9_-]{1,300}$"
Limit = Annotated[int, Meta(ge=1, le=MOST, description="How many rows at most.")]
Cursor = Annotated[str, Meta(pattern=_TEXT, description="`next` of the page before.")]
Key = tuple[str, ...]
T = TypeVar("T")


class Page(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    limit: Limit = USUAL
    cursor: Cursor | UnsetType = UNSET

    def after(self, what: str, parts: int) -> Key | None:
        """Return the key that the cursor names, None for the first page. Raise Problem 422."""
        if self.cursor is UNSET:
            return None
        key = read(str(self.cursor))
        if key is None or len(key) != parts + 1 or key[0] != what:
            raise Problem(422, "cursor: not one of this list; take `next` of the page before")
        return key[1:]


def cursor(what: str, key: Key) -> str:
    """Return the cursor of the row with this key."""
    text = msgspec.json.encode((what, *key))
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def read(text: str) -> Key | None:
    """Return what a cursor says; None if it is none of ours."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(raw, type=tuple[str, ...])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None


def cut(
    what: str, rows: Iterable[T], page: Page, key: Callable[[T], Key]
) -> tuple[Sequence[T], str | None]:
    """Return this page of the rows, newest first by their keys, and the cursor of the next."""
    ordered = sorted(rows, key=key, reverse=True)
    after = page.after(what, len(key(ordered[0])) if ordered else 2)
    left = [row for row in ordered if after is None or key(row) < after]
    found = left[: page.limit]
    more = len(left) > page.limit
    return found, cursor(what, key(found[-1])) if more else None


def answer(request: Request, name: str, rows: Sequence[Any], following: str | None) -> Response:
    """Return the page as JSON, with a Link to the next one."""
    made = as_json({name: rows, "next": following})
    if following is not None:
        url = request.url.include_query_params(cursor=following)
        made.headers["Link"] = f'<{re.sub("[<>]", "", url.path)}?{url.query}>; rel="next"'
    return made
