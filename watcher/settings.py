"""Every setting with its default, its unit and why. `config/default.yaml` equals this by test.

Frozen and already validated: `watcher.config` reads the file and makes these. New settings must
work when absent, so that a new version runs with yesterday's file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from watcher.core.changes import Change, Mode, mode_for
from watcher.core.digests import DigestTimes
from watcher.core.facts import ClusterName, PoolName, Repository
from watcher.core.letters import Asking, Route
from watcher.core.update import Policy
from watcher.settings_alerts import AlertSettings
from watcher.settings_registry import RegistrySettings, ReleaseSettings
from watcher.settings_web import TokenSettings, WebSettings

__all__ = ["TokenSettings", "WebSettings"]  # told of by the same name as what is defined here


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
    authors: tuple[str, ...] = ()
    """Who writes it: for pools with the two-person rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    cluster: ClusterName
    pool: PoolName
    recipe: str
    policy: Policy = field(default_factory=Policy)
    mode: Mode = Mode.APPROVE
    """Who says yes: people, the policy by itself, or nobody, because it is only told of."""
    modes: Mapping[str, str] = field(default_factory=dict)
    """Kind of change → mode, where it differs from `mode`."""
    asking: Asking = field(default_factory=Asking)
    time_zone: str = "UTC"
    """For people: `tomorrow 09:00`, and when a window opens."""

    def mode_of(self, change: Change) -> Mode:
        """The mode of one kind of change.

        `first` may hide any of the others (nobody knows what runs): where it is not named itself
        and people are asked about some kind of change, they are asked about it too.
        """
        if change is Change.FIRST and change not in self.modes and self.mode is Mode.AUTO:
            asks = any(Mode(mode) is not Mode.AUTO for mode in self.modes.values())
            return Mode.APPROVE if asks else Mode.AUTO
        return mode_for(self.mode, self.modes, change)

    def policy_for(self, change: str) -> Policy:
        """The policy of one kind of change: whether people are asked is part of what is bound."""
        auto = bool(change) and self.mode_of(Change(change)) is Mode.AUTO
        return replace(self.policy, approval=replace(self.policy.approval, auto=auto))


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonSettings:
    """One human with several identities: two votes of hers are one."""

    name: str
    identities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackSettings:
    bot_token_file: Path | None = None
    bot_token_env: str = ""
    """xoxb-…; without one nothing is said to or heard from Slack."""
    app_token_file: Path | None = None
    app_token_env: str = ""
    """xapp-…, for Socket Mode: no inbound port is needed."""
    signing_secret_file: Path | None = None
    signing_secret_env: str = ""
    """For `mode: http`, and only there."""
    mode: str = "socket"
    """How clicks and commands reach us: socket, http (below /slack on our web server) or none."""
    api_url: str = "https://slack.com/api/"
    team: str = ""
    app: str = ""
    """Ids (T…, A…) that every event must carry. Required with a token."""
    channel: str = ""
    """Where things go that no route says otherwise about, and where trouble elsewhere is told."""

    @property
    def is_on(self) -> bool:
        return bool(self.bot_token_file or self.bot_token_env)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    name: str
    url: str
    secret_file: Path | None = None
    secret_env: str = ""
    """Signs every request (HMAC-SHA256)."""
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestSettings:
    name: str
    to: tuple[str, ...]
    times: DigestTimes
    clusters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeSettings:
    hold_seconds: int = 1800
    """A pool that is behind and held for this long is told of. 30 min: longer than a reboot."""


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
    release: ReleaseSettings = field(default_factory=ReleaseSettings)
    web: WebSettings = field(default_factory=WebSettings)
    work: WorkSettings = field(default_factory=WorkSettings)
    buildah: BuildahSettings = field(default_factory=BuildahSettings)
    clusters: tuple[ClusterSettings, ...] = ()
    recipes: tuple[RecipeSettings, ...] = ()
    pools: tuple[PoolSettings, ...] = ()
    people: tuple[PersonSettings, ...] = ()
    slack: SlackSettings = field(default_factory=SlackSettings)
    webhooks: tuple[WebhookSettings, ...] = ()
    routes: tuple[Route, ...] = ()
    """All that fit are followed; none fits: `slack.channel`."""
    digests: tuple[DigestSettings, ...] = ()
    notices: NoticeSettings = field(default_factory=NoticeSettings)
    alerts: AlertSettings = field(default_factory=AlertSettings)

    @property
    def usual_place(self) -> str:
        """Where things go that no route says otherwise about; empty: nowhere."""
        return f"slack:{self.slack.channel}" if self.slack.is_on and self.slack.channel else ""

    def person_of(self, identity: str) -> str:
        """Whose identity this is; empty if nobody's."""
        return next((p.name for p in self.people if identity in p.identities), "")

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
