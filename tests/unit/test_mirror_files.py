"""Mirror sets read from files, and files that are none."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.clients import mirror_files
from watcher.clients.mirror_files import CONTENT_SOURCE_POLICY, DIGEST_MIRROR_SET, read_mirror_files
from watcher.core.mirrors import MirrorRule
from watcher.ports import Refused

IDMS = """\
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata:
  name: release
spec:
  imageDigestMirrors:
  - mirrors:
    - mirror.example.com:8443/ocp/release
    - other.example.com/ocp
    source: quay.io/openshift-release-dev/ocp-release
    mirrorSourcePolicy: NeverContactSource
  - source: quay.io/nothing
"""
ITMS = """\
apiVersion: config.openshift.io/v1
kind: ImageTagMirrorSet
metadata: {name: tags}
spec:
  imageTagMirrors:
  - {source: "*.example.com", mirrors: [mirror.example.com]}
"""
ICSP = """\
apiVersion: operator.openshift.io/v1alpha1
kind: ImageContentSourcePolicy
metadata: {name: old}
spec:
  repositoryDigestMirrors:
  - {source: quay.io/a, mirrors: [mirror.example.com/a]}
status: {}
"""
RELEASE = MirrorRule(
    source="quay.io/openshift-release-dev/ocp-release",
    mirrors=("mirror.example.com:8443/ocp/release", "other.example.com/ocp"),
    never_contact_source=True,
)
TAGS = MirrorRule(source="*.example.com", mirrors=("mirror.example.com",), by_digest=False)
OLD = MirrorRule(source="quay.io/a", mirrors=("mirror.example.com/a",))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mirrors.yaml"


def rules(file: Path, text: str) -> tuple[MirrorRule, ...]:
    file.write_text(text)
    return read_mirror_files([file]).rules


@pytest.mark.parametrize(("text", "rule"), [(IDMS, RELEASE), (ITMS, TAGS), (ICSP, OLD)])
def test_each_kind_is_read(file: Path, text: str, rule: MirrorRule) -> None:
    assert rules(file, text) == (rule,)


def test_several_documents_and_files_keep_their_order(file: Path, tmp_path: Path) -> None:
    file.write_text(f"---\n{ITMS}---\n---\n{IDMS}...\n")
    other = tmp_path / "other.yaml"
    other.write_text(ICSP + "---\n" + ITMS)
    assert read_mirror_files([other, file]).rules == (OLD, TAGS, RELEASE)
    assert read_mirror_files([]).rules == ()


def test_a_list_of_objects_is_read(file: Path) -> None:
    item = "\n".join(f"  {line}" for line in ICSP.splitlines())
    text = "apiVersion: v1\nkind: List\nitems:\n- " + item.lstrip() + "\n"
    assert rules(file, text) == (OLD,)
    assert rules(file, text + "---\n" + ITMS) == (OLD, TAGS)


def test_json_is_yaml(file: Path) -> None:
    text = '{"apiVersion":"operator.openshift.io/v1alpha1","kind":"ImageContentSourcePolicy",'
    text += '"spec":{"repositoryDigestMirrors":[{"source":"quay.io/a",'
    text += '"mirrors":["mirror.example.com/a"]}]}}'
    assert rules(file, text) == (OLD,)


@pytest.mark.parametrize("spec", ["", "spec:", "spec: {}", "spec: {imageDigestMirrors: null}"])
def test_an_empty_set_has_no_rules(file: Path, spec: str) -> None:
    head = "apiVersion: config.openshift.io/v1\nkind: ImageDigestMirrorSet\n"
    assert rules(file, head + spec + "\n") == ()


def test_only_the_kinds_asked_for_are_taken(file: Path) -> None:
    file.write_text(IDMS)
    assert read_mirror_files([file], kinds={DIGEST_MIRROR_SET}).rules == (RELEASE,)
    with pytest.raises(Refused, match=rf"{file}:1: kind ImageDigestMirrorSet is not {OLD_KIND}"):
        read_mirror_files([file], kinds={CONTENT_SOURCE_POLICY})


OLD_KIND = "ImageContentSourcePolicy"
HEAD = "apiVersion: config.openshift.io/v1\nkind: ImageDigestMirrorSet\nspec:\n"
DEEP = "apiVersion: v1\nkind: List\nitems: " + "[" * 30 + "]" * 30 + "\n"
MANY = HEAD + "  imageDigestMirrors:\n" + "  - {a: 1, b: 2, c: 3, d: 4}\n" * 10_000
BOMB = HEAD + (
    "  a: &a [x, x, x, x, x, x, x, x, x, x]\n  b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no ImageContentSourcePolicy or ImageDigestMirrorSet or ImageTagMirrorSet"),
        ("---\n", "holds no"),
        ("just text\n", "1: an object must be a mapping"),
        ("apiVersion: v1\nkind: ConfigMap\n", "1: kind ConfigMap is not"),
        (IDMS + "---\napiVersion: v1\nkind: Secret\n", "14: kind Secret is not"),
        ("kind: ImageDigestMirrorSet\n", r"1: apiVersion \(none\) is not config.openshift.io/v1"),
        ("a: 1\n", r"1: kind \(none\) is not"),
        ("kind: [a]\n", "1: kind must be text"),
        (HEAD + "  - a\n", "4: spec must be a mapping"),
        (HEAD + "  imageDigestMirrors: {a: b}\n", "4: imageDigestMirrors must be a list"),
        (HEAD + "  imageDigestMirrors:\n  - a\n", "5: an entry must be a mapping"),
        (
            HEAD + "  imageDigestMirrors:\n  - source: q.io\n    mirrors: m.io\n",
            "6: mirrors must be a list",
        ),
        (
            HEAD + "  imageDigestMirrors:\n  - source: q.io\n    mirrors: [https://m.io/x]\n",
            "5: not a mirror of a mirror set: 'https://m.io/x'",
        ),
        (
            HEAD + "  imageDigestMirrors:\n  - source: 'q.io/a:b'\n    mirrors: [m.io]\n",
            "5: not a source of a mirror set",
        ),
        ("a: [\n", "2: cannot be read"),
        ("a: b: c\n", "1: cannot be read"),
        ("kind: a\nkind: b\n", "2: `kind` is written twice"),
        ("kind: \x07\n", "cannot be read"),
        ('kind: "\\U00110000"\n', "cannot be read: chr"),
        (f"%YAML 1.{'9' * 5000}\n--- a\n", "cannot be read: Exceeds the limit"),
        (BOMB, "5: cannot be read: aliases are not read"),
        (DEEP, "3: cannot be read: nested more than 20 levels deep"),
        (MANY, r"\d+: cannot be read: more than 50000 values"),
        ("#" * (mirror_files.MOST_BYTES + 1), "larger than 1024 KiB"),
    ],
    ids=range(24),
)
def test_a_broken_file_is_refused_with_its_name_and_line(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(Refused, match=rf"^{file}:? ?{said}"):
        read_mirror_files([file])


def test_a_file_that_cannot_be_read_is_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=f"{file}: No such file"):
        read_mirror_files([file])
    with pytest.raises(Refused, match="Is a directory"):
        read_mirror_files([tmp_path])
    file.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(Refused, match=f"{file}:2: not UTF-8"):
        read_mirror_files([file])


_YAML = st.recursive(
    st.sampled_from(["a", "kind", "List", "null", "'", "{", "&a", "*a", "!!python/object:x.y z"]),
    lambda inner: st.lists(inner, max_size=4).map(lambda parts: "[" + ", ".join(parts) + "]"),
    max_leaves=8,
)


@settings(max_examples=100)
@given(
    st.text(max_size=60)
    | st.tuples(st.sampled_from(["kind: ", "spec: ", "- ", "items: "]), _YAML).map("".join)
)
def test_whatever_a_file_holds_it_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    file = tmp_path_factory.mktemp("any") / "any.yaml"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(Refused, match=r"any\.yaml"):
        read_mirror_files([file])
