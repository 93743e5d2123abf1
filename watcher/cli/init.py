"""`relayer init`: writes a configuration that works and a recipe. Overwrites nothing."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from watcher.cli.exits import Code, Usage
from watcher.cli.output import Format, data, say, tell
from watcher.core.facts import Malformed, Repository
from watcher.errors import Refused

CONFIG, RECIPES = "relayer.yaml", "recipes"
MOST_KUBECONFIG = 4 << 20
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster, as the kubeconfig calls it and as we do."""

    name: str
    context: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the flags say; what they leave out is asked for, or usual."""

    kubeconfig: Path | None
    contexts: tuple[str, ...]
    pools: tuple[str, ...]
    recipe: str
    target: str
    approvers: tuple[str, ...]
    registry_config: Path | None
    yes: bool


async def init(directory: Path, wanted: Wanted, form: Format) -> Code:
    """Ask what is not said, write the files, and say what comes next."""
    _check_free(directory, wanted.recipe)
    path = wanted.kubeconfig or _usual_kubeconfig()
    clusters = _clusters(path, wanted)
    pools = wanted.pools or (_asked("Pools to look after, by comma", "worker", wanted),)
    pools = tuple(p.strip() for one in pools for p in one.split(",") if p.strip())
    target = wanted.target or _asked(
        "Repository that layered images are pushed to", "registry.example.com/rhcos/layered", wanted
    )
    _check(pools, target)
    files = {
        CONFIG: _config(path, clusters, pools, target, wanted),
        f"{RECIPES}/{wanted.recipe}/Containerfile": CONTAINERFILE,
        f"{RECIPES}/{wanted.recipe}/motd": "This node's OS is layered by Relayer.\n",
    }
    _check_whole(files[CONFIG], directory)
    _write(directory, files)
    written = [str(directory / name) for name in files]
    steps = _next(directory, clusters[0], pools[0], wanted)
    if form.is_data:
        data({"written": written, "next": [command for command, _ in steps]}, form)
        return Code.OK
    for name in written:
        say(f"wrote {name}")
    say()
    say("next:")
    width = max(len(command) for command, _ in steps)
    for command, why in steps:
        say(f"  {command.ljust(width)}  # {why}")
    return Code.OK


def _check_free(directory: Path, recipe: str) -> None:
    if not _NAME.fullmatch(recipe):
        raise Usage(f"--recipe {recipe}: small letters, digits and - only")
    for name in (CONFIG, f"{RECIPES}/{recipe}"):
        if os.path.lexists(directory / name):
            raise Refused(
                f"{directory / name} is there already, and nothing is overwritten: name another "
                "directory, or move it away"
            )


def _check(pools: Sequence[str], target: str) -> None:
    for pool in pools:
        if not _NAME.fullmatch(pool):
            raise Usage(f"--pool {pool}: that is no name of a MachineConfigPool")
        if pool == "master":
            tell("pool master: the control plane is layered too; begin with another pool")
    try:
        Repository(target)
    except Malformed as error:
        raise Usage(f"--target {target}: {error}; write registry.example.com/path/name") from error


def _check_whole(text: str, directory: Path) -> None:
    """What is written works: nothing is, if it would not. Raise Usage."""
    from watcher import config

    try:
        config.load_text(text, directory=directory.absolute())
    except config.ConfigError as error:
        said = "; ".join(problem.message for problem in error.problems)
        raise Usage(f"these answers make no configuration: {said}") from error


# --- the kubeconfig ------------------------------------------------------------------------------


def _usual_kubeconfig() -> Path:
    named = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    path = Path(named) if named else Path.home() / ".kube/config"
    if not path.is_file():
        raise Usage(
            f"{path} is not there: name a kubeconfig with --from-kubeconfig; `oc login` makes one"
        )
    return path


def _clusters(path: Path, wanted: Wanted) -> list[Cluster]:
    servers, current = read_contexts(path)
    contexts = list(servers)
    chosen = list(wanted.contexts)
    if not chosen and not wanted.yes and sys.stdin.isatty() and len(contexts) > 1:
        tell(f"contexts of {path}: {', '.join(contexts)}")
        said = _asked("Contexts to look after, by comma", current or contexts[0], wanted)
        chosen = [one.strip() for one in said.split(",") if one.strip()]
    chosen = chosen or ([current] if current else contexts[:1])
    if missing := [one for one in chosen if one not in contexts]:
        raise Usage(f"{path} has no context {missing[0]}; there is: {', '.join(contexts[:20])}")
    made: list[Cluster] = []
    for context in dict.fromkeys(chosen):
        name = short_name(context, servers[context])
        taken = {one.name for one in made}
        tries = (name, *(f"{name}-{number}" for number in range(2, len(chosen) + 2)))
        made.append(Cluster(next(one for one in tries if one not in taken), context))
    return made


def read_contexts(path: Path) -> tuple[dict[str, str], str]:
    """Return context → server, and the current one. Raise Refused for what is no kubeconfig."""
    import yaml

    try:
        with path.open("rb") as file:
            found: Any = yaml.safe_load(file.read(MOST_KUBECONFIG))
        servers = {one["name"]: one["cluster"]["server"] for one in found["clusters"]}
        contexts = {
            one["name"]: str(servers.get(one["context"]["cluster"], ""))
            for one in found["contexts"]
        }
        current = str(found.get("current-context") or "")
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, UnicodeDecodeError):
        # Not repeated: a kubeconfig holds credentials.
        raise Refused(f"{path} is no kubeconfig: contexts and clusters are expected") from None
    if not contexts:
        raise Refused(f"{path} has no contexts; `oc login` makes one")
    return contexts, current if current in contexts else ""


def short_name(context: str, server: str) -> str:
    """`https://api.prod.example.com:6443` → `prod`; else the context's own name, made a name."""
    host = re.sub(r"^[a-z]+://|[:/].*$", "", server)
    parts = host.split(".")
    named = parts[1] if parts[0] == "api" and len(parts) > 1 else context
    name = re.sub(r"[^a-z0-9]+", "-", named.lower()).strip("-")[:60].strip("-")
    return name or "cluster"


# --- what is asked, and written ------------------------------------------------------------------


def _asked(question: str, usual: str, wanted: Wanted) -> str:
    if wanted.yes or not sys.stdin.isatty():
        return usual
    return str(typer.prompt(question, default=usual, err=True))


def _config(
    kubeconfig: Path,
    clusters: Sequence[Cluster],
    pools: Sequence[str],
    target: str,
    wanted: Wanted,
) -> str:
    return "\n".join(_lines(kubeconfig, clusters, pools, target, wanted)) + "\n"


def _lines(
    kubeconfig: Path,
    clusters: Sequence[Cluster],
    pools: Sequence[str],
    target: str,
    wanted: Wanted,
) -> Iterator[str]:
    yield "# Relayer's configuration; every key is in docs/reference/configuration.md."
    yield "# `relayer check-config -c relayer.yaml` says what holds. Paths start at this file."
    yield "state_dir: state   # the embedded store; redis.url takes its place for several replicas"
    yield ""
    yield "clusters:"
    for one in clusters:
        yield f"  - name: {one.name}"
        yield f"    kubeconfig: {_quoted(str(kubeconfig.absolute()))}"
        yield f"    context: {_quoted(one.context)}"
    yield ""
    yield "registry:          # reads releases and bases, pushes layered images"
    auth = wanted.registry_config
    yield (
        f"  auth_file: {_quoted(str(auth.absolute()))}"
        if auth
        else "  {}               # auth_file: /path/to/auth.json, as `podman login` writes it"
    )
    yield ""
    yield "recipes:"
    yield f"  - name: {wanted.recipe}"
    yield f"    path: {RECIPES}/{wanted.recipe}   # a directory with a Containerfile"
    yield f"    target: {target}"
    yield ""
    yield "pools:"
    for cluster in clusters:
        for pool in pools:
            yield f"  - {{cluster: {cluster.name}, pool: {pool}, recipe: {wanted.recipe}}}"
    yield ""
    yield "defaults:"
    yield "  policy:          # of each pool, unless it has its own"
    yield "    mode: approve  # people say yes; notify: it is only told of; auto: nobody is asked"
    if wanted.approvers:
        names = ", ".join(_quoted(one) for one in wanted.approvers)
        yield f"    approval: {{approvers: [{names}]}}"
    else:
        yield "    # approval: {quorum: 1, approvers: [token:ann]}  # else who has a shell"
    yield '    # windows: [{days: [sat, sun], start: "02:00", hours: 4}]'


def _quoted(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=False)  # a JSON string is a YAML one


CONTAINERFILE = """\
# What your nodes get on top of the release's own OS image. Relayer puts the image of the cluster's
# release in place of the first FROM at each build; the name here is for builds by hand.
FROM quay.io/openshift-release-dev/ocp-v4.0-art-dev:rhel-coreos

# Files are the quickest: nothing runs, so they are layered in seconds.
COPY motd /etc/motd

# Packages, from the repositories of the image or of /etc/yum.repos.d:
# RUN dnf -y install htop && dnf clean all

# An override of a package of the release, for a hotfix:
# COPY kernel-*.rpm /tmp/
# RUN rpm-ostree override replace /tmp/kernel-*.rpm && rm /tmp/kernel-*.rpm

# Checks that the image can be booted, and leaves nothing behind that only the build needed.
RUN bootc container lint
"""


def _write(directory: Path, files: dict[str, str]) -> None:
    """Write all of them, each only where nothing is. Raise Refused."""
    try:
        for name, text in files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except FileExistsError as error:
        raise Refused(f"{error.filename} is there already; nothing is overwritten") from error


def _next(directory: Path, cluster: Cluster, pool: str, wanted: Wanted) -> list[tuple[str, str]]:
    config = directory / CONFIG
    return [
        (f"relayer check-config -c {config}", "what holds, and what is missing here"),
        (f"relayer plan {cluster.name}/{pool} -c {config}", "what would be done; changes nothing"),
        (f"relayer run -c {config}", "the service, with its page on http://127.0.0.1:8080"),
    ]
