"""`relayer doctor release`: each step fails once, with its sentence, and the others go on."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from simulator.apiserver import kinds as served
from simulator.cluster import objects
from simulator.registry import Access, Account, Fault
from simulator.registry.images import base_image, index_of, push_to
from simulator.signing import Signer
from tests.doctor_scene import (
    BASE,
    IMAGES,
    VERSION,
    Open,
    closed_port,
    goes_on,
    opener,
    scene,
)
from tests.registries import (
    PASSWORD,
    USER,
    PrivateCa,
    real_registry,
    simulated_registry,
)
from watcher.cli.app import app
from watcher.cli.exits import Code, NotFound
from watcher.core.facts import PoolName
from watcher.settings import Settings

REAL = pytest.mark.real("docker-registry")
GPG = pytest.mark.real("gpg", "gpgv")
RELEASES = r"/v2/openshift/release/.*"


@pytest.fixture
def plain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Open:
    return opener(tmp_path, capsys)


# --- all is well ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    ["simulated", pytest.param("real-basic", marks=REAL), pytest.param("real-tls", marks=REAL)],
)
@GPG
async def test_where_all_is_well_nothing_is_complained_of(
    kind: str, plain: Open, tmp_path: Path
) -> None:
    way = kind.partition("-")[2]
    ca = PrivateCa.made_in(tmp_path / "ca") if way == "tls" else None
    real = real_registry(tmp_path / "registry", basic=way == "basic", tls=ca)
    registry = simulated_registry() if kind == "simulated" else real
    async with plain(registry, signed=True) as made:
        report = await made.look()
        assert (report.code, report.failed, report.warned) == (Code.OK, [], [])
        host = made.registry.host
        over = "answers over TLS" if ca else "plain HTTP (registry.plain_http)"
        assert over in report.said(f"connection {host}")
        login = f"its login is {host} of the pull secret of prod" if way == "basic" else "without a"
        assert report.said(f"login {host}").count(login) == 2
        assert report.levels(f"connection {host}") == ["ok"], "once, though two images are there"
        assert report.said("release: contents") == f"{VERSION}, 1 image"
        assert "named by ConfigMap and by the release (pools: infra)" in report.said("base rhel-9")
        said = report.said("base rhel-9: linux/amd64")
        assert said == "machine-os 418.94.202510010000-0, 3 layers"
        assert "signed by" in report.said("signature")
        assert f"{VERSION} is among them" in report.said("update graph")


async def test_people_get_one_line_for_each_step_as_it_comes(plain: Open) -> None:
    async with plain() as made:
        code, out, err = await made.shell("release")
        assert (code, err) == (0, "")
        for line in out.splitlines():
            assert re.match(r"(ok|warning|failed|skipped) +\S.* — \S", line)


@pytest.mark.parametrize(
    "words",
    ["release --post", "registry --post", "slack infra", "slack --insecure", "slack --cluster x"],
)
def test_options_of_another_subject_are_wrong_arguments(words: str) -> None:
    assert CliRunner().invoke(app, ["doctor", *words.split()]).exit_code == Code.USAGE


async def test_of_a_pool_only_that_one_is_looked_at(plain: Open) -> None:
    async with plain() as made:
        assert "(pools: infra)" in (await made.look(pool="prod/infra")).said("base rhel-9")
        with pytest.raises(NotFound, match="no pool gpu is configured"):
            await made.look(pool="gpu")
        with pytest.raises(NotFound, match="no cluster dev is configured"):
            await made.look(cluster="dev")
        made.settings = replace(made.settings, pools=())
        said = (await made.look(cluster="prod")).said("base rhel-9")
        assert "(pools: infra, master, worker)" in said


async def test_a_cluster_of_no_configuration_is_named_by_its_kubeconfig(plain: Open) -> None:
    async with plain() as made:
        config = made.directory / "kubeconfig"
        config.write_text(json.dumps(made.api.kubeconfig(token="a-token")))
        made.settings = replace(made.settings, clusters=(), pools=())
        report = await made.look(kubeconfig=config)
        assert report.code is Code.OK
        assert "kubeconfig release: contents" in report.text


async def test_without_clusters_the_configuration_cannot_be_used(
    plain: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    async with plain() as made:
        made.settings = replace(Settings(), registry=made.settings.registry)
        report = await made.look()
        assert (report.code, report.failed) == (Code.USAGE, ["configuration"])
        assert str(tmp_path / "none") in report.said("configuration")


# --- the cluster ----------------------------------------------------------------------------------


async def test_a_cluster_that_does_not_answer_is_one_failure(plain: Open) -> None:
    async with plain() as made:
        await made.api.stop_listening()
        report = await made.look()
        assert (report.code, report.failed) == (Code.UNREACHABLE, ["ClusterVersion"])
        assert report.said("objects") == "the cluster does not answer, see above"
        for what in ("release", "signature", "update graph", "bases"):
            assert report.levels(what) == ["skipped"]


async def test_credentials_that_cannot_be_used_are_told(plain: Open) -> None:
    async with plain() as made:
        (made.directory / "token").unlink()
        report = await made.look()
        assert (report.code, report.failed) == (Code.REFUSED, ["credentials"])
        assert str(made.directory / "token") in report.said("credentials")


@pytest.mark.parametrize(
    ("resource", "verb", "what", "left_out"),
    [
        ("clusterversions", "list", "ClusterVersion", ["release", "signature", "update graph"]),
        ("machineconfigpools", "list", "pools", ["bases"]),
        ("secrets", "get", "pull secret", []),
    ],
)
async def test_what_may_not_be_read_stops_only_what_needs_it(
    plain: Open, resource: str, verb: str, what: str, left_out: list[str]
) -> None:
    async with plain() as made:
        made.api.denials.deny([verb], resource)
        report = await made.look()
        assert report.code is Code.REFUSED
        assert what in report.failed
        assert f"resources: [{resource}], verbs: [{verb}]" in report.said(what)
        assert [report.levels(one) for one in left_out] == [["skipped"]] * len(left_out)
        assert report.levels("nodes") == ["ok"]
        assert report.levels("trusted CA") == ["ok"]


async def test_nodes_and_mirror_sets_that_may_not_be_read_are_gone_without(plain: Open) -> None:
    async with plain() as made:
        for resource in ("nodes", "imagedigestmirrorsets"):
            made.api.denials.deny(["list"], resource)
        report = await made.look()
        assert (report.code, report.warned) == (Code.OK, ["mirror sets", "nodes"])
        assert "gone without" in report.said("mirror sets")
        assert "taken to be amd64" in report.said("nodes")


async def test_a_pool_that_the_cluster_does_not_have_is_told(plain: Open) -> None:
    async with plain() as made:
        pools = tuple(replace(one, pool=PoolName("gpu")) for one in made.settings.pools)
        made.settings = replace(made.settings, pools=pools)
        report = await made.look()
        assert report.failed == ["pools"]
        assert "no MachineConfigPool gpu (there is: infra, master, worker)" in report.said("pools")


async def test_a_trusted_ca_that_is_not_there_is_told(plain: Open) -> None:
    async with plain() as made:
        made.api.kinds = served.Kinds((*served.ALL, IMAGES))
        made.create(IMAGES, "cluster", spec={"additionalTrustedCA": {"name": "gone"}})
        report = await made.look()
        assert (report.code, report.warned) == (Code.OK, ["trusted CA"])
        assert "ConfigMap openshift-config/gone" in report.said("trusted CA")


# --- the release ----------------------------------------------------------------------------------


async def test_a_release_that_is_not_there_is_told(plain: Open) -> None:
    async with plain() as made:
        assert made.registry.simulated
        digest = made.release.image.partition("@")[2]
        made.registry.simulated.store.delete_manifest("openshift/release", digest)
        report = await made.look()
        assert (report.code, report.failed[0]) == (Code.REFUSED, "release: manifest")
        said = report.said("release: manifest")
        assert "answered 404" in said
        assert said.endswith("check the name, or mirror the image there")
        goes_on(report)


async def test_a_tampered_release_is_told(plain: Open) -> None:
    async with plain() as made:
        path = r"/v2/openshift/release/blobs/.*"
        made.faults.append(Fault("corrupt", path=path, count=99, after=40))
        report = await made.look()
        assert report.code is Code.REFUSED
        assert report.failed == ["release: contents"]
        said = report.said("release: contents")
        assert "may have been tampered with" in said
        assert "do not use it: mirror the image anew" in said
        assert report.levels("base rhel-9: linux/amd64") == ["ok"], "the ConfigMap names it too"
        goes_on(report)


async def test_a_release_of_another_version_than_its_name_says_is_told(plain: Open) -> None:
    async with plain(says="4.18.10") as made:
        report = await made.look()
        assert "release: contents" in report.failed
        said = report.said("release: contents")
        assert f"it says that it is 4.18.10, and ClusterVersion that it is {VERSION}" in said


async def test_a_release_without_the_os_image_is_told(plain: Open) -> None:
    async with plain(tags={"cli": f"quay.io/example/cli@{BASE.digest}"}) as made:
        report = await made.look()
        assert (report.code, report.failed) == (Code.REFUSED, ["base rhel-9"])
        assert "has no image tag 'rhel-coreos'" in report.said("base rhel-9")


async def test_a_cluster_that_names_another_base_than_the_release_is_told(plain: Open) -> None:
    other = base_image("418.94.209901010000-0").digest
    async with plain(tags={"rhel-coreos": f"quay.io/example/os@{other}"}) as made:
        report = await made.look()
        assert report.failed == ["base rhel-9"]
        assert "ConfigMap names" in report.said("base rhel-9")
        assert f"the release quay.io/example/os@{other}" in report.said("base rhel-9")


async def test_a_base_is_read_for_each_architecture_of_the_nodes(plain: Open) -> None:
    both = index_of(base_image("418.1"), base_image("418.1", architecture="arm64"))

    async with plain(base=both) as made:
        made.architecture("arm64")
        report = await made.look()
        assert report.levels("base rhel-9: linux/arm64") == ["ok"]
        assert report.levels("base rhel-9: linux/amd64") == []
        made.architecture("s390x")
        report = await made.look()
        assert report.failed == ["base rhel-9: linux/s390x"]
        said = report.said("base rhel-9: linux/s390x")
        assert "nothing for linux/s390x; it has: linux/amd64, linux/arm64" in said


# --- genuine --------------------------------------------------------------------------------------


@GPG
async def test_a_missing_signature_is_told(plain: Open) -> None:
    async with plain(signed=False) as made:
        report = await made.look()
        assert (report.code, report.failed) == (Code.REFUSED, ["signature"])
        said = report.said("signature")
        assert "no signature by verifier-public-key-simulated was found" in said
        assert "oc adm release mirror --apply-release-image-signature" in said
        goes_on(report)
        made.verify(verify="warn")
        report = await made.look()
        assert (report.code, report.warned) == (Code.OK, ["signature"])
        made.verify(verify="off")
        assert (await made.look()).levels("signature") == ["skipped"]


@GPG
async def test_a_signature_by_another_key_is_told(plain: Open) -> None:
    async with plain(signed=False) as made:
        with Signer.made("somebody else") as other:
            signature = other.sign(made.release.image.partition("@")[2])
        found = objects.release_signature(made.release, signature)
        made.api.writer.create(served.CONFIG_MAPS, found)
        report = await made.look()
        assert report.failed == ["signature"]
        said = report.said("signature")
        assert "no signature of it is good: it is signed by another key" in said
        assert "compare its digest with the vendor's" in said


@GPG
async def test_where_there_is_no_gpgv_that_is_told(plain: Open) -> None:
    async with plain(signed=True) as made:
        code, out, _ = await made.shell("release", PATH=str(made.directory))
        assert code == 4
        assert "gpgv is not installed here: install gnupg2 (Debian: gpgv)" in out


async def test_an_update_service_that_is_away_is_only_a_warning(plain: Open) -> None:
    with closed_port() as nobody:
        async with plain() as made:
            made.verify(graph_url=f"http://me:sesame-sesame@{nobody}/graph")
            made.secrets.append("sesame-sesame")
            report = await made.look()
            assert (report.code, report.warned) == (Code.OK, ["update graph"])
            assert "offline that is normal" in report.said("update graph")
            assert "release.graph_url" in report.said("update graph")


# --- streams --------------------------------------------------------------------------------------


async def test_the_image_of_a_pool_s_own_stream_is_found_by_its_label(plain: Open) -> None:
    ten = base_image("10.2.20260328-0", stream="rhel-10")
    tags = {
        "rhel-coreos": f"source.invalid/openshift/rhel-coreos@{BASE.digest}",
        "rhel-coreos-10": f"source.invalid/openshift/rhel-coreos@{ten.digest}",
    }
    async with plain(source="source.invalid", tags=tags, stream="rhel-10") as made:
        made.mirror("source.invalid", made.registry.host)
        report = await made.look()
        assert (report.code, report.failed) == (Code.UNREACHABLE, ["base rhel-10"])
        assert "answered 404" in report.said("base rhel-10")
        await push_to(made.registry.url, "openshift/rhel-coreos", ten)
        report = await made.look()
        assert (report.code, report.failed) == (Code.OK, [])
        assert f"{tags['rhel-coreos-10']}, named by payload" in report.said("base rhel-10")
        said = report.said("base rhel-10: linux/amd64")
        assert said == "machine-os 10.2.20260328-0, 3 layers"


async def test_a_stream_that_the_release_does_not_have_is_told(plain: Open) -> None:
    async with plain(source="source.invalid", stream="rhel-10") as made:
        made.mirror("source.invalid", made.registry.host)
        report = await made.look()
        said = report.said("base rhel-10")
        assert "has no OS image of stream 'rhel-10': it has rhel-9; look at the pool's" in said


# --- the page -------------------------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs/reference/doctor.md"
PAGES = ("release", "release, one mirror down", "registry, no right to push")


async def page(name: str, directory: Path, capture: pytest.CaptureFixture[str]) -> str:
    """What is printed in the scene of one example of the page."""
    subject, _, trouble = name.partition(", ")
    away = trouble == "one mirror down"
    source, signed = "registry.invalid" if away else "", True if subject == "release" else None
    accounts = {USER: Account(PASSWORD, push=("openshift/",))}
    registry = simulated_registry(access=Access("basic", accounts))
    with closed_port() as nobody:
        async with (
            registry as running,
            scene(directory, running, capture, source=source, signed=signed) as made,
        ):
            if away:
                made.said(plain_http=(running.host, nobody))
                made.mirror("registry.invalid", nobody, running.host, never=True)
            return await made.screen(subject)


@GPG
@pytest.mark.parametrize("name", PAGES)
async def test_the_output_on_the_page_is_what_is_printed(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"```console\n\$ relayer doctor \w+\n(.*?)```", PAGE.read_text(), re.DOTALL)
    shown = blocks[PAGES.index(name)]
    printed = await page(name, tmp_path, capsys)
    assert alike(printed.replace(str(tmp_path), "/tmp/world")) == alike(shown)


def alike(text: str) -> list[str]:
    """Without what each run has of its own: ports, digests, the key."""
    for pattern in (
        r"127\.0\.0\.1:\d+",
        r"[0-9a-f]{64}",
        r"digest [0-9a-f]{12}",
        r"[0-9A-F]{16}",
        " +",
    ):
        text = re.sub(pattern, "*", text)
    return text.splitlines()
