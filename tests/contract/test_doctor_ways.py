"""`relayer doctor release`: the ways to registries, from names and certificates to mirrors."""

import base64
import json
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from simulator.registry import Fault
from tests.doctor_scene import (
    Open,
    closed_port,
    goes_on,
    opener,
)
from tests.registries import (
    PASSWORD,
    USER,
    PrivateCa,
    Running,
    auth_json,
    real_registry,
    simulated_registry,
)
from watcher.cli.exits import Code, Usage

REAL = pytest.mark.real("docker-registry")
RELEASES = r"/v2/openshift/release/.*"


@pytest.fixture
def plain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Open:
    return opener(tmp_path, capsys)


# --- name, connection, certificate ----------------------------------------------------------------


async def test_a_name_that_does_not_resolve_is_told(plain: Open) -> None:
    async with plain(source="source.invalid") as made:
        report = await made.look()
        assert report.code is Code.UNREACHABLE
        assert report.failed == ["name source.invalid", "base rhel-9: manifest"]
        said = report.said("base rhel-9: manifest")
        assert said == "there is no connection to source.invalid, see above"
        said = report.said("name source.invalid")
        assert said.startswith("source.invalid does not resolve (")
        assert "check its spelling and the DNS servers of this machine" in said
        assert report.levels("connection source.invalid") == ["skipped"]
        assert report.levels("release: contents") == ["skipped"]
        assert report.said("release: contents") == "its manifest is not there, see above"
        goes_on(report)


async def test_a_port_where_nobody_listens_is_told(plain: Open) -> None:
    with closed_port() as nobody:
        async with plain(source=nobody) as made:
            made.said(plain_http=(nobody,))
            report = await made.look()
            assert report.code is Code.UNREACHABLE
            assert report.failed[0] == f"connection {nobody}"
            said = report.said(f"connection {nobody}")
            assert "no connection; check the name, the port and the network" in said
            left_out = f"there is no connection to {nobody}, see above"
            assert report.said("release: manifest") == left_out
            assert report.levels("release: manifest") == ["skipped"]
            goes_on(report)


async def test_a_registry_that_hangs_is_given_up(plain: Open) -> None:
    async with plain() as made:
        made.faults.append(Fault("hang", path=RELEASES, count=9))
        limits = replace(made.patience.registry, read_seconds=9.0, call_seconds=9.0)
        made.patience = replace(made.patience, step_seconds=0.3, registry=limits)
        report = await made.look()
        assert report.failed == ["release: manifest"]
        assert "no answer within 0.3 s" in report.said("release: manifest")
        assert report.code is Code.UNREACHABLE
        goes_on(report)


@pytest.mark.parametrize("kind", ["simulated", pytest.param("real", marks=REAL)])
async def test_a_certificate_of_an_unknown_ca_is_told_until_the_cluster_trusts_it(
    kind: str, plain: Open, tmp_path: Path
) -> None:
    ca = PrivateCa.made_in(tmp_path / "ca")
    registry = real_registry(tmp_path / "r", tls=ca) if kind == "real" else None
    async with plain(registry or simulated_registry(tls=ca)) as made:
        made.said(ca_files={})
        host = made.registry.host
        report = await made.look()
        assert report.code is Code.REFUSED
        assert report.failed[0] == f"connection {host}"
        said = report.said(f"connection {host}")
        assert f"the certificate of {host} is not trusted" in said
        assert f"name its CA in registry.ca_files, as certs.d/{host}/ca.crt" in said
        goes_on(report)
        flagged = await made.look(certificate_authority=ca.ca_file)
        assert flagged.code is Code.OK
        unchecked = await made.look(insecure=True)
        assert "not checked (--insecure)" in unchecked.said(f"connection {host}")
        made.trust(host, ca.ca_file.read_text())
        report = await made.look()
        assert (report.code, report.said("trusted CA")) == (Code.OK, f"for {host}")


# --- logins ---------------------------------------------------------------------------------------


def basic(kind: str, directory: Path) -> AbstractAsyncContextManager[Running]:
    if kind == "real":
        return real_registry(directory / "registry", basic=True)
    return simulated_registry(basic=True) if kind == "basic" else simulated_registry(bearer=True)


@pytest.mark.parametrize("kind", ["basic", "bearer", pytest.param("real", marks=REAL)])
async def test_no_login_and_a_wrong_one_are_told_apart(
    kind: str, plain: Open, tmp_path: Path
) -> None:
    async with plain(basic(kind, tmp_path)) as made:
        host, auth = made.registry.host, made.directory / "auth.json"
        made.logins({})
        report = await made.look()
        assert report.code is Code.REFUSED
        assert report.failed[0] == f"login {host}"
        said = report.said(f"login {host}").splitlines()[0]
        assert "no login was shown" in said
        assert f"neither {auth} nor the pull secret of prod has one for it" in said
        assert f"`podman login --authfile FILE {host}`" in said
        goes_on(report)

        made.logins({host: (USER, "some-old-password")})
        report = await made.look()
        said = report.said(f"login {host}").splitlines()[0]
        assert "answered 401" in said
        assert f"the login {host} of the pull secret of prod was shown: renew it there" in said

        auth.write_text(auth_json({f"{host}/openshift": (USER, PASSWORD)}))
        report = await made.look()
        assert report.code is Code.OK
        assert f"its login is {host}/openshift of {auth}" in report.said(f"login {host}")

        made.logins({})
        made.said(auth_file=made.directory / "not-there.json")
        said = (await made.look(registry_config=auth)).said(f"login {host}")
        assert f"of {auth}" in said


async def test_a_broken_entry_of_the_usual_files_is_told(
    plain: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with plain(simulated_registry(basic=True)) as made:
        host = made.registry.host
        made.said(auth_file=None)
        for name in ("REGISTRY_AUTH_FILE", "XDG_CONFIG_HOME", "DOCKER_CONFIG"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(made.directory))
        (made.directory / "containers").mkdir()
        broken = made.directory / "containers/auth.json"
        broken.write_text(json.dumps({"auths": {host: {"auth": "%"}}}))
        report = await made.look()
        said = report.said(f"login {host}").splitlines()[0]
        assert f"auth file {broken}: auth of {host} is not base64 of user:password" in said
        assert f"put user and password for {host} there anew" in said


@pytest.mark.parametrize("held", ["pull secret", "auth file"])
async def test_what_a_registry_answers_is_cleaned_and_no_secret_in_it(
    plain: Open, held: str
) -> None:
    body = b'{"errors":[{"code":"%s","message":"\\u001b[31m"}]}'
    async with plain(simulated_registry(basic=True)) as made:
        if held == "auth file":
            made.logins({})
            (made.directory / "auth.json").write_text(made.registry.auth_json())
        echo = base64.b64encode(f"{USER}:{PASSWORD}".encode())
        answer = body % (echo + b" " + PASSWORD.encode())
        made.faults.append(Fault("status", path=RELEASES, status=400, body=answer, count=9))
        report = await made.look()
        assert "answered 400 (… …" in report.said("release: manifest")
        assert "\\u001b" not in report.text


# --- mirrors --------------------------------------------------------------------------------------


async def test_mirrors_are_tried_first_and_the_first_that_has_it_ends_the_search(
    plain: Open,
) -> None:
    with closed_port() as nobody:
        async with plain(source="source.invalid") as made:
            host = made.registry.host
            made.said(plain_http=(host, nobody))
            made.mirror("source.invalid", nobody, f"{host}/empty", host)
            report = await made.look()
            assert (report.code, report.failed) == (Code.OK, [])
            assert report.said("release: places") == (
                f"{nobody}/openshift/release (mirror), then {host}/empty/openshift/release "
                f"(mirror), then {host}/openshift/release (mirror), "
                "then source.invalid/openshift/release (source)"
            )
            assert report.levels(f"connection {nobody}") == ["warning"]
            assert "the next place is asked" in report.said(f"connection {nobody}")
            assert report.levels("release: manifest") == ["skipped", "warning", "ok"]
            mirror = f"read from the mirror {host}/openshift/release: one image"
            assert mirror in report.said("release: manifest")
            assert report.levels("name source.invalid") == [], "nobody needs it"
            assert report.levels("base rhel-9: linux/amd64") == ["ok"]


async def test_what_may_go_well_at_a_mirror_later_is_worth_another_try(plain: Open) -> None:
    with closed_port() as nobody:
        async with plain() as made:
            host = made.registry.host
            made.said(plain_http=(host, nobody))
            made.mirror(f"{host}/openshift/release", f"{nobody}/openshift/release")
            assert made.registry.simulated
            digest = made.release.image.partition("@")[2]
            made.registry.simulated.store.delete_manifest("openshift/release", digest)
            report = await made.look()
            assert (report.code, report.failed) == (Code.UNREACHABLE, ["release: manifest"])
            said = report.said("release: manifest").splitlines()[-1]
            assert said.startswith(f"GET http://{host}/v2/openshift/release/manifests/"), "itself"
            assert "answered 404" in said


async def test_a_source_that_must_not_be_asked_is_not(plain: Open) -> None:
    async with plain(source="source.invalid") as made:
        host = made.registry.host
        made.mirror("source.invalid", f"{host}/empty", never=True)
        report = await made.look()
        assert report.code is Code.REFUSED
        assert report.failed[0] == "release: manifest"
        assert "the source is not asked: NeverContactSource" in report.said("release: places")
        assert report.levels("name source.invalid") == []


async def test_where_no_place_may_be_asked_that_is_told(plain: Open) -> None:
    async with plain(source="source.invalid") as made:
        made.mirror("source.invalid/openshift/release", made.registry.host, never=True)
        report = await made.look()
        assert report.failed[0] == "release: places"
        said = report.said("release: places")
        assert "a mirror set says NeverContactSource, and none names a mirror of it" in said


async def test_mirrors_of_a_file_count_too(plain: Open) -> None:
    async with plain(source="source.invalid") as made:
        sets = made.directory / "idms.yaml"
        sets.write_text(
            "apiVersion: config.openshift.io/v1\nkind: ImageDigestMirrorSet\n"
            "metadata: {name: x}\nspec: {imageDigestMirrors: [{source: source.invalid, "
            f"mirrors: ['{made.registry.host}']}}]}}\n"
        )
        assert (await made.look(idms_file=sets)).code is Code.OK
        with pytest.raises(Usage, match="exclude each other"):
            await made.look(idms_file=sets, icsp_file=sets)
