"""What an image says of itself: manifest and configuration, as read from a registry."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from watcher.core.facts import Digest, Pullspec

# Labels and annotations: https://specs.opencontainers.org/image-spec/annotations
BASE_DIGEST = "org.opencontainers.image.base.digest"
BASE_NAME = "org.opencontainers.image.base.name"
REVISION = "org.opencontainers.image.revision"
CREATED = "org.opencontainers.image.created"
VERSION = "org.opencontainers.image.version"
BUILD_KEY = "io.relayer.build"
RELEASE = "io.relayer.release"
"""Version of the release whose base it stands on: what says that another one is a downgrade."""
RECIPE = "io.relayer.recipe"
"""Digest of the recipe the image was made from."""
ARCHITECTURE = "release.openshift.io/architecture"
"""In a release's metadata. Source: openshift/cincinnati docs/design/openshift.md."""
ON_CLUSTER_BASE = "baseOSContainerImage"
"""Label of on-cluster layering: the image it was built on. Source: machine-config-operator
pkg/controller/build/buildrequest."""
ON_CLUSTER_RELEASE = "releaseversion"
"""Label of the same: the version of the cluster's release then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """One platform's image."""

    image: Pullspec
    """By the digest that was asked for: of the index where the image is one."""
    manifest_digest: Digest
    """Of the platform's own manifest."""
    os: str
    architecture: str
    """As in OCI: amd64, arm64, ppc64le, s390x."""
    diff_ids: tuple[Digest, ...]
    """Digests of the uncompressed layers, the base's first."""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    platforms: tuple[str, ...] = ()
    """`linux/amd64` …: all that the image's digest has, where it names an index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What we read of a release image."""

    image: Pullspec
    version: str
    tags: Mapping[str, str]
    """Tag name → pullspec, verbatim from release-manifests/image-references."""
    annotations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Tag name → its annotations, of those that have any."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Of release-manifests/release-metadata: url, release.openshift.io/architecture."""

    @property
    def architecture(self) -> str:
        """``multi`` where its tags are indexes of many architectures; else empty."""
        return "multi" if self.metadata.get(ARCHITECTURE) == "multi" else ""

    @property
    def url(self) -> str:
        """The release's advisory, or empty."""
        return self.metadata.get("url", "")
