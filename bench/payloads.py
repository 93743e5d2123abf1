"""A release payload as large as real ones: 13 MB compressed, 30 MB inflated, 190 tags."""

import functools
import json
import random
from dataclasses import dataclass

from simulator.registry.images import Files, MadeImage, make_image

TAGS, MANIFESTS = 190, 600
_NOISE_BYTES, _TEXT_BYTES = 18_800, 12_600
"""Of one manifest file: what does not compress well, and what does."""


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes of the last layer."""

    compressed: int
    inflated: int


def _references() -> bytes:
    noise = random.Random(1)  # the same bytes each time
    names = ["rhel-coreos", "rhel-coreos-extensions"]
    names += [f"operator-{number}" for number in range(TAGS - len(names))]
    tags = [
        {
            "name": name,
            "annotations": {
                "io.openshift.build.commit.id": noise.randbytes(20).hex(),
                "io.openshift.build.source-location": f"https://github.com/openshift/{name}",
            },
            "from": {
                "kind": "DockerImage",
                "name": "quay.io/openshift-release-dev/ocp-v4.0-art-dev@sha256:"
                + noise.randbytes(32).hex(),
            },
        }
        for name in names
    ]
    return json.dumps({"kind": "ImageStream", "spec": {"tags": tags}}, indent=2).encode()


@functools.cache
def big_release() -> MadeImage:
    """The image; making it takes a second."""
    noise = random.Random(2)
    metadata = {"kind": "cincinnati-metadata-v0", "version": "4.18.9", "metadata": {}}
    files: dict[str, bytes] = {
        "release-manifests/image-references": _references(),
        "release-manifests/release-metadata": json.dumps(metadata).encode(),
    }
    for number in range(MANIFESTS):
        text = (f"  field-{number}: value of no interest\n" * 2000).encode()[:_TEXT_BYTES]
        name = f"release-manifests/0000_{number % 90:02}_operator_{number}.yaml"
        files[name] = noise.randbytes(_NOISE_BYTES).hex().encode() + text
    below: Files = {"usr/bin/cluster-version-operator": b"operator"}
    return make_image([below, files], labels={})


@functools.cache
def sizes() -> Size:
    """How large it came out."""
    import gzip

    layer = big_release().layers[-1]
    return Size(len(layer), len(gzip.decompress(layer)))
