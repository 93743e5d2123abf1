"""Records what the code of now writes, as files that later code must be able to read.

    .venv/bin/python -m tests.recorded.record store NAME    a service's whole store, as Redis has it
    .venv/bin/python -m tests.recorded.record records NAME  all kinds of records, every field set

A file that is there is never written again: what lies in somebody's Redis does not change either.
"""

import asyncio
import dataclasses
import json
import re
import socket
import sys
import tempfile
import types
import typing
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
_VALUES: dict[type, Any] = {int: 3, float: 4.5, bool: True, datetime: AT}
_BY_NAME: dict[str, Any] = {
    "timezone": "Europe/Berlin",
    "start": "02:00",
    "first": "12-20",
    "last": "01-06",
    "days": ("sat",),
    "cron": "0 2 * * 6",
    "place": "lab/infra",
    "when_closed": "pause",
    "platforms": ("linux/amd64",),
}


def filled(kind: Any, name: str = "") -> Any:
    """A value of this type in which every field has a value of its own."""
    if name in _BY_NAME:
        return _BY_NAME[name]
    if kind in _VALUES:
        return _VALUES[kind]
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        return tuple(filled(one, name) for one in inner if one is not ...)
    if origin in (typing.Union, types.UnionType):
        return filled(next(one for one in inner if one is not types.NoneType), name)
    if hasattr(kind, "__supertype__"):
        return filled(kind.__supertype__, name)
    if dataclasses.is_dataclass(kind):
        hints, made = typing.get_type_hints(kind), typing.cast(Any, kind)
        return made(**{f.name: filled(hints[f.name], f.name) for f in dataclasses.fields(kind)})
    if issubclass(kind, StrEnum):
        return list(kind)[-1]
    written = {"Pullspec": f"quay.io/example/os@sha256:{'b' * 64}", "Digest": f"sha256:{'c' * 64}"}
    return (
        kind(written.get(kind.__name__, "registry.example.com/layered/infra"))
        if (kind is not str)
        else f"a {name.replace('_', ' ')}"
    )


def records() -> dict[str, Any]:
    """Every kind of record with every field set, as the codec writes it."""
    from watcher.clients import codec
    from watcher.core.build import Build
    from watcher.core.letters import Delivered
    from watcher.core.timing import Freeze
    from watcher.core.update import Update
    from watcher.ports import AuditEntry

    made = {
        "build": codec.encode(filled(Build)),
        "update": codec.encode(filled(Update)),
        "entry": codec.encode_entry(filled(AuditEntry)),
        "freeze": codec.encode_freeze(filled(Freeze)),
        "delivered": codec.encode_delivered(filled(Delivered)),
        "view": codec.encode_values({"decision": "Rebuild", "nodes": 3, "paused": False}),
    }
    if hasattr(codec, "encode_silence"):
        from watcher.core.silences import Silence

        made["silence"] = codec.encode_silence(filled(Silence))
    return {name: json.loads(raw) for name, raw in made.items()}


async def store() -> dict[str, Any]:
    """The store of a service that approved, rolled out, rejected, froze and waits."""
    from tests.scenario.service import running, update_in
    from tests.scenario.world import CLUSTER, INFRA, world
    from watcher.core.approval import ApprovalRules
    from watcher.core.update import Policy

    with tempfile.TemporaryDirectory() as directory:
        async with world(Path(directory)) as made:
            policy = Policy(approval=ApprovalRules(quorum=1), soak_seconds=0)
            async with running(made.with_policy(policy)) as app:
                by: dict[str, Any] = {"by": "token:ann", "surface": "http"}
                first = await update_in(app, "awaiting-approval")
                await app.people.approve(first.id, reason="søndag", **by)
                await update_in(app, "done")
                again = await app.planner.rebuild(CLUSTER, INFRA, **by)
                await update_in(app, "awaiting-approval", after=first.id)
                await app.people.reject(again.id, reason="only a try", **by)
                await app.planner.rebuild(CLUSTER, INFRA, **by)
                await update_in(app, "awaiting-approval", after=again.id)
                await app.people.freeze("prod", because="audit week", until=None, **by)
                return await _dumped(app.store)
    raise AssertionError("unreachable")


async def _dumped(opened: Any) -> dict[str, Any]:
    """Every key with its type and content. All that we write is UTF-8."""
    reading: Mapping[str, tuple[Any, ...]] = {
        "string": ("GET",),
        "hash": ("HGETALL",),
        "list": ("LRANGE", 0, -1),
        "set": ("SMEMBERS",),
        "zset": ("ZRANGE", 0, -1, "WITHSCORES"),
        "stream": ("XRANGE", "-", "+"),
    }
    calls = opened._redis
    found = {}
    for key in sorted(await calls.do("KEYS", calls.key("*"))):
        kind = (await calls.do("TYPE", key)).decode()
        command, *more = reading[kind]
        found[key.decode()] = {"type": kind, "value": _plain(await calls.do(command, key, *more))}
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        # Its name, ports and directories are this machine's.
        text = value.decode().replace(socket.gethostname(), "host")
        text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:5000", text)
        return re.sub(r"/tmp/[\w./-]+", "/tmp/recipe", text)
    if isinstance(value, dict):
        return {_plain(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(inner) for inner in value]
    return value


def main(what: str, name: str) -> None:
    made = asyncio.run(store()) if what == "store" else records()
    with (HERE / f"{what}-{name}.json").open("x", encoding="utf-8") as file:
        file.write(json.dumps(made, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
