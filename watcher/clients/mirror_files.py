"""Mirror sets from files: what ``oc-mirror`` writes and ``oc apply`` takes.

Several documents and ``kind: List`` are read. Aliases are not: no such file needs them, and with
them a few lines become millions.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from watcher.clients.registry.errors import clean
from watcher.core.facts import Malformed
from watcher.core.mirrors import MirrorRule, Mirrors
from watcher.errors import Refused

DIGEST_MIRROR_SET = "ImageDigestMirrorSet"
TAG_MIRROR_SET = "ImageTagMirrorSet"
CONTENT_SOURCE_POLICY = "ImageContentSourcePolicy"
KINDS = frozenset({DIGEST_MIRROR_SET, TAG_MIRROR_SET, CONTENT_SOURCE_POLICY})

MOST_BYTES = 1024 * 1024
"""As much as the API server takes for one object."""
MOST_NODES = 50_000
DEEPEST = 20
_NULL = "tag:yaml.org,2002:null"


@dataclass(frozen=True, slots=True)
class _Form:
    """Where a kind has its rules."""

    version: str
    entries: str
    by_digest: bool = True


_FORMS = {
    DIGEST_MIRROR_SET: _Form("config.openshift.io/v1", "imageDigestMirrors"),
    TAG_MIRROR_SET: _Form("config.openshift.io/v1", "imageTagMirrors", by_digest=False),
    CONTENT_SOURCE_POLICY: _Form("operator.openshift.io/v1alpha1", "repositoryDigestMirrors"),
}


def read_mirror_files(paths: Iterable[Path], *, kinds: Collection[str] = KINDS) -> Mirrors:
    """Return the rules of all files, in their order.

    Raise Refused, naming file and line, for a file that cannot be read, or holds anything but
    objects of these `kinds`.
    """
    return Mirrors.joined(*(_File(path, kinds).rules() for path in paths))


class _File:
    def __init__(self, path: Path, kinds: Collection[str]) -> None:
        self._path = path
        self._kinds = kinds

    def rules(self) -> list[MirrorRule]:
        objects = list(self._objects())
        if not objects:
            raise Refused(f"{self._path}: holds no {self._wanted}")
        return [rule for found in objects for rule in self._of(found)]

    @property
    def _wanted(self) -> str:
        return " or ".join(sorted(self._kinds))

    def _objects(self) -> Iterator[yaml.MappingNode]:
        try:
            for document in yaml.compose_all(self._text(), Loader=_Loader):
                if document is not None and not _is_null(document):
                    yield from self._each(self._mapping(document, "an object"))
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 0
            raise Refused(
                f"{self._path}:{line}: cannot be read: {clean(error.problem or 'unreadable')}"
            ) from error
        except yaml.reader.ReaderError as error:
            raise Refused(f"{self._path}: cannot be read: {clean(error.reason)}") from error
        except ValueError as error:  # PyYAML's own, of characters and numbers that cannot be
            raise Refused(f"{self._path}: cannot be read: {clean(error)}") from error

    def _text(self) -> str:
        try:
            with self._path.open("rb") as file:
                data = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise Refused(f"{self._path}: {error.strerror or 'cannot be read'}") from error
        if len(data) > MOST_BYTES:
            raise Refused(f"{self._path}: larger than {MOST_BYTES // 1024} KiB")
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise Refused(f"{self._path}:{line}: not UTF-8") from error

    def _each(self, found: yaml.MappingNode) -> Iterator[yaml.MappingNode]:
        """The object itself, or those of a list."""
        fields = self._fields(found)
        if self._text_of(fields.get("kind"), found, "kind") != "List":
            yield found
            return
        for item in self._items(fields.get("items"), "items"):
            yield self._mapping(item, "an object")

    def _of(self, found: yaml.MappingNode) -> Iterator[MirrorRule]:
        fields = self._fields(found)
        kind = self._text_of(fields.get("kind"), found, "kind")
        if kind not in self._kinds:
            self._refuse(found, f"kind {clean(kind) or '(none)'} is not {self._wanted}")
        form = _FORMS[kind]
        version = self._text_of(fields.get("apiVersion"), found, "apiVersion")
        if version != form.version:
            self._refuse(found, f"apiVersion {clean(version) or '(none)'} is not {form.version}")
        spec = fields.get("spec")
        if spec is None or _is_null(spec):
            return
        entries = self._fields(self._mapping(spec, "spec")).get(form.entries)
        for entry in self._items(entries, form.entries):
            if rule := self._rule(self._mapping(entry, "an entry"), by_digest=form.by_digest):
                yield rule

    def _rule(self, entry: yaml.MappingNode, *, by_digest: bool) -> MirrorRule | None:
        fields = self._fields(entry)
        policy = self._text_of(fields.get("mirrorSourcePolicy"), entry, "mirrorSourcePolicy")
        try:
            return MirrorRule.read(
                self._text_of(fields.get("source"), entry, "source"),
                [
                    self._text_of(mirror, entry, "a mirror")
                    for mirror in self._items(fields.get("mirrors"), "mirrors")
                ],
                by_digest=by_digest,
                never_contact_source=policy == "NeverContactSource",
            )
        except Malformed as error:
            self._refuse(entry, clean(error))

    def _fields(self, node: yaml.MappingNode) -> dict[str, yaml.Node]:
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = self._text_of(key, key, "a key")
            if name in found:
                self._refuse(key, f"`{clean(name)}` is written twice")
            found[name] = value
        return found

    def _mapping(self, node: yaml.Node, what: str) -> yaml.MappingNode:
        if not isinstance(node, yaml.MappingNode):
            self._refuse(node, f"{what} must be a mapping")
        return node

    def _items(self, node: yaml.Node | None, what: str) -> list[yaml.Node]:
        if node is None or _is_null(node):
            return []
        if not isinstance(node, yaml.SequenceNode):
            self._refuse(node, f"{what} must be a list")
        return list(node.value)

    def _text_of(self, node: yaml.Node | None, place: yaml.Node, what: str) -> str:
        if node is None or _is_null(node):
            return ""
        if not isinstance(node, yaml.ScalarNode):
            self._refuse(place, f"{what} must be text")
        return str(node.value)

    def _refuse(self, node: yaml.Node, why: str) -> NoReturn:
        raise Refused(f"{self._path}:{node.start_mark.line + 1}: {why}")


class _Loader(yaml.SafeLoader):
    """Composes nodes within limits; nothing is constructed from them."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._nodes = 0
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._nodes += 1
        if self.check_event(yaml.AliasEvent):
            self._stop("aliases are not read")
        if self._nodes > MOST_NODES:
            self._stop(f"more than {MOST_NODES} values")
        if self._depth > DEEPEST:
            self._stop(f"nested more than {DEEPEST} levels deep")
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def _stop(self, why: str) -> NoReturn:
        raise yaml.MarkedYAMLError(problem=why, problem_mark=self.peek_event().start_mark)  # type: ignore[no-untyped-call]


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == _NULL
