"""`relayer manifests`: what can be chosen, what is refused, what comes of it."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from watcher.cli import main
from watcher.clients.recipes import load_recipe
from watcher.core.facts import Repository
from watcher.manifests import BadValues, Object, Values, as_files, as_text, from_file, render

IMAGE = "registry.example.com/relayer/relayer@sha256:" + "a" * 64
TAGGED = "registry.example.com:5000/relayer/relayer:1.0"
CONFIG = """
web:
  host: 0.0.0.0
clusters:
  - name: here
    in_cluster: true
recipes:
  - name: infra-os
    path: /etc/relayer/recipes/infra-os
    target: registry.example.com/rhcos/infra-os
pools:
  - cluster: here
    pool: infra
    recipe: infra-os
"""


def the(kind: str, objects: list[Object], name: str = "") -> Object:
    (found,) = (
        one
        for one in objects
        if one["kind"] == kind and (not name or one["metadata"]["name"] == name)
    )
    return found


def pod(objects: list[Object]) -> dict[str, Any]:
    found: dict[str, Any] = the("Deployment", objects)["spec"]["template"]["spec"]
    return found


def configured(tmp_path: Path, text: str = CONFIG, **chosen: Any) -> list[Object]:
    recipe = tmp_path / "recipe"
    if not recipe.exists():
        (recipe / "etc/ours").mkdir(parents=True)
        (recipe / "Containerfile").write_text("FROM x\nCOPY etc /etc\n")
        (recipe / "etc/ours/a\u00a0b.conf").write_text("one\ttwo\n")
        (recipe / "etc/ours/raw").write_bytes(b"\xff\x00")
        (recipe / "name").write_text("relayer")
        (recipe / "etc/tool").write_text("#!/bin/sh\n")
        (recipe / "etc/tool").chmod(0o755)
    file = tmp_path / "relayer.yaml"
    file.write_text(text)
    recipes = chosen.pop("recipes", {"infra-os": recipe})
    return render(Values(image=IMAGE, config=file, recipes=recipes, **chosen))


def unpacked(objects: list[Object], name: str, into: Path) -> Path:
    """What a kubelet makes of a ConfigMap and the items of its volume."""
    volume = next(v for v in pod(objects)["volumes"] if v.get("configMap", {}).get("name") == name)
    said = the("ConfigMap", objects, name)
    held = {key: text.encode() for key, text in said.get("data", {}).items()}
    held |= {key: base64.b64decode(text) for key, text in said.get("binaryData", {}).items()}
    items = volume["configMap"]["items"]
    assert {item["key"] for item in items} == set(held)
    for item in items:
        path = into / "..time" / item["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(held[item["key"]])
        path.chmod(item["mode"])
    (into / "..data").symlink_to("..time")
    return into


def test_a_recipe_is_mounted_as_what_it_is_here(tmp_path: Path) -> None:
    objects = yaml.safe_load_all(as_text(configured(tmp_path, name="os-updates")))
    there = unpacked(list(objects), "os-updates-recipe-infra-os", tmp_path / "mounted")
    here, mounted = (
        load_recipe(path, name="infra-os", target=Repository("r.example.com/a/b"))
        for path in (tmp_path / "recipe", there)
    )
    assert mounted == here, "the same digest: nothing is built anew because it was mounted"


def test_keys_of_a_recipe_are_keys_that_a_configmap_may_have(tmp_path: Path) -> None:
    said = the("ConfigMap", configured(tmp_path), "relayer-recipe-infra-os")
    for key in (*said["data"], *said["binaryData"]):
        assert key.isascii()
        assert all(c.isalnum() or c in "-._" for c in key)


def test_ones_own_configuration_takes_the_place_of_the_example(tmp_path: Path) -> None:
    objects = configured(tmp_path, name="os-updates")
    config = the("ConfigMap", objects, "os-updates-config")
    assert config["data"]["relayer.yaml"] == CONFIG
    assert "recipe-example" not in json.dumps(objects)
    mounts = {
        one["name"]: one["mountPath"] for one in pod(objects)["containers"][0]["volumeMounts"]
    }
    assert mounts["recipe-infra-os"] == "/etc/relayer/recipes/infra-os"


def test_the_pod_starts_anew_when_configuration_or_recipe_change(tmp_path: Path) -> None:
    def digest(objects: list[Object]) -> str:
        meta = the("Deployment", objects)["spec"]["template"]["metadata"]
        return str(meta["annotations"]["relayer.io/config-digest"])

    first = digest(configured(tmp_path))
    assert digest(configured(tmp_path)) == first
    other = digest(configured(tmp_path, CONFIG + "log_level: debug\n"))
    (tmp_path / "recipe/etc/tool").write_text("#!/bin/bash\n")
    assert len({first, other, digest(configured(tmp_path))}) == 3


@pytest.mark.parametrize(
    ("text", "chosen", "told"),
    [
        ("web: {host: 0.0.0.0}\n", {}, "no pools"),
        (CONFIG.replace("0.0.0.0", "127.0.0.1"), {}, "probes come from outside"),
        (CONFIG.replace("web:", "web:\n  port: 9090"), {}, "the objects say 8080"),
        (CONFIG + "state_dir: /srv\n", {}, "the volume is at /var/lib/relayer"),
        (CONFIG, {"overlay": "highly-available"}, "set redis.url"),
        (CONFIG + "redis: {url: 'redis://r:6379/0'}\n", {}, "take highly-available"),
        (CONFIG.replace("path: /etc", "path: /srv"), {}, "mounted below /etc/relayer/recipes"),
        (CONFIG, {"recipes": {}}, "--recipe infra-os=DIRECTORY"),
    ],
)
def test_a_configuration_that_would_not_work_in_the_pod_is_refused(
    text: str, chosen: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(BadValues, match=told):
        configured(tmp_path, text, **chosen)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda d: (d / "empty").mkdir(), "'empty' is empty"),
        (lambda d: (d / "link").symlink_to("Containerfile"), "'link' is a link"),
        (lambda d: (d / "large").write_bytes(b"x" * 900_001), "more than 900000 bytes"),
        (lambda d: (d / "Containerfile").unlink(), "no Containerfile or Dockerfile"),
    ],
)
def test_a_recipe_that_no_configmap_holds_is_refused(make: Any, told: str, tmp_path: Path) -> None:
    configured(tmp_path)
    make(tmp_path / "recipe")
    with pytest.raises(BadValues, match=told):
        configured(tmp_path)


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({"image": ""}, "image is not set: name it by digest"),
        ({"image": TAGGED}, "has no digest, and a tag may be another image tomorrow"),
        ({"image": "relayer"}, "no pullspec with a registry"),
        ({"image": IMAGE[:-1]}, "no pullspec with a registry"),
        ({"image": f"{IMAGE} -x"}, "no pullspec with a registry"),
        ({"overlay": "both"}, "overlay both is unknown; known are single"),
        ({"components": ("helm",)}, "components helm is unknown"),
        ({"components": ("route", "route")}, "named twice"),
        ({"name": "Os"}, "name Os: lower-case"),
        ({"namespace": "a" * 41}, "at most 40"),
        ({"namespace": "a\nb"}, "namespace a b: lower-case"),
        ({"storage_class": "a b"}, "no name of a StorageClass"),
        ({"storage_size": "10"}, "write it like 10Gi"),
        ({"host": "x", "components": ("route",)}, "write a name like"),
        ({"host": "x.example.com"}, "only component route has a host"),
        ({"redis_url": "redis://r"}, "take highly-available"),
        ({"components": ("redis",), "redis_image": IMAGE}, "take highly-available"),
        ({"overlay": "highly-available", "components": ("redis",)}, "redis_image is not set"),
        ({"overlay": "highly-available", "redis_url": "redis://:pw@r"}, "no password"),
        (
            {
                "overlay": "highly-available",
                "redis_url": "redis://r",
                "components": ("redis",),
                "redis_image": IMAGE,
            },
            "choose one Redis",
        ),
        ({"recipes": {"a": Path()}}, "recipes without config"),
        ({"recipes": {"a/b": Path()}, "config": Path("x")}, "recipe a/b: its ConfigMap"),
        ({"overlay": "watched"}, "nothing but rights"),
        ({"overlay": "disconnected", "components": ("disconnected",)}, "has component"),
        ({"env": {"A-B": "x"}}, "env A-B: not a variable"),
        ({"env": {"RELAYER_CONFIG": "x"}}, "env RELAYER_CONFIG: not"),
        ({"egress_ports": (0,)}, "egress_ports: numbers from 1"),
    ],
)
def test_what_makes_no_installation_is_refused(chosen: dict[str, Any], told: str) -> None:
    with pytest.raises(BadValues, match=told):
        Values(**{"image": IMAGE, **chosen})


def test_values_reach_their_places() -> None:
    objects = render(
        Values(
            image=IMAGE,
            overlay="highly-available",
            components=("redis", "route"),
            redis_image=IMAGE.replace("relayer", "redis"),
            name="os-updates",
            namespace="platform",
            storage_class="fast",
            storage_size="20Gi",
            host="os.apps.example.com",
            egress_ports=(5000, 443),
        )
    )
    assert pod(objects)["containers"][0]["image"] == IMAGE
    redis = the("StatefulSet", objects)
    assert redis["metadata"]["name"] == "os-updates-redis"
    assert redis["spec"]["template"]["spec"]["containers"][0]["image"].startswith(
        "registry.example.com/redis/redis@"
    )
    claim = redis["spec"]["volumeClaimTemplates"][0]["spec"]
    assert claim["storageClassName"] == "fast"
    assert claim["resources"]["requests"]["storage"] == "20Gi"
    assert the("Route", objects)["spec"]["host"] == "os.apps.example.com"
    ports = the("NetworkPolicy", objects, "os-updates")["spec"]["egress"][-1]["ports"]
    assert [one["port"] for one in ports] == [443, 6443, 6379, 6380, 5000]
    config = the("ConfigMap", objects, "os-updates-config")["data"]["relayer.yaml"]
    assert "redis://os-updates-redis:6379/0" in config
    claim = the("PersistentVolumeClaim", render(Values(image=IMAGE, storage_class="fast")))["spec"]
    assert claim["storageClassName"] == "fast"
    assert "storageClassName" not in as_text(render(Values(image=IMAGE)))


@pytest.mark.parametrize("url", ["redis://r.example.com:6379/1", "rediss://r.example.com"])
def test_a_redis_without_tls_needs_no_authority(url: str) -> None:
    made = render(Values(image=IMAGE, overlay="highly-available", redis_url=url))
    said = yaml.safe_load(the("ConfigMap", made, "relayer-config")["data"]["relayer.yaml"])
    assert said["redis"]["url"] == url
    assert ("ca_file" in said["redis"]) == url.startswith("rediss")


def test_variables_are_added_and_those_of_an_overlay_replaced() -> None:
    env = {"HTTPS_PROXY": "http://proxy:3128", "SSL_CERT_FILE": "/mine"}
    objects = render(Values(image=IMAGE, overlay="disconnected", env=env))
    found = {one["name"]: one["value"] for one in pod(objects)["containers"][0]["env"]}
    assert found == {**env, "RELAYER_CONFIG": "/etc/relayer/config/relayer.yaml"}


def test_one_rendering_changes_nothing_of_the_next() -> None:
    first = as_text(render(Values(image=IMAGE)))
    render(Values(image=IMAGE, name="other", egress_ports=(5000,)))
    assert as_text(render(Values(image=IMAGE))) == first


def test_names_of_files_are_in_the_order_of_applying() -> None:
    files = as_files(render(Values(image=IMAGE, namespace="platform")))
    names = [name for name in files if name != "kustomization.yaml"]
    assert names == sorted(names)
    assert "namespace" in names[0]
    assert yaml.safe_load(files["kustomization.yaml"])["resources"] == names


# --- the values' file ------------------------------------------------------------------------


def test_a_file_of_values_says_the_same_as_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {"image": IMAGE, "overlay": "single", "components": ["route"], "egress_ports": [5000]}
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump({**said, "host": "a.example.com"}))
    assert main(["manifests", "--values", str(file)]) == 0
    by_file = capsys.readouterr().out
    options = ["--image", IMAGE, "--with", "route", "--egress-port", "5000"]
    assert main(["manifests", *options, "--host", "a.example.com"]) == 0
    assert capsys.readouterr().out == by_file
    assert main(["manifests", "--values", str(file), "--host", "b.example.com"]) == 0
    assert "b.example.com" in capsys.readouterr().out


def test_paths_in_a_file_of_values_start_at_its_directory(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("config: relayer.yaml\nrecipes: {infra-os: recipe}\nenv: {A: b}\n")
    said = from_file(file)
    assert said["config"] == tmp_path / "relayer.yaml"
    assert said["recipes"] == {"infra-os": tmp_path / "recipe"}
    assert said["env"] == {"A": "b"}, "and no path"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("imaeg: x\n", "imaeg is unknown; known are image, overlay"),
        ("image: [x]\n", "image must be a text"),
        ("components: route\n", "components must be a list"),
        ("egress_ports: [x]\n", "must be a list of int"),
        ("egress_ports: [true]\n", "must be a list of int"),
        ("allow_tag: 'yes'\n", "must be true or false"),
        ("- a\n", "a mapping of names and values"),
        ("a: [\n", "no YAML"),
        ("x" * (1 << 20) + "x", "smaller than 1 MiB"),
    ],
)
def test_a_file_of_values_that_cannot_be_used_is_refused(
    text: str, told: str, tmp_path: Path
) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(text)
    with pytest.raises(BadValues, match=told):
        from_file(file)


def test_a_file_of_values_that_is_not_there_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["manifests", "--values", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml: No such file or directory" in capsys.readouterr().err
