"""What was seen. Facts carry no opinion; see :mod:`watcher.core.drift` for those."""

import re
from typing import NewType, Self

ClusterName = NewType("ClusterName", str)
PoolName = NewType("PoolName", str)
NO_CLUSTER = ClusterName("")
"""Where something is of no cluster in particular."""

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
_BY_DIGEST = re.compile(r"@[a-z0-9]+:[0-9a-fA-F]+\Z")
_LOGINS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s/\"'<>]*@")


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


class Repository(str):
    """``host[:port]/path``, where images live. The host is required: there is no default."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        host, slash, path = text.partition("/")
        if (
            not slash
            or not _HOST.fullmatch(host)
            or not _REPOSITORY.fullmatch(path)
            or not ("." in host or ":" in host or host == "localhost")
        ):
            raise Malformed(f"not a repository with its host: {text[:200]!r}")
        return super().__new__(cls, text)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``host[:port]/path``; raise Malformed."""
        return cls(text)

    @property
    def host(self) -> str:
        return self.partition("/")[0]

    @property
    def path(self) -> str:
        return self.partition("/")[2]

    def at(self, digest: Digest) -> "Pullspec":
        return Pullspec(f"{self}@{digest}")


class Pullspec(str):
    """An image by digest: ``host[:port]/path@sha256:…``. The only way an image is named here."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        name, at, digest = text.partition("@")
        if not at:
            raise Malformed(f"an image must be named by digest, not by tag: {text[:200]!r}")
        repository, _ = split_tag(name)
        return super().__new__(cls, f"{Repository(repository)}@{Digest(digest)}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``repository[:tag]@digest`` (the tag is dropped); raise Malformed, saying so when
        it is by tag only."""
        return cls(text)

    @property
    def repository(self) -> Repository:
        return Repository(self.partition("@")[0])

    @property
    def digest(self) -> Digest:
        return Digest(self.partition("@")[2])


def split_tag(name: str) -> tuple[str, str | None]:
    """``host:5000/a/b:tag`` → (``host:5000/a/b``, ``tag``); the tag is None where there is none."""
    head, colon, tail = name.rpartition(":")
    if colon and "/" not in tail and "/" in head:
        if not _TAG.fullmatch(tail):
            raise Malformed(f"not a tag: {tail[:140]!r}")
        return head, tail
    return name, None


def same_image(one: str, other: str) -> bool:
    """Whether two pullspecs name one image: their digests are equal, whatever the repository."""
    digests = [text.partition("@")[2] for text in (one, other)]
    return one == other or (digests[0] == digests[1] != "")


def without_login(image: str) -> str:
    """What somebody wrote as an image, fit to be shown: without user and password, if it has them.

    No image's name has any `@` but the one before its digest.
    """
    by_digest = _BY_DIGEST.search(image)
    name, digest = (image[: by_digest.start()], by_digest[0]) if by_digest else (image, "")
    scheme, found, rest = name.partition("://")
    head = scheme + found if found else ""
    return head + (rest if found else name).rpartition("@")[2] + digest


def without_logins(text: str) -> str:
    """A text from a cluster without the users and passwords of the URLs that it quotes."""
    return _LOGINS.sub(r"\1", text)
