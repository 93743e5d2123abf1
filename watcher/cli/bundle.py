"""`relayer bundle`: what somebody who helps needs to see, in one archive without secrets.

What is not there is said in `problems.txt`: an archive with gaps is worth more than none.
"""

import io
import json
import os
import platform
import tarfile
from collections.abc import Awaitable, Callable
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from watcher.cli import output
from watcher.cli.exits import Code, explain
from watcher.cli.hiding import Hiding, secrets_of
from watcher.cli.local_door import LocalDoor, local_door
from watcher.cli.output import Format, say, tell
from watcher.clock import SystemClock
from watcher.errors import Refused

if TYPE_CHECKING:
    from watcher.settings import Settings

MOST_FILE, AUDIT, UPDATES = 4 << 20, 1000, 200
Part = Callable[[], Awaitable[object]]


async def bundle(settings: "Settings", to: Path | None, form: Format) -> Code:
    """Write the archive, for its owner's eyes; raise Refused where something is there already."""
    now = SystemClock().now()
    path = to or Path(f"relayer-bundle-{now:%Y%m%d-%H%M%S}.tar.gz")
    hide = Hiding(tuple(secrets_of(settings)))
    problems: list[str] = []
    files: dict[str, str] = {}
    async with local_door(settings) as door:
        for name, part in _parts(settings, door).items():
            try:
                files[name] = _text(await part())
            except Exception as error:
                problems.append(f"{name}: {explain(error)[1]}")
    files["problems.txt"] = "\n".join(problems) + "\n" if problems else "none\n"
    hidden = {name: hide(text) for name, text in files.items()}
    _write(path, hidden, now)
    if form.is_data:
        output.data({"file": str(path), "files": sorted(files), "problems": problems}, form)
        return Code.OK
    for problem in problems:
        tell(f"not in it: {problem}")
    say(f"wrote {path}: {len(files)} files, {path.stat().st_size / 1024:.0f} KiB")
    say("secrets are removed, names of clusters, pools and people are not: look before you send it")
    return Code.OK


def _parts(settings: "Settings", door: LocalDoor) -> dict[str, Part]:
    """Each file, and how its content is had."""
    from watcher import config, shown

    async def effective() -> object:
        return config.effective(settings)

    async def audit() -> object:
        return [shown.audit_row(one) for one in await (await door.store()).audit(None, AUDIT)]

    async def dead() -> object:
        found = await (await door.store()).dead()
        return [{**shown.job_row(one.job), "buried_because": why} for one, why in found]

    async def views() -> object:
        return dict(await (await door.store()).views())

    async def backlog() -> object:
        store = await door.store()
        return {
            "revision": await store.revision(),
            "queue": {
                str(kind): {"waiting": one.waiting, "due": one.due, "leased": one.leased}
                for kind, one in (await store.backlog(SystemClock().now())).items()
            },
        }

    return {
        "version.json": _version,
        "environment.json": _environment,
        "configuration.yaml": effective,
        "status.json": door.status,
        "history.json": lambda: door.updates(None, UPDATES),
        "windows.json": lambda: door.windows(None),
        "freezes.json": door.freezes,
        "silences.json": door.silences,
        "audit.json": audit,
        "dead.json": dead,
        "views.json": views,
        "store.json": backlog,
        "drift.json": lambda: door.drift(""),
        "files.json": lambda: _files(settings),
    }


async def _version() -> object:
    return {
        "relayer": metadata.version("relayer"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: _installed(name) for name in ("redis", "kubernetes", "httpx")},
    }


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


async def _environment() -> object:
    """Names alone: values are nobody's business."""
    return {"names": sorted(os.environ), "uid": os.getuid(), "cpus": os.cpu_count()}


async def _files(settings: "Settings") -> object:
    """Files that the configuration names: whether they are there, and who may read them."""
    from watcher.cli.serving import named_files

    return [
        {
            "what": what,
            "path": str(path),
            "there": path.exists(),
            "mode": oct(path.stat().st_mode & 0o7777) if path.exists() else None,
        }
        for what, path in named_files(settings)
    ]


# --- the archive ---------------------------------------------------------------------------------


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, default=str) + "\n"


def _write(path: Path, files: dict[str, str], now: datetime) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Refused(f"{path} is there already, and nothing is overwritten") from None
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, text in sorted(files.items()):
            data = text.encode()
            if len(data) > MOST_FILE:
                data = data[:MOST_FILE] + b"\n... cut off\n"
            entry = tarfile.TarInfo(f"relayer-bundle/{name}")
            entry.size, entry.mode, entry.mtime = len(data), 0o600, int(now.timestamp())
            archive.addfile(entry, io.BytesIO(data))
