"""Objects as YAML for people: texts of several lines as blocks, keys in the order of the source."""

from collections.abc import Sequence
from typing import Any

import yaml

from watcher.manifests.reading import Object, identity

HEAD = "# Written by `relayer manifests`.\n"
"""Of each file; `--to` replaces only files that begin with it."""


class _Dumper(yaml.SafeDumper):
    """Ours alone, so that nobody else's YAML changes."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def as_text(objects: Sequence[Object]) -> str:
    """One document for each object."""
    return "---\n".join(_dumped(one) for one in objects)


def as_files(objects: Sequence[Object]) -> dict[str, str]:
    """File name → text, numbered so that people read them in the order of `in_order`.

    kustomization.yaml lists them, for `oc apply -k` and for patches of one's own beside them; with
    it `oc apply -f` on the whole directory fails, as no server knows that kind.
    """
    files = {}
    for number, one in enumerate(objects, start=10):
        kind, namespace, name = identity(one)
        parts = [str(number), kind.lower(), *([namespace] if _is_foreign(one, objects) else [])]
        files["-".join([*parts, name]) + ".yaml"] = HEAD + _dumped(one)
    listed = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": sorted(files),
    }
    return {**files, "kustomization.yaml": HEAD + _dumped(listed)}


def _is_foreign(one: Object, objects: Sequence[Object]) -> bool:
    ours = {each["metadata"]["name"] for each in objects if each["kind"] == "Namespace"}
    return one["metadata"].get("namespace", "") not in {"", *ours}


def _dumped(document: Object) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)
