"""Every setting with its default, its unit and why. `config/default.yaml` equals this by test.

Frozen and already validated: `watcher.config` reads the file and makes these. New settings must
work when absent, so that a new version runs with yesterday's file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from watcher.core.facts import ClusterName, PoolName, Repository
from watcher.core.update import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """How one cluster is reached: in-cluster credentials, a kubeconfig, or url and token."""

    name: ClusterName
    in_cluster: bool = False
    kubeconfig: Path | None = None
    context: str = ""
    """Context of the kubeconfig; empty: its current one."""
    url: str = ""
    token_file: Path | None = None
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSettings:
    url: str = ""
    """redis://, rediss:// or unix://. Empty: an embedded server in the state directory."""
    password_file: Path | None = None
    ca_file: Path | None = None
    prefix: str = "relayer"
    """Two services that share a server need two prefixes."""
    allow_unsafe: bool = False
    """True: run on a server without AOF or with eviction. What is approved may then be lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    auth_file: Path | None = None
    """containers-auth.json(5), for reading releases and bases and for pushing results."""
    ca_files: Mapping[str, Path] = field(default_factory=dict)
    """host[:port] → CA bundle, beside the system's own."""
    plain_http: tuple[str, ...] = ()
    """Hosts spoken to without TLS. For tests and the demo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeSettings:
    name: str
    path: Path
    """Directory with the Containerfile and its context."""
    target: Repository
    """Where layered images are pushed."""
    containerfile: str = "Containerfile"
    build_args: Mapping[str, str] = field(default_factory=dict)
    builder: str = "auto"
    """auto takes `append` where the recipe allows it, else `buildah`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    cluster: ClusterName
    pool: PoolName
    recipe: str
    policy: Policy = field(default_factory=Policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSettings:
    """One identity that may use the HTTP API. It appears as `token:<name>` in votes and audit."""

    name: str
    token_file: Path | None = None
    token_env: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    host: str = "127.0.0.1"
    """Loopback by default: what is reachable from outside is a decision."""
    port: int = 8080
    """0 takes any free port."""
    tokens: tuple[TokenSettings, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildahSettings:
    isolation: str = "chroot"
    """chroot needs no privilege beyond user namespaces; rootless and oci are buildah's others."""
    storage_driver: str = "overlay"
    """overlay, or vfs where the kernel or the volume refuses overlay."""
    timeout_seconds: int = 3600
    """A build that takes longer is stopped. 1 h: the longest bucket MCO measures builds in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkSettings:
    workers: int = 4
    """Updates worked on at a time; each is mostly waiting."""
    builds: int = 1
    """Builds at a time: each needs the disk and the cores of one."""
    lease_seconds: float = 30.0
    """A dead worker's job is taken over after this long."""
    resync_seconds: float = 300.0
    """Every pool is looked at this often even if no event came."""
    rollout_poll_seconds: float = 5.0
    """How often a rollout is judged; MCO itself acts every 5 s."""
    drain_seconds: float = 20.0
    """Time to hand back leases after SIGTERM; below Kubernetes' 30 s of grace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    state_dir: Path = Path("/var/lib/relayer")
    """Embedded server, build storage, work directories."""
    log_level: str = "info"
    redis: RedisSettings = field(default_factory=RedisSettings)
    registry: RegistrySettings = field(default_factory=RegistrySettings)
    web: WebSettings = field(default_factory=WebSettings)
    work: WorkSettings = field(default_factory=WorkSettings)
    buildah: BuildahSettings = field(default_factory=BuildahSettings)
    clusters: tuple[ClusterSettings, ...] = ()
    recipes: tuple[RecipeSettings, ...] = ()
    pools: tuple[PoolSettings, ...] = ()

    def pool(self, cluster: str, pool: str) -> PoolSettings | None:
        """What is configured for a pool, if anything."""
        found = (p for p in self.pools if p.cluster == cluster and p.pool == pool)
        return next(found, None)

    def recipe(self, name: str) -> RecipeSettings:
        """Raise KeyError if there is none of that name."""
        found = next((recipe for recipe in self.recipes if recipe.name == name), None)
        if found is None:
            raise KeyError(name)
        return found
