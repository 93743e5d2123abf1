"""Slack's Web API as far as we use it, and what its errors mean.

No retries here: the library's own would post again when only the answer to `chat.postMessage` was
lost. Who calls knows what may be repeated.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from watcher.clients.counting import Counted, Outcome, outcome_of, uncounted
from watcher.clients.slack.library_log import quiet_logger
from watcher.ports import OutsideError, Refused, Transient

ANSWER_SECONDS = 10.0
"""Slack's own apps answer in well under a second; a proxy in between may not."""
FOR_GOOD = frozenset(
    {
        "channel_not_found",
        "not_in_channel",
        "is_archived",
        "is_inactive",
        "message_not_found",
        "thread_not_found",
        "cant_update_message",
        "cant_delete_message",
        "edit_window_closed",
        "invalid_blocks",
        "invalid_arguments",
        "msg_too_long",
        "msg_blocks_too_long",
        "no_text",
        "restricted_action",
        "no_such_subteam",
        "subteam_not_found",
        "user_not_found",
        "expired_trigger_id",
        "trigger_expired",
        "exchanged_trigger_id",
        "invalid_metadata_format",
    }
)
"""The same call gets the same answer. All other errors may pass: a token can be renewed, a scope
added, Slack come back."""
READS = frozenset(
    {
        "usergroups.list",
        "usergroups.users.list",
        "conversations.info",
        "conversations.history",
        "conversations.replies",
    }
)
"""Asked with a query, as the library's own methods do: not all of them read a JSON body."""
CREDENTIALS_SECONDS = 60.0
"""A wrong token is tried again after this: somebody has to mend it first."""
CREDENTIALS = frozenset(
    {"invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive"}
)
WHAT_NOW: Mapping[str, str] = {
    "not_in_channel": "invite the app there: /invite @relayer",
    "channel_not_found": "it does not exist, or is private and the app is not in it",
    "missing_scope": "reinstall the app with config/slack-app.yaml",
    **dict.fromkeys(CREDENTIALS, "check the token; `relayer doctor slack` tells more"),
}


class SlackRefused(Refused):
    """Slack understood and said no; `error` is its own word for it."""

    def __init__(self, what: str, error: str) -> None:
        super().__init__(what)
        self.error = error


PER_CHANNEL = frozenset({"chat.postMessage", "chat.postEphemeral", "response_url"})
"""Slack counts these for each channel; all others for the workspace."""
LIMITED = "Slack asks for a pause"
SPREAD_SECONDS = 3.0
"""Those who waited for the same pause do not come back in the same moment."""


class SlackApi:
    """One workspace, seen by one bot."""

    def __init__(
        self, client: AsyncWebClient, token: Callable[[], str], counted: Counted = uncounted
    ) -> None:
        """`counted` is told of each call, by its method."""
        self.client = client
        self._counted = counted
        self._token = token
        self._paused: dict[str, float] = {}
        """Method → until when Slack wants it left alone (the loop's time)."""

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, token: Callable[[], str], *, api_url: str, counted: Counted = uncounted
    ) -> AsyncIterator["SlackApi"]:
        """`token` is asked at every call, so that a renewed one is used. It may raise Refused."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
            client = AsyncWebClient(
                base_url=api_url, session=session, retry_handlers=[], logger=quiet_logger()
            )
            yield cls(client, token, counted)

    async def call(self, method: str, **said: Any) -> dict[str, Any]:
        """Return the answer. Raise Transient (not done, or not known), or SlackRefused."""
        answer, _ = await self.call_with_headers(method, **said)
        return answer

    async def call_with_headers(
        self, method: str, **said: Any
    ) -> tuple[dict[str, Any], Mapping[str, str]]:
        """As `call`, with the headers: `auth.test` tells its scopes there."""
        self._check_pause(method)
        try:
            self.client.token = self._token()
        except Refused as error:  # somebody has to mend it first; what was to be said waits
            raise Transient(str(error), retry_after_seconds=CREDENTIALS_SECONDS) from error
        with self._counting(method):
            return await self._asked(method, said)

    async def _asked(
        self, method: str, said: dict[str, Any]
    ) -> tuple[dict[str, Any], Mapping[str, str]]:
        try:
            if method in READS:
                answer = await self.client.api_call(method, http_verb="GET", params=said)
            else:
                answer = await self.client.api_call(method, json=said)
        except SlackApiError as error:
            meaning = _meaning(method, error)
            self._note_pause(method, meaning)
            raise meaning from error
        except AttributeError as error:  # the library's check trips over what is no JSON object
            raise Transient("what answers is not Slack's API") from error
        except (aiohttp.ClientError, SlackClientError, TimeoutError, OSError) as error:
            why = str(error) or type(error).__name__
            raise Transient(f"Slack does not answer ({method}): {why}") from error
        data = answer.data
        if not isinstance(data, dict):
            raise Transient(f"Slack's answer to {method} is not JSON")
        return data, dict(answer.headers)

    @contextmanager
    def _counting(self, method: str) -> Iterator[None]:
        """One request that is made: what is held back by a pause is none."""
        try:
            yield
        except OutsideError as error:
            self._counted(method, Outcome.LIMITED if str(error) == LIMITED else outcome_of(error))
            raise
        self._counted(method, Outcome.OK)

    def _check_pause(self, method: str) -> None:
        """Raise Transient while Slack wants the method left alone: one refusal is for all."""
        left = self._paused.get(method, 0.0) - asyncio.get_running_loop().time()
        if left > 0:
            wait = left + random.uniform(0, SPREAD_SECONDS)  # noqa: S311 - spread, no secret
            raise Transient(LIMITED, retry_after_seconds=wait)

    def _note_pause(self, method: str, meaning: OutsideError) -> None:
        if not isinstance(meaning, Transient) or str(meaning) != LIMITED:
            return
        if method not in PER_CHANNEL and meaning.retry_after_seconds:
            until = asyncio.get_running_loop().time() + meaning.retry_after_seconds
            self._paused[method] = until

    async def members(self, group: str) -> frozenset[str]:
        """See `ports.Groups`."""
        try:
            answer = await self.call("usergroups.users.list", usergroup=group)
        except SlackRefused as refusal:
            raise SlackRefused(f"Slack has no usergroup {group}", refusal.error) from refusal
        return frozenset(str(user) for user in answer.get("users", ()))

    async def whisper(self, channel: str, user: str, content: Mapping[str, Any]) -> None:
        """Say something that only `user` sees."""
        await self.call("chat.postEphemeral", channel=channel, user=user, **content)

    async def respond(self, url: str, content: Mapping[str, Any]) -> None:
        """Answer a click or a command privately, by the address that came with it.

        That address is only believed on the API's own host or Slack's: it comes from outside.
        """
        session = self.client.session
        assert session is not None, "opened with one"
        if not self._is_slacks(url):
            raise Refused("the address for a private answer is not Slack's")
        said = {"response_type": "ephemeral", "replace_original": False, **content}
        with self._counting("response_url"):
            await self._responded(session, url, said)

    async def _responded(
        self, session: aiohttp.ClientSession, url: str, said: Mapping[str, Any]
    ) -> None:
        try:
            async with session.post(url, json=said, allow_redirects=False) as answer:
                if answer.status >= 300:
                    raise Transient(f"Slack did not take a private answer: {answer.status}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = str(error) or type(error).__name__
            raise Transient(f"Slack does not take a private answer: {why}") from error

    def _is_slacks(self, url: str) -> bool:
        try:
            asked, ours = urlsplit(url), urlsplit(self.client.base_url)
        except ValueError:  # no address at all
            return False
        if (asked.scheme, asked.netloc) == (ours.scheme, ours.netloc):
            return True
        host = asked.hostname or ""
        return asked.scheme == "https" and host.endswith((".slack.com", ".slack-gov.com"))

    async def open_view(self, trigger: str, view: Mapping[str, Any]) -> None:
        """Open a modal; the trigger is good for 3 s."""
        await self.call("views.open", trigger_id=trigger, view=view)


def _meaning(method: str, error: SlackApiError) -> OutsideError:
    response = error.response
    status = getattr(response, "status_code", 0) or 0
    data = getattr(response, "data", None)
    word = str(data.get("error", "")) if isinstance(data, dict) else ""
    headers = getattr(response, "headers", None) or {}
    if status == 429 or word in ("ratelimited", "rate_limited", "message_limit_exceeded"):
        return Transient(LIMITED, retry_after_seconds=_pause(headers))
    if word in FOR_GOOD:
        return SlackRefused(_sentence(method, word, data), word)
    named = CREDENTIALS_SECONDS if word in CREDENTIALS or word == "missing_scope" else None
    said = _sentence(method, word or f"status {status}", data)
    return Transient(said, retry_after_seconds=named)


def _sentence(method: str, word: str, data: object) -> str:
    more = ""
    if isinstance(data, dict):
        needed = data.get("needed")
        told = data.get("response_metadata")
        messages = told.get("messages") if isinstance(told, dict) else None
        more = f" (needs {needed})" if needed else ""
        more += f" ({'; '.join(map(str, messages))[:300]})" if messages else ""
    hint = WHAT_NOW.get(word, "")
    return f"Slack: {method}: {word[:80]}{more}" + (f"; {hint}" if hint else "")


def _pause(headers: Mapping[str, Any]) -> float:
    for name, value in headers.items():
        if str(name).lower() == "retry-after":
            first = value[0] if isinstance(value, list | tuple) else value
            try:
                return max(1.0, float(first))
            except ValueError:
                break
    return 1.0
