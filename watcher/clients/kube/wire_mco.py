"""From the API's JSON to facts: MachineConfigs with what they write, and on-cluster layering.

An Ignition body is up to 1.5 MiB, and only names of files are wanted of it, and only of the
MachineConfigs that pools select: it stays raw until that is known.
"""

from collections.abc import Iterator

import msgspec

from watcher.clients.kube.wire import (
    MCO_PREFIX,
    ConditionWire,
    MetaWire,
    Named,
    Wire,
    conditions_of,
    decoded,
    meta_of,
    shared,
)
from watcher.core.cluster import MachineConfig, MachineOsBuild, MachineOsConfig

MOST_FILES = 2000
"""Of one MachineConfig; 00-worker, the largest that MCO makes, writes under 100."""
LONGEST_PATH = 1024
UNITS = "/etc/systemd/system/"
"""Where MCO writes units (machine-config-operator pkg/daemon/file_writers.go)."""
CURRENT_BUILD = MCO_PREFIX + "current-machine-os-build"
_NOTHING = frozenset({b"", b"null", b'""'})


class MachineConfigSpec(Wire, frozen=True):
    os_image_url: str = msgspec.field(default="", name="osImageURL")
    extensions: list[str] | None = None
    kernel_type: str = ""


class MachineConfigWire(Wire, frozen=True):
    """Without its body: dumps leave that out before they are parsed."""

    metadata: MetaWire
    spec: MachineConfigSpec = MachineConfigSpec()


class WholeSpec(MachineConfigSpec, frozen=True):
    config: msgspec.Raw = msgspec.Raw(b"null")


class WholeMachineConfigWire(Wire, frozen=True):
    metadata: MetaWire
    spec: WholeSpec = WholeSpec()


class FileWire(Wire, frozen=True):
    path: str = ""


class DropinWire(Wire, frozen=True):
    name: str = ""
    contents: msgspec.Raw = msgspec.Raw()


class UnitWire(Wire, frozen=True):
    name: str = ""
    contents: msgspec.Raw = msgspec.Raw()
    """Raw, so that only whether there is any is looked at."""
    dropins: list[DropinWire] | None = None


class StorageWire(Wire, frozen=True):
    files: list[FileWire] | None = None


class SystemdWire(Wire, frozen=True):
    units: list[UnitWire] | None = None


class IgnitionWire(Wire, frozen=True):
    storage: StorageWire | None = None
    systemd: SystemdWire | None = None


class MachineOsConfigSpec(Wire, frozen=True):
    machine_config_pool: Named = Named()


class MachineOsConfigStatus(Wire, frozen=True):
    current_image_pull_spec: str = ""
    # As v1alpha1 spells it.
    current_image_pullspec: str = ""
    machine_os_build: Named | None = msgspec.field(default=None, name="machineOSBuild")


class MachineOsConfigWire(Wire, frozen=True):
    metadata: MetaWire
    spec: MachineOsConfigSpec = MachineOsConfigSpec()
    status: MachineOsConfigStatus = MachineOsConfigStatus()


class MachineOsBuildSpec(Wire, frozen=True):
    machine_os_config: Named = msgspec.field(default=Named(), name="machineOSConfig")
    machine_config: Named = Named()
    # As v1alpha1 calls it.
    desired_config: Named = Named()


class MachineOsBuildStatus(Wire, frozen=True):
    conditions: list[ConditionWire] | None = None
    digested_image_push_spec: str = ""
    # As v1alpha1 calls it.
    final_image_pullspec: str = ""


class MachineOsBuildWire(Wire, frozen=True):
    metadata: MetaWire
    spec: MachineOsBuildSpec = MachineOsBuildSpec()
    status: MachineOsBuildStatus = MachineOsBuildStatus()


_BODY = msgspec.json.Decoder(IgnitionWire | None)


def machine_config(wire: MachineConfigWire | WholeMachineConfigWire) -> MachineConfig:
    """The fact; without files where pools cannot select it, as those that MCO has rendered."""
    spec = wire.spec
    body = spec.config if isinstance(spec, WholeSpec) and wire.metadata.labels else None
    return MachineConfig(
        meta=meta_of(wire.metadata),
        os_image_url=spec.os_image_url,
        extensions=tuple(spec.extensions or ()),
        kernel_type=spec.kernel_type,
        files=_files(body) if body else (),
    )


def _files(raw: msgspec.Raw) -> tuple[str, ...]:
    """What a body writes. One that is not as Ignition has it costs its files, not the fact."""
    try:
        body = decoded(_BODY, raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ()
    if body is None:
        return ()
    kept: dict[str, None] = {}
    for path in _written(body):
        if path.startswith("/") and len(path) <= LONGEST_PATH:
            kept[shared(path)] = None
            if len(kept) == MOST_FILES:
                break
    return tuple(kept)


def _written(body: IgnitionWire) -> Iterator[str]:
    for file in (body.storage and body.storage.files) or ():
        yield file.path
    for unit in (body.systemd and body.systemd.units) or ():
        # One without contents only enables or disables what the OS brings.
        if bytes(unit.contents) not in _NOTHING:
            yield UNITS + unit.name
        for dropin in unit.dropins or ():
            if bytes(dropin.contents) not in _NOTHING:
                yield f"{UNITS}{unit.name}.d/{dropin.name}"


def machine_os_config(wire: MachineOsConfigWire) -> MachineOsConfig:
    meta, status = meta_of(wire.metadata), wire.status
    named = status.machine_os_build.name if status.machine_os_build else ""
    return MachineOsConfig(
        meta=meta,
        pool=wire.spec.machine_config_pool.name,
        current_image=status.current_image_pull_spec or status.current_image_pullspec,
        # The annotation is MCO's own note; the status follows it.
        current_build=meta.annotations.get(CURRENT_BUILD, "") or named,
    )


def machine_os_build(wire: MachineOsBuildWire) -> MachineOsBuild:
    spec, status = wire.spec, wire.status
    return MachineOsBuild(
        meta=meta_of(wire.metadata),
        os_config=spec.machine_os_config.name,
        machine_config=spec.machine_config.name or spec.desired_config.name,
        conditions=conditions_of(status.conditions),
        image=status.digested_image_push_spec or status.final_image_pullspec,
    )
