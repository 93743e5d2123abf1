"""Rules about what RUN does."""

import re
from collections.abc import Iterator

from watcher.core.lint.model import Found, Severity, shown
from watcher.core.lint.places import covers
from watcher.core.lint.shell import Command
from watcher.core.lint.subject import Run, Subject

LAST_COMMIT = (4, 18)
"""The last minor whose documentation ends a RUN with `ostree container commit` only."""
_CHANGES_NOTHING = frozenset(
    {"echo", "true", ":", "set", "cat", "test", "[", "[[", "ls", "cd", "export", "printf", "grep"}
    | {"shopt", "id", "uname", "sleep", "exit", "fi", "done", "esac", "}", "return", "unset"}
    | {"umask", "trap", "pwd", "which", "rpm-ostree --version", "type"}
)
_MANAGERS = frozenset({"dnf", "dnf5", "yum", "microdnf", "rpm-ostree"})
_INSTALLS = frozenset(
    {"install", "update", "upgrade", "reinstall", "localinstall", "groupinstall", "swap"}
    | {"distro-sync", "builddep", "override", "downgrade"}
)
_REPO = "/etc/yum.repos.d/redhat.repo"
_ENTITLED = re.compile(r"etc-pki-entitlement|/pki/entitlement|subscription-manager|/rhsm\b")
_EXTENSIONS = {
    "crun-wasm": "wasm",
    "NetworkManager-libreswan": "ipsec",
    "libreswan": "ipsec",
    "usbguard": "usbguard",
    "krb5-workstation": "kerberos",
    "libkadm5": "kerberos",
    "kernel-devel": "kernel-devel",
    "kernel-headers": "kernel-devel",
    "kata-containers": "sandboxed-containers",
    "sysstat": "sysstat",
}
"""Package → extension. Source: machine-config-operator, SupportedExtensions."""
_OTHER_KERNEL = re.compile(r"kernel-(rt|64k)(-.+)?")
_KERNEL = re.compile(r"kernel(-(core|modules|modules-core|modules-extra|uki-virt))?")
_FETCH_WITHIN = re.compile(r"(<\(|\$\(|`)\s*(curl|wget)\b")
_FETCHES = frozenset({"curl", "wget"})
_INTERPRETERS = frozenset({"sh", "bash", "dash", "ash", "zsh", "python", "python3", "perl"})
_RUNS = _INTERPRETERS | {"eval", "source", "."}
_LAST_CLIWRAP = (4, 18)
"""RHEL 9.4. Later rpm-ostree wraps kernel-install itself: coreos/rpm-ostree, pull request 4950."""


def no_last_step(of: Subject) -> Iterator[Found]:
    """After the last change there must be one of the two."""
    open_at: Found | None = None
    for run in of.image_runs:
        for command in run.commands:
            if _is_last_step(command):
                open_at = None
            elif command.name not in _CHANGES_NOTHING or command.writes:
                open_at = _found(run, command, "")
    if open_at is not None:
        minor = of.context.minor
        wanted = "`bootc container lint` or `ostree container commit`"
        if minor is not None:
            wanted = "`ostree container commit`" if minor <= LAST_COMMIT else wanted
        yield Found(
            line=open_at.line,
            start=open_at.start,
            sentence=f"the last change is not followed by {wanted}: nothing checks that the "
            "image can be booted, and what only the build needed stays in it",
        )


def _is_last_step(command: Command) -> bool:
    return command.words[:3] in (("ostree", "container", "commit"), ("bootc", "container", "lint"))


def redhat_repo_left(of: Subject) -> Iterator[Found]:
    """An entitled build has it, and the nodes' entitlement is another, or none."""
    entitled = [run for run in of.runs if run.step.in_image and _is_entitled(run)]
    copied = [p for p in of.placed if p.target == _REPO or "/pki/entitlement" in p.target]
    last: Found | None = None
    for run in of.image_runs:
        for command in run.commands:
            if command.name == "rm" and any(covers(word, _REPO) for word in command.operands):
                last = None
            elif _installs(command) and (entitled or copied):
                last = _found(run, command, f"{_REPO} stays in the image of this entitled build")
    if last is not None:
        yield Found(
            line=last.line,
            start=last.start,
            sentence=f"{last.sentence}: it names certificates that nodes do not have, and their "
            "package manager fails on it; remove it when all is installed",
        )


def _is_entitled(run: Run) -> bool:
    said = [flag.value or "" for flag in run.step.instruction.flags]
    said += [word for command in run.commands for word in command.words]
    return any(_ENTITLED.search(text) for text in said)


def cache_left(of: Subject) -> Iterator[Found]:
    """In the same RUN: what a later one removes is in the layer below it all the same."""
    for run in of.image_runs:
        if any(
            covers(mount.get("target", mount.get("dst", "")), "/var/cache/x")
            for mount in run.mounts()
        ):
            continue
        last: tuple[Command, str] | None = None
        for command in run.commands:
            if _installs(command):
                last = command, command.name
            elif last and _cleans(command):
                last = None
        if last:
            command, name = last
            how = "`rpm-ostree cleanup -m`" if name == "rpm-ostree" else f"`{name} clean all`"
            yield _found(
                run,
                command,
                f"{name} leaves its cache in the layer, which every node pulls: end this RUN "
                f"with {how}",
            )


def _installs(command: Command) -> bool:
    return command.name in _MANAGERS and any(word in _INSTALLS for word in command.operands[:4])


def _cleans(command: Command) -> bool:
    match command.name:
        case "rpm-ostree":
            flags = [word for word in command.words[1:] if word.startswith("-")]
            short = any("m" in flag[1:] for flag in flags if not flag.startswith("--"))
            return "cleanup" in command.words and (short or "--repomd" in flags)
        case "rm":
            return any(covers(w, "/var/cache/x") or _is_cache(w) for w in command.operands)
        case "ostree":
            # It empties /var/cache, /var/tmp, /tmp and /run: ostree-rs-ext, commit.rs.
            return _is_last_step(command)
        case _:
            return command.name in _MANAGERS and "clean" in command.words


def _is_cache(word: str) -> bool:
    return bool(re.match(r"/var/cache/(\{|dnf|yum|rpm-ostree|libdnf)", word))


def extension_package(of: Subject) -> Iterator[Found]:
    """What the MCO installs by itself, and then finds there already, or in another version."""
    context = of.context
    for run, command, package in _packages(of):
        if _OTHER_KERNEL.fullmatch(package) or (_KERNEL.fullmatch(package) and context.kernel_type):
            by = f"MachineConfig {shown(context.kernel_type_by)} sets kernelType"
            severity = Severity.ERROR if context.kernel_type else Severity.WARNING
            why = (
                f"{by} {shown(context.kernel_type)}: the two conflict, and the pool degrades"
                if context.kernel_type
                else "if a MachineConfig of the pool sets kernelType too, the pool degrades"
            )
            yield _found(run, command, f"{shown(package)} is installed; {why}", severity=severity)
            continue
        extension = _EXTENSIONS.get(package)
        if extension is None:
            continue
        config = context.extensions.get(extension)
        why = (
            f"MachineConfig {shown(config)} sets this: the two conflict, and the pool degrades"
            if config
            else "if a MachineConfig of the pool sets it too, the pool degrades"
        )
        yield _found(
            run,
            command,
            f"{package} is of the extension {extension}; {why}",
            severity=Severity.ERROR if config else Severity.INFO,
        )


def kernel_without_cliwrap(of: Subject) -> Iterator[Found]:
    minor = of.context.minor
    if minor is not None and minor > _LAST_CLIWRAP:
        return
    for run in of.image_runs:
        for command in run.commands:
            if command.words[:3] == ("rpm-ostree", "cliwrap", "install-to-root"):
                return
            if command.words[:3] == ("rpm-ostree", "override", "replace") and any(
                _KERNEL.fullmatch(package_of(word)) for word in command.operands
            ):
                releases = "4.18" if minor is None else f"{minor[0]}.{minor[1]}"
                until = f"up to {releases}" if minor is None else f"on {releases}"
                yield _found(
                    run,
                    command,
                    "the kernel is replaced without `rpm-ostree cliwrap install-to-root /` before "
                    f"it: {until} its scripts then run the wrong programs, and the initramfs is "
                    "not made",
                    severity=Severity.INFO if minor is None else None,
                )
                return


def _packages(of: Subject) -> Iterator[tuple[Run, Command, str]]:
    """Every package that is named for installation; one name once for a command."""
    for run in of.image_runs:
        for command in run.commands:
            if "remove" in command.operands[:3]:
                continue
            if _installs(command) or (command.name == "rpm" and _is_rpm_install(command)):
                names = dict.fromkeys(package_of(word) for word in command.operands)
                yield from ((run, command, name) for name in names)


def _is_rpm_install(command: Command) -> bool:
    return any(re.fullmatch(r"-[a-zA-Z]*[iUF][a-zA-Z]*", word) for word in command.words[1:2])


def package_of(word: str) -> str:
    """`https://host/kernel-rt-core-5.14.0-295.el9.x86_64.rpm` → `kernel-rt-core`."""
    name = re.split(r"[{\[*]", word.rpartition("/")[2])[0].rstrip("-")
    return re.sub(r"-[0-9].*$|\.rpm$", "", name[:200], count=1)


def unsafe_download(of: Subject) -> Iterator[Found]:
    for step in of.named("ADD", everywhere=True):
        for word in step.words()[:-1]:
            if word.lower().startswith("http://"):
                sentence = f"ADD of {_address(word)} is not encrypted: {_CHANGED}"
                yield Found(line=step.line, start=step.line, sentence=sentence)
    for run in of.runs:
        for number, command in enumerate(run.commands):
            after = run.commands[number + 1] if number + 1 < len(run.commands) else None
            if (said := _unsafe(command, after)) is not None:
                yield _found(run, command, said)


_CHANGED = "whoever stands between can put anything into the image"


def _unsafe(command: Command, after: Command | None) -> str | None:
    fetches = command.name in _FETCHES
    if fetches and command.pipes and after and after.name in _RUNS:
        return f"what {command.name} brings is run at once by {after.name}, unseen and unchecked"
    if fetches and command.into in _RUNS:
        return f"what {command.name} brings is run at once by {command.into}, unseen and unchecked"
    if command.name in _RUNS and any(_FETCH_WITHIN.search(word) for word in command.words[1:]):
        return f"what is fetched is run at once by {command.name}, unseen and unchecked"
    if fetches and any(
        word in ("--insecure", "--no-check-certificate")
        or (command.name == "curl" and re.fullmatch(r"-[a-zA-Z]*k[a-zA-Z]*", word))
        for word in command.words[1:]
    ):
        return f"{command.name} checks no certificate: {_CHANGED}"
    if fetches or command.name in _MANAGERS | {"rpm", "git", "pip", "pip3"}:
        for word in command.words[1:]:
            if word.lower().startswith("http://"):
                return f"{_address(word)} is fetched without encryption: {_CHANGED}"
    return None


def _address(word: str) -> str:
    """An address without who logs in and what is asked for."""
    return shown(re.sub(r"//[^/@]*@", "//", word.partition("?")[0]))


def unit_not_copied(of: Subject) -> Iterator[Found]:
    """The recipe has the unit's file, and no COPY brings it where systemd looks."""
    files = {entry.path.rpartition("/")[2]: entry.path for entry in of.recipe.entries}
    brought = {p.target.rpartition("/")[2] for p in of.placed if "/systemd/" in p.target}
    moved = {
        w.rpartition("/")[2]
        for run in of.runs
        for c in run.commands
        if c.name in ("cp", "mv", "install", "ln")
        for w in c.operands
    }
    for run in of.image_runs:
        for command in run.commands:
            if command.name != "systemctl" or "enable" not in command.words[:4]:
                continue
            for word in command.operands:
                unit = word if "." in word else f"{word}.service"
                if unit in files and unit not in brought | moved:
                    yield _found(
                        run,
                        command,
                        f"{shown(unit)} is enabled, but the recipe's {shown(files[unit])} is not "
                        "copied to a directory of systemd",
                    )


def _found(run: Run, command: Command, sentence: str, *, severity: Severity | None = None) -> Found:
    return Found(line=command.line, start=run.step.line, sentence=sentence, severity=severity)
