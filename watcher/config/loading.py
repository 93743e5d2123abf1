"""From the file to `Settings`: read, parse, check the shape, check the names, hand inwards.

Nothing here opens a connection or a secret; a file that passes is one the service can start with.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from watcher.config import mistakes
from watcher.config.models import ApprovalPart, File, PolicyPart, PoolPart
from watcher.config.text import MOST_BYTES, ConfigError, Node, Problem, parse
from watcher.core.approval import ApprovalRules
from watcher.core.facts import ClusterName, PoolName
from watcher.core.update import Policy
from watcher.core.windows import Window
from watcher.settings import (
    BuildahSettings,
    ClusterSettings,
    PoolSettings,
    RecipeSettings,
    RedisSettings,
    RegistrySettings,
    Settings,
    TokenSettings,
    WebSettings,
    WorkSettings,
)


def load(path: Path) -> Settings:
    """Return what the file says; raise ConfigError with every mistake in it."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        why = error.strerror or "cannot be read"
        raise ConfigError([Problem(str(path), 0, f"{why}; name another file with -c")]) from error
    if len(data) > MOST_BYTES:
        raise ConfigError([Problem(str(path), 0, f"larger than {MOST_BYTES // 1024} KiB")])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(str(path), line, "not UTF-8; save it as UTF-8")]) from error
    return load_text(text, file=str(path), directory=path.absolute().parent)


def load_text(text: str, *, file: str = "configuration", directory: Path | None = None) -> Settings:
    """Return what the text says. Relative paths in it start at `directory`. Raise ConfigError."""
    root, problems = parse(text, file=file)
    if root.value is None:
        root = Node({}, root.line)
    model: File | None = None
    try:
        model = File.model_validate(root.plain())
    except ValidationError as error:
        problems += mistakes.of_shape(error, root, file)
    problems += mistakes.of_names(root, file)
    settings = _Maker(directory).settings(model) if model else Settings()
    for number, pool in enumerate(settings.pools):
        if message := _impossible(pool.policy):
            line = root.line_of(("pools", number, "policy", "approval", "quorum"))
            problems.append(Problem(file, line, f"pools[{number}]: {message}"))
    if problems:
        raise ConfigError(problems)
    return settings


def _impossible(policy: Policy) -> str:
    rules = policy.approval
    able = len(set(rules.approvers))
    if able and rules.quorum > able:
        return f"quorum is {rules.quorum}, but only {able} approver(s) are listed"
    return ""


class _Maker:
    """Makes the dataclasses from what was written; relative paths start at the file's place."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory or Path()

    def settings(self, file: File) -> Settings:
        said = file.given()
        common = file.defaults.policy if file.defaults else None
        tokens = [TokenSettings(**self._of(t)) for t in (file.web.tokens or [] if file.web else [])]
        made: dict[str, Any] = {k: said[k] for k in ("log_level",) if k in said}
        if file.state_dir:
            made["state_dir"] = self._path(file.state_dir)
        if file.redis:
            made["redis"] = RedisSettings(**self._of(file.redis))
        if file.registry:
            made["registry"] = RegistrySettings(**self._of(file.registry))
        if file.web:
            made["web"] = WebSettings(**{**self._of(file.web), "tokens": tuple(tokens)})
        if file.work:
            made["work"] = WorkSettings(**self._of(file.work))
        if file.buildah:
            made["buildah"] = BuildahSettings(**self._of(file.buildah))
        clusters = tuple(ClusterSettings(**self._of(c)) for c in file.clusters or ())
        recipes = tuple(RecipeSettings(**self._of(r)) for r in file.recipes or ())
        pools = tuple(self._pool(pool, common) for pool in file.pools or ())
        return Settings(**made, clusters=clusters, recipes=recipes, pools=pools)

    def _pool(self, part: PoolPart, common: PolicyPart | None) -> PoolSettings:
        return PoolSettings(
            cluster=ClusterName(part.cluster),
            pool=PoolName(part.pool),
            recipe=part.recipe,
            policy=_policy(common, part.policy),
        )

    def _of(self, part: Any) -> dict[str, Any]:
        """What is written in one part, under the dataclass's names."""
        return {_inside(key): self._value(value) for key, value in part.given().items()}

    def _value(self, value: Any) -> Any:
        if isinstance(value, Path):
            return self._path(value)
        if isinstance(value, list):
            return tuple(value)
        if isinstance(value, Mapping):
            return {key: self._value(item) for key, item in value.items()}
        return value

    def _path(self, path: Path) -> Path:
        return self._directory / path.expanduser()


DURATIONS = ("ask", "keep", "soak", "node", "lease", "resync", "rollout_poll", "drain", "timeout")


def _inside(key: str) -> str:
    """The dataclass's name of a setting: durations carry their unit there."""
    return f"{key}_seconds" if key in DURATIONS else key


def _policy(common: PolicyPart | None, own: PolicyPart | None) -> Policy:
    """A pool's policy: what it says itself, else what `defaults.policy` says, key by key."""
    said: dict[str, Any] = {}
    approval: dict[str, Any] = {}
    for part in (common, own):
        if part is None:
            continue
        said |= {_inside(k): v for k, v in part.given().items() if k in ("soak", "node")}
        if part.windows is not None:
            said["windows"] = tuple(
                Window(**{**one.given(), "days": tuple(one.days)}) for one in part.windows
            )
        approval |= _approval(part.approval)
    return Policy(approval=ApprovalRules(**approval), **said)


def _approval(part: ApprovalPart | None) -> dict[str, Any]:
    said = part.given() if part else {}
    return {_inside(k): tuple(v) if isinstance(v, list) else v for k, v in said.items()}
