"""Where the logins of a person or a service lie on this machine.

Order and meaning are those of containers/image (containers-auth.json(5)): the files are asked in
turn, the first with a match for a repository counts, and within a file the longest match.
`oc` reads the same files (pkg/cli/image/manifest/dockercredentials) but first puts all their names
together, so that there a longer name of a later file beats a shorter one of an earlier file; and
with REGISTRY_AUTH_PREFERENCE=docker it puts docker's file first. Neither is done here.
Like both we go without a login where none is found, and never where a login is refused: that would
hide that it has expired.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from watcher.clients.registry.credentials import Credentials, read_file
from watcher.clients.registry.errors import BadContent

_RUN = Path("/run/containers")
"""Where podman keeps the file of a user without XDG_RUNTIME_DIR."""


def find_logins(
    registry_config: Path | None, *, environ: Mapping[str, str], home: Path, run: Path = _RUN
) -> Credentials:
    """The logins of the file named, of that in REGISTRY_AUTH_FILE, or of all the usual files.

    Raise BadContent naming the file: one that is named must be there and be good as a whole. Of the
    usual files one that is missing is passed over, one that cannot be read or is no JSON raises,
    and a broken entry stands in the way of its own host only, when that is asked for. Blocking.
    """
    named = registry_config or _path(environ, "REGISTRY_AUTH_FILE")
    if named:
        return Credentials.read(named)
    runtime = _path(environ, "XDG_RUNTIME_DIR")
    paths = (
        runtime / "containers" / "auth.json" if runtime else run / f"{os.getuid()}" / "auth.json",
        (_path(environ, "XDG_CONFIG_HOME") or home / ".config") / "containers" / "auth.json",
        (_path(environ, "DOCKER_CONFIG") or home / ".docker") / "config.json",
    )
    usual = [_usual(path) for path in paths]
    return Credentials.joined(*usual, _usual(home / ".dockercfg", is_legacy=True))


def _usual(path: Path, *, is_legacy: bool = False) -> Credentials:
    try:
        raw = read_file(path)
    except (FileNotFoundError, NotADirectoryError):
        return Credentials()
    except OSError as error:
        raise BadContent(f"auth file {path}: {error.strerror}") from error
    parse = Credentials.parse_legacy if is_legacy else Credentials.parse
    return parse(raw, what=f"auth file {path}", strict=False)


def _path(environ: Mapping[str, str], name: str) -> Path | None:
    return Path(environ[name]) if environ.get(name) else None
