"""What the store in Redis keeps beside jobs: snapshots, freezes, silences, what was seen."""

from collections.abc import Mapping
from datetime import datetime

from watcher.clients import codec
from watcher.clients.store.calls import Calls
from watcher.clients.store.redis_outbox import RedisOutbox
from watcher.clients.store.rows import (
    HANDLED_SECONDS,
    LOG_KEPT_SECONDS,
    SILENCE_SECONDS,
    SILENCES_KEPT,
    as_milliseconds,
    bounded_values,
    milliseconds,
    moment,
    pool_key,
    told_of,
    too_many_silences,
)
from watcher.core.letters import FLEET
from watcher.core.silences import Silence
from watcher.core.timing import Freeze
from watcher.ports import AuditEntry


class RedisKept:
    """The part of `RedisStore` that knows nothing of jobs."""

    def __init__(self, redis: Calls) -> None:
        self._redis = redis
        self.outbox = RedisOutbox(redis)

    # --- snapshots --------------------------------------------------------------------------

    async def set_progress(self, job_id: str, progress: Mapping[str, object]) -> None:
        value = bounded_values(f"progress of {job_id}", progress)
        await self._redis.run("progress", job_id, value, LOG_KEPT_SECONDS)

    async def progress(self, job_id: str) -> Mapping[str, object]:
        found = await self._redis.do("GET", self._redis.key(f"progress:{job_id}"))
        return codec.decode_values(found) if found else {}

    async def put_view(self, key: str, value: Mapping[str, object]) -> None:
        snapshot = bounded_values(f"view {key}", value)
        await self._redis.run("view", key, snapshot, FLEET, *told_of(key))

    async def views(self) -> Mapping[str, Mapping[str, object]]:
        found = await self._redis.do("HGETALL", self._redis.key("views"))
        return {key.decode(): codec.decode_values(value) for key, value in found.items()}

    async def view(self, key: str) -> Mapping[str, object]:
        found = await self._redis.do("HGET", self._redis.key("views"), key)
        return codec.decode_values(found) if found else {}

    async def keep(self, key: str, value: Mapping[str, object]) -> None:
        await self._redis.do("HSET", self._redis.key("kept"), key, bounded_values(key, value))

    async def kept(self, key: str) -> Mapping[str, object]:
        found = await self._redis.do("HGET", self._redis.key("kept"), key)
        return codec.decode_values(found) if found else {}

    async def pin(
        self, key: str, value: Mapping[str, object], for_seconds: float
    ) -> Mapping[str, object] | None:
        name, pinned = self._redis.key(f"pin:{key}"), bounded_values(key, value)
        while not await self._redis.do("SET", name, pinned, "PX", _ms(for_seconds), "NX"):
            there = await self._redis.do("GET", name)
            if there is not None:  # else it ended in between
                return codec.decode_values(there)
        return None

    async def repin(self, key: str, value: Mapping[str, object], for_seconds: float) -> None:
        name, pinned = self._redis.key(f"pin:{key}"), bounded_values(key, value)
        await self._redis.do("SET", name, pinned, "PX", _ms(for_seconds))

    async def unpin(self, key: str) -> None:
        await self._redis.do("DEL", self._redis.key(f"pin:{key}"))

    # --- what was decided and seen before ---------------------------------------------------

    async def remember(self, cluster: str, pool: str, key: str, because: str) -> None:
        await self._redis.do("HSET", self._not_again(cluster, pool), key, because)

    async def remembered(self, cluster: str, pool: str) -> Mapping[str, str]:
        found = await self._redis.do("HGETALL", self._not_again(cluster, pool))
        return {key.decode(): because.decode() for key, because in found.items()}

    async def forget(self, cluster: str, pool: str) -> None:
        await self._redis.do("DEL", self._not_again(cluster, pool))

    async def first_seen(self, what: str, now: datetime) -> datetime:
        key, at = self._redis.key("first-seen"), milliseconds(now)
        if await self._redis.do("HSETNX", key, what, at):
            return moment(at)
        # Two calls are enough: what is set once never changes.
        return moment(int(await self._redis.do("HGET", key, what)))

    async def handled(self, delivery: str) -> bool:
        return bool(await self._redis.do("EXISTS", self._redis.key(f"handled:{delivery}")))

    async def set_handled(self, delivery: str) -> None:
        key = self._redis.key(f"handled:{delivery}")
        await self._redis.do("SET", key, 1, "EX", HANDLED_SECONDS)

    # --- freezes ----------------------------------------------------------------------------

    async def freeze(self, freeze: Freeze, audit: AuditEntry) -> None:
        record, entry = codec.encode_freeze(freeze), codec.encode_entry(audit)
        await self._redis.run("freeze", freeze.scope, record, FLEET, audit.job, entry)

    async def unfreeze(self, scope: str, audit: AuditEntry) -> bool:
        entry = codec.encode_entry(audit)
        return bool(await self._redis.run("unfreeze", scope, FLEET, audit.job, entry))

    async def freezes(self) -> list[Freeze]:
        """Raise UnreadableRecord rather than take one that cannot be read for none."""
        found = await self._redis.do("HGETALL", self._redis.key("freezes"))
        return [
            codec.decode_freeze(record, scope.decode()) for scope, record in sorted(found.items())
        ]

    # --- silences ---------------------------------------------------------------------------

    async def silence(self, silence: Silence, audit: AuditEntry) -> None:
        record, entry = codec.encode_silence(silence), codec.encode_entry(audit)
        end, kept = milliseconds(silence.until), as_milliseconds(SILENCE_SECONDS)
        said = (silence.id, record, end, kept, SILENCES_KEPT)
        if not await self._redis.run("silence", *said, FLEET, audit.job, entry):
            raise too_many_silences()

    async def unsilence(self, silence_id: str, audit: AuditEntry) -> bool:
        entry, kept = codec.encode_entry(audit), as_milliseconds(SILENCE_SECONDS)
        return bool(await self._redis.run("unsilence", silence_id, kept, FLEET, audit.job, entry))

    async def silences(self) -> list[Silence]:
        found = await self._redis.run("silences", as_milliseconds(SILENCE_SECONDS))
        read = (codec.decode_silence(record) for record in found)
        return sorted((one for one in read if one is not None), key=lambda one: one.id)

    # --- helpers ----------------------------------------------------------------------------

    def _not_again(self, cluster: str, pool: str) -> str:
        return self._redis.key(f"not-again:{pool_key(cluster, pool)}")


def _ms(seconds: float) -> int:
    return max(1, as_milliseconds(seconds))
