"""What the simulated registry holds: content by digest, and which repository may give it out.

Content is shared by all repositories, as in a real registry; a repository gives out only what was
pushed or mounted there. That is what makes a mount something else than a lookup.
"""

import json
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4


class Content(Protocol):
    """Bytes by digest."""

    def get(self, digest: str) -> bytes | None: ...
    def put(self, digest: str, data: bytes) -> None: ...


class InMemory:
    """Content of a test or a demo."""

    def __init__(self) -> None:
        self._held: dict[str, bytes] = {}

    def get(self, digest: str) -> bytes | None:
        return self._held.get(digest)

    def put(self, digest: str, data: bytes) -> None:
        self._held[digest] = data


class InDirectory:
    """Content too large to hold, one file for each digest."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def get(self, digest: str) -> bytes | None:
        path = self._path(digest)
        return path.read_bytes() if path.exists() else None

    def put(self, digest: str, data: bytes) -> None:
        self._path(digest).write_bytes(data)

    def _path(self, digest: str) -> Path:
        return self._directory / digest.removeprefix("sha256:")


class Wrong(Exception):
    """An answer of the registry to a request it refuses."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(slots=True)
class Repo:
    """One repository's links into the content."""

    blobs: set[str] = field(default_factory=set)
    manifests: dict[str, str] = field(default_factory=dict)
    """Digest → media type."""
    tags: dict[str, str] = field(default_factory=dict)


class Store:
    """All repositories and the uploads under way."""

    def __init__(self, content: Content) -> None:
        self.repositories: dict[str, Repo] = {}
        self.uploads: dict[str, tuple[str, bytearray]] = {}
        self._content = content

    def repo(self, name: str) -> Repo:
        return self.repositories.setdefault(name, Repo())

    def blob(self, name: str, digest: str) -> bytes:
        """Raise Wrong where this repository has it not."""
        data = self._content.get(digest) if digest in self.repo(name).blobs else None
        if data is None:
            raise Wrong(404, "BLOB_UNKNOWN", f"blob unknown to registry: {digest}")
        return data

    def add_blob(self, name: str, digest: str, data: bytes) -> None:
        if digest != digest_of(data):
            raise Wrong(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self._content.put(digest, data)
        self.repo(name).blobs.add(digest)

    def mount(self, name: str, digest: str, source: str) -> bool:
        if source not in self.repositories or digest not in self.repo(source).blobs:
            return False
        self.repo(name).blobs.add(digest)
        return True

    def begin(self, name: str) -> str:
        """Open an upload; return its id."""
        upload = str(uuid4())
        self.uploads[upload] = (name, bytearray())
        return upload

    def upload(self, name: str, upload: str) -> bytearray:
        owner, data = self.uploads.get(upload, ("", bytearray()))
        if owner != name:
            raise Wrong(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        return data

    def manifest(self, name: str, reference: str) -> tuple[str, str, bytes]:
        """Digest, media type and bytes; raise Wrong."""
        repo = self.repo(name)
        digest = repo.tags.get(reference, reference)
        data = self._content.get(digest) if digest in repo.manifests else None
        if data is None:
            raise Wrong(404, "MANIFEST_UNKNOWN", f"manifest unknown: {reference}")
        return digest, repo.manifests[digest], data

    def add_manifest(self, name: str, reference: str, media_type: str, data: bytes) -> str:
        """Store it by tag or digest; raise Wrong when it refers to what is not here."""
        digest = digest_of(data)
        if reference.startswith("sha256:") and reference != digest:
            raise Wrong(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        repo = self.repo(name)
        self._check_links(repo, data)
        self._content.put(digest, data)
        repo.manifests[digest] = media_type
        if not reference.startswith("sha256:"):
            repo.tags[reference] = digest
        return digest

    def delete_manifest(self, name: str, reference: str) -> None:
        digest, _, _ = self.manifest(name, reference)
        repo = self.repo(name)
        if reference in repo.tags:
            del repo.tags[reference]
            return
        del repo.manifests[digest]
        repo.tags = {tag: held for tag, held in repo.tags.items() if held != digest}

    def _check_links(self, repo: Repo, data: bytes) -> None:
        try:
            document: dict[str, Any] = json.loads(data)
            blobs = [document["config"], *document["layers"]] if "layers" in document else []
            missing = [b["digest"] for b in blobs if b["digest"] not in repo.blobs]
            children = [m["digest"] for m in document.get("manifests", [])]
        except (ValueError, KeyError, TypeError) as error:
            raise Wrong(400, "MANIFEST_INVALID", "manifest invalid") from error
        missing += [child for child in children if child not in repo.manifests]
        if missing:
            raise Wrong(400, "MANIFEST_BLOB_UNKNOWN", f"unknown to registry: {missing[0]}")


def digest_of(data: bytes) -> str:
    return f"sha256:{sha256(data).hexdigest()}"
