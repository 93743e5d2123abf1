"""What was seen. Facts carry no opinion; see :mod:`watcher.core.drift` for those."""

import re
from dataclasses import dataclass
from typing import NewType, Self

ClusterName = NewType("ClusterName", str)
PoolName = NewType("PoolName", str)

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# Host and repository as in distribution/reference, without the tag: that is split off first.
_HOST = re.compile(
    r"(localhost|[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*"
    r"|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?"
)
_REPOSITORY = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


class Malformed(ValueError):
    """A value from outside does not have the form it must have."""


class Digest(str):
    """A content address, ``sha256:<64 hex>``: never a tag, because tags move."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if not _DIGEST.fullmatch(text):
            raise Malformed(f"not a sha256 digest: {text[:100]!r}")
        return super().__new__(cls, text)

    @property
    def short(self) -> str:
        """Twelve hex characters, for people and for names."""
        return self[7:19]


@dataclass(frozen=True, slots=True)
class Repository:
    """``host[:port]/path``, where images live."""

    host: str
    path: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``host[:port]/path``; raise Malformed. The host is required: no default registry."""
        host, slash, path = text.partition("/")
        if (
            not slash
            or not _HOST.fullmatch(host)
            or not _REPOSITORY.fullmatch(path)
            or not ("." in host or ":" in host or host == "localhost")
        ):
            raise Malformed(f"not a repository with its host: {text[:200]!r}")
        return cls(host, path)

    def __str__(self) -> str:
        return f"{self.host}/{self.path}"

    def at(self, digest: Digest) -> "Pullspec":
        return Pullspec(self, digest)


@dataclass(frozen=True, slots=True)
class Pullspec:
    """An image by digest: ``host[:port]/path@sha256:…``. The only way an image is named here."""

    repository: Repository
    digest: Digest

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``repository[:tag]@digest``; raise Malformed, saying so when it is by tag only."""
        name, at, digest = text.partition("@")
        if not at:
            raise Malformed(f"an image must be named by digest, not by tag: {text[:200]!r}")
        repository, _ = split_tag(name)
        return cls(Repository.parse(repository), Digest(digest))

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}"


def split_tag(name: str) -> tuple[str, str | None]:
    """``host:5000/a/b:tag`` → (``host:5000/a/b``, ``tag``); the tag is None where there is none."""
    head, colon, tail = name.rpartition(":")
    if colon and "/" not in tail and "/" in head:
        if not _TAG.fullmatch(tail):
            raise Malformed(f"not a tag: {tail[:140]!r}")
        return head, tail
    return name, None
