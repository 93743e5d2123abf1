"""A service behind a URL, asked through its API; the same answers and errors as beside us.

Who asks is said by the token; the service audits it as such.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import quote

from watcher.cli.door import Decision, Row, nearest_place
from watcher.cli.exits import Fault, NotFound, Usage
from watcher.cli.options import Remote
from watcher.cli.output import tell
from watcher.clients.service import Answered, BadUrl, ServiceClient
from watcher.errors import Declined, Refused, Transient


class RemoteDoor:
    """See `Door`."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def _get(self, path: str, **query: str) -> Row:
        with self._understood():
            found: Row = await self._client.get(path, query)
        return found

    async def _post(self, path: str, **body: object) -> Row:
        with self._understood():
            found: Row = await self._client.send("POST", path, body=body)
        return found

    async def _delete(self, path: str, **query: str) -> Row:
        with self._understood():
            found: Row = await self._client.send("DELETE", path, query=query)
        return found

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """What an answer means here, with the next step where there is one."""
        url = self._client.url
        try:
            yield
        except Answered as error:
            match error.status:
                case 401:
                    raise Refused(f"{url}: {error}; name a token with --token-file") from error
                case 403:
                    raise Declined(f"{error}") from error
                case 404:
                    raise NotFound(f"{url}: {error}") from error
                case 409:
                    raise Declined(str(error)) from error
                case 400 | 413 | 415 | 422:
                    raise Usage(str(error)) from error
                case 408 | 429 | 503 | 504:
                    raise Transient(f"{url}: {error}") from error
                case 500:
                    raise Fault(f"{url}: {error}") from error
                case _:
                    raise Refused(f"{url}: {error}") from error

    # --- looking ---------------------------------------------------------------------------------

    async def place(self, pool: str) -> str:
        rows = (await self.status())["pools"]

        def near(name: str, known: list[str]) -> str:
            from watcher.config import nearest

            return nearest(name, known)

        return nearest_place(pool, [f"{r['cluster']}/{r['pool']}" for r in rows], near)

    async def status(self) -> Row:
        return await self._get("/status")

    def doubt(self, seen: Row) -> str:
        return ""  # it has just answered

    async def drift(self, cluster: str) -> Row:
        return await self._get("/drift", **({"cluster": cluster} if cluster else {}))

    async def plans(self, pool: str | None) -> Row:
        # One after the other: the service looks at few at once.
        return {"plans": [await self._looked(f"{path}/plan") for path in await self._paths(pool)]}

    async def _looked(self, path: str) -> Row:
        """The service looks at some pools at once, and then at one every few seconds."""
        with self._understood():
            while True:
                try:
                    found: Row = await self._client.get(path)
                    return found
                except Answered as error:
                    after = error.again_seconds
                    if error.status != 429 or after is None or after > LONGEST_PAUSE_SECONDS:
                        raise
                    tell(f"{path}: asked again in {after:.0f} s, as the service wants pauses")
                    await asyncio.sleep(after)

    async def updates(self, pool: str | None, limit: int) -> Row:
        query = {"limit": str(min(limit, MOST_ASKED))}
        path = f"{_path(await self.place(pool))}/history" if pool else "/updates"
        return {"updates": (await self._get(path, **query))["updates"]}

    async def job(self, job_id: str, *, log: bool) -> Row:
        name = quote(job_id, safe="")
        if job_id.startswith("b-"):
            row = {"job": "build", **await self._get(f"/builds/{name}")}
            lines = (await self._get(f"/builds/{name}/log"))["lines"] if log else []
        else:
            row = {"job": "update", **await self._get(f"/updates/{name}")}
            lines = row["log"] if log else []
        row.pop("build_record", None)
        return {**row, "log": lines}

    async def update(self, update_id: str) -> Row:
        row = await self._get(f"/updates/{quote(update_id, safe='')}")
        return {k: v for k, v in row.items() if k not in ("build_record", "log", "audit")}

    async def windows(self, pool: str | None) -> Row:
        return {"pools": [await self._get(f"{p}/windows") for p in await self._paths(pool)]}

    async def _paths(self, pool: str | None) -> list[str]:
        if pool:
            return [_path(await self.place(pool))]
        rows = (await self.status())["pools"]
        return [_path(f"{row['cluster']}/{row['pool']}") for row in rows]

    # --- deciding --------------------------------------------------------------------------------

    async def decide(self, what: Decision, update_id: str, *, binding: str, reason: str) -> Row:
        path = f"/updates/{quote(update_id, safe='')}/{what}"
        return await self._post(path, binding=binding, reason=reason)

    async def snooze(self, update_id: str, *, binding: str, until: str) -> Row:
        path = f"/updates/{quote(update_id, safe='')}/snooze"
        return await self._post(path, binding=binding, until=until)

    async def rebuild(self, place: str, *, allow_downgrade: bool) -> Row:
        return await self._post(f"{_path(place)}/rebuild", allow_downgrade=allow_downgrade)

    async def stock(self, place: str) -> Row:
        return await self._post(f"{_path(place)}/stock")

    # --- freezes and silences --------------------------------------------------------------------

    async def scope(self, cluster: str) -> str:
        if "/" in cluster:
            raise Usage(f"{cluster} is a pool: that is held, by `relayer hold {cluster}`")
        return cluster  # the service knows its clusters

    async def freezes(self) -> Row:
        return await self._get("/freezes")

    async def freeze(self, scope: str, *, until: str, reason: str) -> Row:
        said = {"reason": reason, "until": until}
        if "/" in scope:
            return await self._post(f"{_path(scope)}/hold", **said)
        return await self._post("/freezes", scope=scope, **said)

    async def unfreeze(self, scope: str) -> Row:
        if "/" in scope:
            return {**await self._post(f"{_path(scope)}/unhold"), "scope": scope}
        return {**await self._delete("/freezes", scope=scope), "scope": scope}

    async def silences(self) -> Row:
        return await self._get("/silences")

    async def silence(self, scope: str, *, rule: str, until: str, reason: str) -> Row:
        return await self._post("/silences", scope=scope, rule=rule, until=until, reason=reason)

    async def unsilence(self, silence_id: str) -> Row:
        return await self._delete("/silences", id=silence_id)


MOST_ASKED = 200
"""What the service answers at most at once."""
LONGEST_PAUSE_SECONDS = 60.0
"""Between two looks at pools; a service that wants a longer one is busy with others."""


@asynccontextmanager
async def remote_door(there: Remote) -> AsyncIterator[RemoteDoor]:
    """Connect to nothing yet. Raise Usage for a URL that is none, Refused for files."""
    try:
        client = ServiceClient.of(there.url, token_file=there.token_file, ca_file=there.ca_file)
    except BadUrl as error:
        raise Usage(str(error)) from error
    yield RemoteDoor(client)


def _path(place: str) -> str:
    cluster, _, pool = place.partition("/")
    return f"/pools/{quote(cluster, safe='')}/{quote(pool, safe='')}"
