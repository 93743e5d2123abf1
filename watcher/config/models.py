"""The file's shape for pydantic: this folder only; inwards go the dataclasses of `settings`.

Every field is optional unless nothing works without it. What is not written stays unset, so the
defaults live in one place, the dataclasses.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from watcher.config.fields import (
    UNSET,
    Amount,
    ApiUrl,
    Author,
    CaFiles,
    Duration,
    FileName,
    FilePath,
    Hosts,
    ObjectName,
    OurName,
    Part,
    RedisUrl,
    ServiceUrl,
    Target,
    WholeDuration,
)
from watcher.config.models_alerts import AlertsPart
from watcher.config.models_chat import (
    DigestPart,
    NoticesPart,
    PersonPart,
    RoutePart,
    SlackPart,
    WebhookPart,
)
from watcher.config.models_policy import PolicyPart
from watcher.config.models_web import WebPart


class ClusterPart(Part):
    name: ObjectName
    in_cluster: bool = UNSET
    kubeconfig: FilePath = UNSET
    context: str = UNSET
    url: ApiUrl = UNSET
    token_file: FilePath = UNSET
    ca_file: FilePath = UNSET

    @model_validator(mode="after")
    def _one_way(self) -> "ClusterPart":
        ways = [way for way in ("in_cluster", "kubeconfig", "url") if getattr(self, way)]
        if len(ways) > 1:
            raise ValueError(f"{' and '.join(ways)} are two ways to one cluster; keep one")
        if self.url and not self.token_file:
            raise ValueError("url needs token_file beside it")
        if not self.url and (self.token_file or self.ca_file):
            raise ValueError("token_file and ca_file belong to url; a kubeconfig has its own")
        if self.context and (self.url or self.in_cluster):
            raise ValueError("context belongs to kubeconfig")
        return self


class RedisPart(Part):
    url: RedisUrl = UNSET
    password_file: FilePath = UNSET
    ca_file: FilePath = UNSET
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,60}$")] = UNSET
    allow_unsafe: bool = UNSET


class RegistryPart(Part):
    auth_file: FilePath = UNSET
    ca_files: CaFiles = UNSET
    plain_http: Hosts = UNSET
    certs_dirs: list[FilePath] = UNSET
    mirror_files: list[FilePath] = UNSET
    requests_per_second: Annotated[float, Field(gt=0, le=10000)] = UNSET


class ReleasePart(Part):
    verify: Literal["require", "warn", "off"] = UNSET
    keys: list[FilePath] = UNSET
    signature_stores: list[ServiceUrl] = UNSET
    graph_url: Annotated[ServiceUrl | Literal[""], Field()] = UNSET


class RecipePart(Part):
    name: OurName
    path: FilePath
    target: Target
    containerfile: FileName = UNSET
    build_args: dict[str, str] = UNSET
    builder: Literal["auto", "append", "buildah"] = UNSET
    authors: list[Author] = UNSET


class PoolPart(Part):
    cluster: ObjectName
    pool: ObjectName
    recipe: OurName
    policy: PolicyPart = UNSET


class WorkPart(Part):
    workers: Amount = UNSET
    builds: Amount = UNSET
    lease: Annotated[Duration, Field(ge=1)] = UNSET
    resync: Annotated[Duration, Field(ge=1)] = UNSET
    rollout_poll: Annotated[Duration, Field(ge=0.05)] = UNSET
    drain: Annotated[Duration, Field(ge=1)] = UNSET


class BuildahPart(Part):
    isolation: Literal["chroot", "rootless", "oci"] = UNSET
    storage_driver: Literal["overlay", "vfs"] = UNSET
    timeout: Annotated[WholeDuration, Field(ge=1)] = UNSET


class DefaultsPart(Part):
    policy: PolicyPart = UNSET


class File(Part):
    """The whole file."""

    state_dir: FilePath = UNSET
    log_level: Literal["debug", "info", "warning", "error"] = UNSET
    redis: RedisPart = UNSET
    registry: RegistryPart = UNSET
    release: ReleasePart = UNSET
    web: WebPart = UNSET
    work: WorkPart = UNSET
    buildah: BuildahPart = UNSET
    people: list[PersonPart] = UNSET
    slack: SlackPart = UNSET
    webhooks: list[WebhookPart] = UNSET
    routes: list[RoutePart] = UNSET
    digests: list[DigestPart] = UNSET
    notices: NoticesPart = UNSET
    alerts: AlertsPart = UNSET
    defaults: DefaultsPart = UNSET
    clusters: list[ClusterPart] = UNSET
    recipes: list[RecipePart] = UNSET
    pools: list[PoolPart] = UNSET
