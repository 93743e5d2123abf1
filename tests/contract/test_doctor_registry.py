"""`relayer doctor registry`: recipes, pushing and pulling; each step fails once, and says so."""

import json
import re
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simulator.apiserver import By
from simulator.apiserver import kinds as served
from simulator.registry import Access, Account, Fault
from tests.contract.test_registry import KINDS
from tests.doctor_scene import WITH_RUN, Open, Report, Scene, closed_port, opener
from tests.registries import (
    PASSWORD,
    USER,
    PrivateCa,
    Running,
    auth_json,
    real_registry,
    simulated_registry,
)
from watcher.cli.exits import Code
from watcher.clients.registry import RegistryClient, Unauthorised
from watcher.core.facts import ClusterName, Repository
from watcher.errors import Transient
from watcher.settings import Settings

REAL = pytest.mark.real("docker-registry")
HEREDOC = "FROM quay.io/example/rhel-coreos:latest\nRUN <<END\ntrue\nEND\n"


@pytest.fixture
def plain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Open:
    return opener(tmp_path, capsys)


async def look(made: Scene, **flags: Any) -> Report:
    return await made.look("registry", **flags)


def uploads(registry: Running, directory: Path) -> list[str]:
    """What is left of uploads, wherever the registry keeps them."""
    if registry.simulated:
        return list(registry.simulated.store.uploads)
    # docker-registry 2.8 leaves a directory of hash states behind; what makes an upload is gone.
    return [
        str(p) for name in ("data", "startedat") for p in directory.glob(f"**/_uploads/*/{name}")
    ]


# --- trying to push -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_a_tried_upload_is_allowed_and_leaves_nothing(kind: str, tmp_path: Path) -> None:
    name, _, way = kind.partition("-")
    ca = PrivateCa.made_in(tmp_path / "ca") if way == "tls" else None
    basic, directory = way == "basic", tmp_path / "registry"
    opened = (
        real_registry(directory, basic=basic, tls=ca)
        if name == "real"
        else simulated_registry(basic=basic, bearer=way == "bearer", tls=ca)
    )
    async with opened as registry:
        target = registry.repository("layered/infra")
        async with RegistryClient.opened(registry.settings, registry.credentials) as client:
            await client.try_upload(target)
            assert not await client.exists((target, "latest"))
        assert uploads(registry, directory) == []
        if registry.simulated:
            seen = [r.method for r in registry.simulated.requests if "uploads" in r.path]
            assert seen[-2:] == ["POST", "DELETE"]
        if registry.needs_login:
            async with RegistryClient.opened(registry.settings) as nobody:
                with pytest.raises(Unauthorised):
                    await nobody.try_upload(target)


async def test_an_upload_whose_answer_is_lost_is_not_tried_again() -> None:
    async with simulated_registry() as registry:
        assert registry.simulated
        fault = Fault("status", method="POST", path=".*/uploads/", count=9)
        registry.simulated.faults.append(fault)
        async with RegistryClient.opened(registry.settings) as client:
            with pytest.raises(Transient, match="answered 503"):
                await client.try_upload(registry.repository("a/b"))
        assert registry.simulated.count("POST", ".*/uploads/") == 1


# --- all is well ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["simulated", pytest.param("basic", marks=REAL), pytest.param("tls", marks=REAL)]
)
async def test_where_all_is_well_nothing_is_complained_of_and_nothing_left(
    kind: str, plain: Open, tmp_path: Path
) -> None:
    ca = PrivateCa.made_in(tmp_path / "ca") if kind == "tls" else None
    real = real_registry(tmp_path / "registry", basic=kind == "basic", tls=ca)
    async with plain(simulated_registry() if kind == "simulated" else real) as made:
        host = made.registry.host
        report = await look(made)
        assert (report.code, report.failed, report.warned) == (Code.OK, [], [])
        said = report.said("push infra-os")
        assert said == f"{host}/layered/infra takes uploads: one was begun and cancelled"
        said = report.said("pull infra-os")
        assert said == f"{host}/layered/infra lets nodes in with the pull secret of prod"
        assert report.said("builder infra-os") == "append, which needs no program"
        assert report.levels("base rhel-9: linux/amd64") == ["ok"]
        assert report.levels("release: contents") == [], "the ConfigMap names the base"
        assert uploads(made.registry, tmp_path / "registry") == []
        async with RegistryClient.opened(
            made.registry.settings, made.registry.credentials
        ) as client:
            target = Repository(f"{host}/layered/infra")
            assert not await client.exists((target, "latest"))
        assert not (made.directory / "state").exists()


async def test_people_get_one_line_for_each_step(plain: Open) -> None:
    async with plain() as made:
        code, out, err = await made.shell("registry", "infra")
        assert (code, err) == (0, "")
        assert all(re.match(r"(ok|skipped) +\S.* — \S", line) for line in out.splitlines())


async def test_without_recipes_the_configuration_cannot_be_used(plain: Open) -> None:
    async with plain() as made:
        made.settings = replace(Settings(), registry=made.settings.registry)
        report = await look(made)
        assert (report.code, report.failed) == (Code.USAGE, ["configuration"])
        assert "there are no recipes in it" in report.said("configuration")


async def test_a_recipe_of_no_pool_is_looked_at_too(plain: Open) -> None:
    async with plain() as made:
        made.settings = replace(made.settings, pools=())
        report = await look(made)
        assert report.code is Code.OK
        assert report.levels("push infra-os") == ["ok"]
        assert report.said("pull infra-os") == "no pool has this recipe, so no node pulls it"


async def test_of_a_pool_only_its_recipe_is_looked_at(plain: Open) -> None:
    async with plain() as made:
        other = replace(made.settings.recipes[0], name="other")
        made.settings = replace(made.settings, recipes=(*made.settings.recipes, other))
        assert (await look(made, pool="infra")).levels("recipe other") == []
        assert (await look(made, cluster="prod")).levels("recipe other") == []
        report = await look(made)
        assert report.levels("recipe infra-os") == report.levels("recipe other") == ["ok"]


async def test_a_recipe_of_two_clusters_is_read_once_and_pushed_from_each(plain: Open) -> None:
    async with plain() as made:
        (prod,), (pool,) = made.settings.clusters, made.settings.pools
        dev = ClusterName("dev")
        made.settings = replace(
            made.settings,
            clusters=(prod, replace(prod, name=dev)),
            pools=(pool, replace(pool, cluster=dev)),
        )
        report = await look(made)
        assert report.levels("recipe infra-os") == ["ok"]
        assert report.levels("push infra-os") == report.levels("dev push infra-os") == ["ok"]
        only = await look(made, cluster="dev")
        assert (only.levels("push infra-os"), only.levels("dev push infra-os")) == ([], ["ok"])


async def test_every_recipe_is_looked_at_from_a_cluster_of_no_configuration(plain: Open) -> None:
    async with plain() as made:
        config = made.directory / "kubeconfig"
        config.write_text(json.dumps(made.api.kubeconfig(token="a-token")))
        made.settings = replace(made.settings, clusters=(), pools=())
        report = await look(made, kubeconfig=config)
        assert report.code is Code.OK
        assert report.levels("kubeconfig pull infra-os") == ["ok"]
        assert report.levels("push infra-os") == []


# --- pushing --------------------------------------------------------------------------------------


def may_not_push(kind: str) -> AbstractAsyncContextManager[Running]:
    accounts = {
        USER: Account(PASSWORD, push=("openshift/",)),
        "pusher": Account("the-pusher's-own", pull=("layered/",), push=("layered/",)),
    }
    return simulated_registry(access=Access(kind, accounts))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["basic", "bearer"])
async def test_a_login_without_the_right_to_push_is_told_until_another_is_named(
    kind: str, plain: Open
) -> None:
    async with plain(may_not_push(kind)) as made:
        host = made.registry.host
        report = await look(made)
        assert (report.code, report.failed) == (Code.REFUSED, ["push infra-os"])
        said = report.said("push infra-os")
        assert "answered 401" in said
        assert (
            f"the login {host} of the pull secret of prod may read there but not push: give it "
            f"the right to push to {host}/layered/infra" in said
        )
        assert report.levels("pull infra-os") == ["ok"]
        assert report.levels("base rhel-9: linux/amd64") == ["ok"]
        auth = made.directory / "auth.json"
        auth.write_text(auth_json({f"{host}/layered": ("pusher", "the-pusher's-own")}))
        made.secrets.append("the-pusher's-own")
        report = await look(made)
        assert (report.code, report.levels("push infra-os")) == (Code.OK, ["ok"])


@pytest.mark.parametrize("kind", ["basic", "bearer", pytest.param("real", marks=REAL)])
async def test_a_wrong_password_is_no_missing_right(kind: str, plain: Open, tmp_path: Path) -> None:
    registry = (
        real_registry(tmp_path / "registry", basic=True)
        if kind == "real"
        else simulated_registry(basic=kind == "basic", bearer=kind == "bearer")
    )
    async with plain(registry) as made:
        host, auth = made.registry.host, made.directory / "auth.json"
        auth.write_text(auth_json({f"{host}/layered": (USER, "some-old-password")}))
        made.secrets.append("some-old-password")
        report = await look(made)
        assert (report.code, report.failed) == (Code.REFUSED, [f"login {host}"])
        said = report.said(f"login {host}").splitlines()[0]
        assert f"the login {host}/layered of {auth} was shown: renew it there" in said
        assert report.said("push infra-os") == "the login fails"
        assert report.levels("pull infra-os") == ["ok"], "nodes have a login of their own"


async def test_a_target_that_cannot_be_reached_is_told(plain: Open) -> None:
    with closed_port() as nobody:
        async with plain() as made:
            made.said(plain_http=(made.registry.host, nobody))
            target = Repository(f"{nobody}/layered/infra")
            made.settings = replace(
                made.settings, recipes=(replace(made.settings.recipes[0], target=target),)
            )
            report = await look(made)
            assert (report.code, report.failed) == (Code.UNREACHABLE, [f"connection {nobody}"])
            for what in ("push infra-os", "pull infra-os"):
                assert report.levels(what) == ["skipped"]
                assert report.said(what) == f"there is no connection to {nobody}"
            assert report.levels("base rhel-9: linux/amd64") == ["ok"]


# --- pulling --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["basic", pytest.param("real", marks=REAL)])
async def test_nodes_without_a_login_are_told(kind: str, plain: Open, tmp_path: Path) -> None:
    real = real_registry(tmp_path / "registry", basic=True)
    async with plain(real if kind == "real" else simulated_registry(basic=True)) as made:
        host = made.registry.host
        (made.directory / "auth.json").write_text(made.registry.auth_json())
        made.logins({})
        report = await look(made)
        assert (report.code, report.failed) == (Code.REFUSED, ["pull infra-os"])
        said = report.said("pull infra-os")
        assert "wants a login: no credentials for" in said
        assert "nodes pull with the pull secret of prod alone" in said
        assert f"add a login for {host}/layered/infra to it" in said
        assert report.levels("push infra-os") == ["ok"], "we have a login of our own"


async def test_a_pull_secret_that_may_not_be_read_is_told(plain: Open) -> None:
    async with plain() as made:
        made.api.denials.deny(["get"], "secrets")
        report = await look(made)
        assert report.failed == ["pull secret"]
        assert report.said("pull infra-os") == "the pull secret cannot be read, see above"
        assert report.levels("push infra-os") == ["ok"]


async def test_a_cluster_that_does_not_answer_keeps_nobody_from_trying_to_push(plain: Open) -> None:
    async with plain() as made:
        await made.api.stop_listening()
        report = await look(made)
        assert (report.code, report.failed) == (Code.UNREACHABLE, ["ClusterVersion"])
        assert report.levels("push infra-os") == ["ok"]
        assert report.levels("bases") == ["skipped"]


# --- building -------------------------------------------------------------------------------------


@pytest.mark.real("buildah")
async def test_buildah_is_named_where_the_recipe_needs_it(plain: Open) -> None:
    async with plain() as made:
        made.recipe(WITH_RUN)
        said = (await look(made)).said("builder infra-os")
        assert re.fullmatch(r"buildah \d+\.\d+", said)


async def test_where_there_is_no_buildah_that_is_told(plain: Open) -> None:
    async with plain() as made:
        made.buildah = "buildah-that-is-not-here"
        assert (await look(made)).code is Code.OK, "append can do it"
        made.recipe(WITH_RUN)
        report = await look(made)
        assert (report.code, report.failed) == (Code.REFUSED, ["builder infra-os"])
        said = report.said("builder infra-os")
        assert "append: line 2" in said
        assert "buildah: buildah-that-is-not-here" in said
        assert "install buildah (`dnf install buildah`, `apt-get install buildah`)" in said
        made.recipe(WITH_RUN, builder="append")
        said = (await look(made)).said("builder infra-os")
        assert "set builder of recipe infra-os to auto" in said


async def test_a_recipe_that_cannot_be_read_is_told(plain: Open) -> None:
    async with plain() as made:
        (made.directory / "recipe/Containerfile").unlink()
        report = await look(made)
        assert (report.code, report.failed) == (Code.REFUSED, ["recipe infra-os"])
        assert "Containerfile" in report.said("recipe infra-os")
        assert report.levels("builder infra-os") == ["skipped"]
        assert report.levels("push infra-os") == ["ok"]


async def test_where_the_cluster_names_no_base_the_release_does(plain: Open) -> None:
    async with plain() as made:
        made.api.writer.patch(
            served.CONFIG_MAPS,
            ("openshift-machine-config-operator", "machine-config-osimageurl"),
            lambda document: document | {"data": document["data"] | {"releaseVersion": "4.18.8"}},
            By("admin"),
        )
        assert "named by payload" in (await look(made)).said("base rhel-9")
        assert made.registry.simulated
        path = r"/v2/openshift/release/blobs/.*"
        made.registry.simulated.faults.append(Fault("corrupt", path=path, count=99, after=40))
        report = await look(made)
        assert report.failed == ["base rhel-9"]
        assert "may have been tampered with" in report.said("base rhel-9")
        assert report.levels("push infra-os") == ["ok"]
