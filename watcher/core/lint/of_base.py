"""Rules about the images that a recipe names: the base, and those it only takes from."""

import re
from collections.abc import Iterator

from watcher.core import rebase
from watcher.core.containerfile import NoBase
from watcher.core.facts import Malformed, Pullspec
from watcher.core.lint.model import Found, Severity, shown
from watcher.core.lint.subject import Part, Subject

_OS_IMAGE = re.compile(r"(rhel|stream|fedora|centos)-coreos|rhcos|machine-os|\bscos\b|\bfcos\b")
_RELEASE_IMAGE = re.compile(r"ocp-v[0-9]|ocp-release|openshift-release|\bokd\b")
_ELSE = re.compile(
    r"(?:ubi[0-9]*(-minimal|-micro|-init)?|rhel[0-9]*|(rhel|fedora|centos)-bootc|fedora|centos"
    r"|stream[0-9]*|alpine|debian|ubuntu|busybox|rockylinux|almalinux|opensuse|golang|go-toolset"
    r"|python|node|nginx|httpd|scratch)"
)
_AT_LINE = re.compile(r"lines? ([0-9]+)[^:]*: ")
_PLACEHOLDER = Pullspec(f"quay.io/openshift-release-dev/ocp-v4.0-art-dev@sha256:{'0' * 64}")
_VARIABLE = re.compile(r"\$(?:\{[^{}]*\}|\w+)")


def base_by_tag(of: Subject) -> Iterator[Found]:
    part = _root(of)
    if part is not None and _is_by_tag(part.image) and part.image != "scratch":
        yield _at(
            part,
            f"the base {shown(part.image)} is named by tag: Relayer puts the release's OS image in "
            "its place, but whoever builds this by hand gets what the tag is on that day",
        )


def os_image_elsewhere(of: Subject) -> Iterator[Found]:
    for line, image, what in _others(of):
        if not _OS_IMAGE.search(image):
            continue
        is_by_tag = _is_by_tag(image)
        yield Found(
            line=line,
            start=line,
            severity=Severity.ERROR if is_by_tag else Severity.WARNING,
            sentence=f"{what} takes from {shown(image)}, an OS image that Relayer does not "
            "replace: it stays behind while the base moves"
            + (", and its tag may move at any time" if is_by_tag else ""),
        )


def image_without_digest(of: Subject) -> Iterator[Found]:
    for line, image, what in _others(of):
        if _is_by_tag(image) and not _OS_IMAGE.search(image):
            yield Found(
                line=line,
                start=line,
                sentence=f"{what} takes from {shown(image)} without a digest: the same recipe "
                "gives another image tomorrow, and Relayer does not see that it changed",
            )


def foreign_base(of: Subject) -> Iterator[Found]:
    if isinstance(of.refusal, NoBase) and of.parts:
        line, sentence = _placed(str(of.refusal))
        yield Found(line=line, start=line, severity=Severity.ERROR, sentence=sentence)
        return
    part = _root(of)
    if part is None:
        return
    labels = of.context.base_labels
    if labels:
        if not {"containers.bootc", "ostree.bootable"} & labels.keys():
            said = "has neither label containers.bootc nor ostree.bootable: it is no OS image"
            yield _at(part, f"the base {shown(part.image)} {said}", severity=Severity.ERROR)
        return
    name = re.split(r"[@:]", part.image.rpartition("/")[2])[0]
    is_known = _OS_IMAGE.search(part.image) or _RELEASE_IMAGE.search(part.image)
    if not is_known and _ELSE.fullmatch(name):
        yield _at(
            part,
            f"the base {shown(part.image)} is no RHCOS image by its name: the recipe will stand "
            "on the release's OS image, where other things are installed",
        )


def not_replaceable(of: Subject) -> Iterator[Found]:
    error = of.refusal
    if isinstance(error, NoBase) and of.parts:
        return
    if error is None and of.stages is not None:
        root = of.stages.chain[0]
        try:
            rebase.rebase(of.scanned.text, _base_for(root.image), build_args=of.recipe.build_args)
        except Malformed as refused:
            error = refused
    if error is not None:
        line, sentence = _placed(str(error))
        yield Found(line=line, start=line, sentence=f"the base cannot be replaced: {sentence}")


def unused_stage(of: Subject) -> Iterator[Found]:
    uses = {part.index: set(_uses(of, part)) for part in of.parts}
    if not uses or any(None in used for used in uses.values()):
        return  # a stage that is named by a variable could be any
    reached, ahead = set[int](), [of.parts[-1].index]
    while ahead:
        index = ahead.pop()
        if index not in reached:
            reached.add(index)
            ahead.extend(used for used in uses[index] if used is not None)
    for part in of.parts:
        if part.index not in reached:
            name = f"stage {shown(part.name)}" if part.name else "the stage that begins here"
            yield _at(
                part,
                f"nothing uses {name}: only the last stage of a Containerfile becomes the image",
            )


def reference(text: str, parts: tuple[Part, ...], *, before: int) -> int | None:
    """The stage that `text` names, as its index; None if it names an image."""
    for part in parts[:before]:
        if part.name and part.name == text.lower():
            return part.index
    if text.isascii() and text.isdecimal() and int(text[:6]) < before:
        return int(text[:6])
    return None


def _base_for(image: str) -> Pullspec:
    """A base that the FROM can name, whatever of it is fixed."""
    if "$" not in image:
        return _PLACEHOLDER
    for value in (_PLACEHOLDER, _PLACEHOLDER.digest, "0" * 64, "example.com/os", "os"):
        written = _VARIABLE.sub(lambda _, v=value: v, image.strip("\"'"), count=1)  # type: ignore[misc]
        try:
            return Pullspec(written)
        except Malformed:
            continue
    return _PLACEHOLDER


def _root(of: Subject) -> Part | None:
    """The part whose FROM names the base; None where its image is not known."""
    if not of.parts:
        return None
    part = of.parts[of.stages.chain[0].index if of.stages else -1]
    return None if not part.image or "$" in part.image else part


def _is_by_tag(image: str) -> bool:
    return "@" not in image


def _others(of: Subject) -> Iterator[tuple[int, str, str]]:
    """Line, image, and the instruction, of every image that is named beside the base."""
    base = of.stages.chain[0].index if of.stages else len(of.parts) - 1
    named = [(p.start.line, p.image, "FROM", p.index) for p in of.parts if p.index != base]
    for step in of.named("COPY", "ADD", everywhere=True):
        source = step.instruction.flag("from")
        if source:
            named.append((step.line, source, f"{step.name} --from", step.stage))
    for run in of.runs:
        sources = [mount["from"] for mount in run.mounts() if mount.get("from")]
        named += [(run.step.line, s, "RUN --mount", run.step.stage) for s in sources]
    for line, image, what, index in named:
        is_image = image and "$" not in image and image != "scratch"
        if is_image and reference(image, of.parts, before=index) is None:
            yield line, image, what


def _uses(of: Subject, part: Part) -> Iterator[int | None]:
    """Stages that a stage takes from; None for one that is not known."""
    said = [part.image]
    said += [s for step in part.steps if (s := step.flag("from"))]
    for run in of.runs:
        if run.step.stage == part.index:
            said += [mount["from"] for mount in run.mounts() if mount.get("from")]
    for text in said:
        if "$" in text:
            yield None
        elif (found := reference(text, of.parts, before=part.index)) is not None:
            yield found


def _at(part: Part, sentence: str, *, severity: Severity | None = None) -> Found:
    line = part.start.line
    return Found(line=line, start=line, sentence=sentence, severity=severity)


def _placed(text: str) -> tuple[int, str]:
    """The line that an error names, and the rest of what it says."""
    found = _AT_LINE.match(text)
    if not found:
        return 1, shown(text, limit=300)
    return int(found.group(1)), shown(text[found.end() :], limit=300)
