"""All rules. A code keeps its meaning for ever; a rule that goes leaves its number unused."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from watcher.core.lint import of_base, of_config, of_files, of_runs
from watcher.core.lint.model import Found, Severity
from watcher.core.lint.subject import Subject

_ERROR, _WARNING, _INFO = Severity.ERROR, Severity.WARNING, Severity.INFO
_LAYERING = (
    "https://github.com/openshift/openshift-docs/blob/main/"
    "machine_configuration/mco-coreos-layering.adoc"
)
_BOOTC_FILESYSTEM = "https://github.com/bootc-dev/bootc/blob/main/docs/src/filesystem.md"
_OSTREE_COMMIT = "https://docs.rs/ostree-ext/latest/ostree_ext/commit/"
_CLIWRAP = "https://github.com/coreos/rpm-ostree/pull/4950"
_USING_LAYERING = (
    "https://github.com/openshift/machine-config-operator/blob/main/docs/UsingLayering.md"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    code: str
    name: str
    """In words and hyphens, for people and for SARIF."""
    severities: tuple[Severity, ...]
    """The usual one first; others where more or less is known."""
    title: str
    why: str
    """What goes wrong, and what to do."""
    source: str = ""
    """Where the rule comes from, if from outside."""
    check: Callable[[Subject], Iterator[Found]] | None = None
    """None for what is said about lint itself, by `check` and `ignoring`."""


def _rule(
    code: str,
    check: Callable[[Subject], Iterator[Found]],
    severities: tuple[Severity, ...],
    title: str,
    why: str,
    source: str = "",
) -> Rule:
    name = check.__name__.replace("_", "-")
    return Rule(
        code=code,
        name=name,
        severities=severities,
        title=title,
        why=why,
        source=source,
        check=check,
    )


_ALL = (
    _rule(
        "RL001",
        of_base.base_by_tag,
        (_INFO,),
        "the base is named by tag",
        "A tag moves. Relayer puts the digest of the release in its place; other builds do not.",
        _LAYERING,
    ),
    _rule(
        "RL002",
        of_base.os_image_elsewhere,
        (_ERROR, _WARNING),
        "an OS image that is not the base",
        "Only the image that the final stage stands on is replaced. Kernel modules that are built "
        "on another OS image do not fit the base once it has moved. Build them in a stage that "
        "stands on the base's stage. By tag it is an error, by digest a warning.",
    ),
    _rule(
        "RL003",
        of_base.image_without_digest,
        (_WARNING,),
        "another image without a digest",
        "The recipe's digest says when to build again, and it does not change when a tag moves.",
    ),
    _rule(
        "RL004",
        of_base.foreign_base,
        (_WARNING, _ERROR),
        "the base is scratch or no RHCOS image",
        "Nodes boot only an image that stands on their release's OS image. By name it is a "
        "warning; FROM scratch, or a base whose labels say so, is an error.",
        _LAYERING,
    ),
    _rule(
        "RL005",
        of_base.not_replaceable,
        (_ERROR,),
        "the base cannot be replaced, or the text not be read",
        "Relayer refuses what builders read differently, and a base that is chosen by more than "
        "one plain variable.",
    ),
    _rule(
        "RL006",
        of_runs.no_last_step,
        (_WARNING,),
        "no `ostree container commit` or `bootc container lint` after the last change",
        "The first cleans up what must not be in an OS image and fails on content that would be "
        "lost; the second checks more and changes nothing. Up to 4.18 the first is documented.",
        _OSTREE_COMMIT,
    ),
    _rule(
        "RL007",
        of_runs.redhat_repo_left,
        (_WARNING,),
        "an entitled build leaves redhat.repo",
        "The file names entitlement certificates of the building host. On a node they are not "
        "there, and every use of rpm-ostree or dnf on it fails.",
    ),
    _rule(
        "RL008",
        of_runs.cache_left,
        (_WARNING,),
        "a package manager's cache stays in the layer",
        "End the same RUN with `rpm-ostree cleanup -m`, `dnf clean all`, `rm -rf /var/cache/*` or "
        "`ostree container commit`: a later RUN cannot make this layer smaller.",
        _LAYERING,
    ),
    _rule(
        "RL009",
        of_files.not_kept,
        (_WARNING, _INFO),
        "content where nodes do not get it from the image",
        "On a node /var is kept from one image to the next, and /opt, /usr/local, /home, /root, "
        "/srv and /mnt are links into it; /run and /tmp begin empty. Put content under /usr, and "
        "let tmpfiles.d make links. For /run, /tmp and what is emptied it is only said.",
        _BOOTC_FILESYSTEM,
    ),
    _rule(
        "RL010",
        of_runs.extension_package,
        (_WARNING, _ERROR, _INFO),
        "a realtime kernel, or packages of an extension",
        "MachineConfigs install these by kernelType and extensions. Where both do it the pool "
        "degrades: an error where the pool's MachineConfigs are known to do it.",
        _LAYERING,
    ),
    _rule(
        "RL011",
        of_runs.kernel_without_cliwrap,
        (_WARNING, _INFO),
        "the kernel is replaced without cliwrap",
        "Up to 4.18 kernel scripts must be intercepted: run `rpm-ostree cliwrap install-to-root /` "
        "before. From 4.19 on (RHEL 9.6) rpm-ostree does it by itself.",
        _CLIWRAP,
    ),
    _rule(
        "RL012",
        of_files.machineconfig_wins,
        (_WARNING,),
        "a MachineConfig of the pool writes the same file",
        "MachineConfigs are written over the image, without a word about it. Keep the file in one "
        "of the two places.",
        _USING_LAYERING,
    ),
    _rule(
        "RL013",
        of_files.secret_copied,
        (_ERROR,),
        "a secret is copied into the image",
        "Everybody who can pull the image can read it, in every layer. Use RUN "
        "--mount=type=secret while building; give nodes their secrets by MachineConfig.",
    ),
    _rule(
        "RL014",
        of_config.secret_in_variable,
        (_ERROR,),
        "a secret in ARG, ENV, LABEL or a command",
        "Values and commands stay in the image's history. Use RUN --mount=type=secret.",
    ),
    _rule(
        "RL015",
        of_base.unused_stage,
        (_WARNING,),
        "a stage that nothing uses",
        "Only the last stage becomes the image: with more than one final stage the others are "
        "left out, and BuildKit does not even build them.",
    ),
    _rule(
        "RL016",
        of_files.large,
        (_WARNING,),
        f"COPY and ADD put more than {of_files.LARGE_BYTES >> 20} MiB into the image",
        "Counted from the files of the recipe; what RUN downloads is not known before.",
    ),
    _rule(
        "RL017",
        of_runs.unsafe_download,
        (_WARNING,),
        "a download without encryption, or run unseen",
        "Use https:// and check what came before it is run, or keep the file in the recipe.",
    ),
    _rule(
        "RL018",
        of_config.user_not_root,
        (_WARNING,),
        "USER is left at somebody else than root",
        "It means nothing on a node, and everything that is added later fails.",
    ),
    _rule(
        "RL019",
        of_config.start_command,
        (_INFO,),
        "ENTRYPOINT or CMD",
        "Nodes boot the image; nobody starts it as a container.",
    ),
    _rule(
        "RL020",
        of_config.inherited_label,
        (_ERROR,),
        "a label of the base is overwritten",
        "The MCO, rpm-ostree and Relayer read these to know what the image is.",
    ),
    _rule(
        "RL021",
        of_runs.unit_not_copied,
        (_WARNING,),
        "a unit is enabled, and its file not copied",
        "`systemctl enable` fails, or enables another unit of this name.",
    ),
    Rule(
        code="RL090",
        name="not-looked-at",
        severities=(_WARNING,),
        title="the recipe is too long to be looked at whole",
        why="What comes later was not checked.",
    ),
    Rule(
        code="RL091",
        name="unknown-ignore",
        severities=(_WARNING,),
        title="a comment ignores a rule that there is not",
        why="Write `# relayer:ignore RL003 why`; several codes are separated by commas.",
    ),
    Rule(
        code="RL092",
        name="unused-ignore",
        severities=(_WARNING,),
        title="a comment ignores what is not said",
        why="Remove it: it would hide the next one.",
    ),
    Rule(
        code="RL093",
        name="ignore-without-reason",
        severities=(_INFO,),
        title="a comment ignores a rule and does not say why",
        why="The next reader must know whether it still holds.",
    ),
)
RULES: Mapping[str, Rule] = {rule.code: rule for rule in _ALL}
"""By code, in order."""
