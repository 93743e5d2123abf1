"""`relayer image-for` beside `oc adm release info --image-for`: the same answers; no cluster asked.

It succeeds and fails for the same questions; `oc` has 1 for each failure, we say which it was.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from simulator.registry import Fault
from simulator.registry.images import base_image, release_image
from tests.registries import PASSWORD, USER, PrivateCa, auth_json, real_registry, simulated_registry
from tests.release_world import (
    ART,
    CLI,
    GONE,
    OS,
    Graphs,
    Vendor,
    graphs,
    mirror_set,
    nobody_at_home,
    relayer,
    write_json,
)
from watcher.cli.image_for import Question, image_for
from watcher.cli.output import Format
from watcher.clients.registry import RegistrySettings
from watcher.core.facts import Repository
from watcher.errors import Transient

RELAYER = Path(sys.executable).with_name("relayer")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return nobody_at_home(tmp_path, monkeypatch)


@pytest.fixture
async def vendor(tmp_path: Path) -> AsyncIterator[Vendor]:
    async with simulated_registry() as running:
        yield Vendor(running, tmp_path)


@pytest.fixture
async def update_service(vendor: Vendor) -> AsyncIterator[Graphs]:
    async with graphs() as made:
        vendor.said["release"] = {"graph_url": made.url}
        yield made


# --- the pullspec ---------------------------------------------------------------------------------


async def test_it_is_the_one_line_on_stdout_word_for_word(vendor: Vendor) -> None:
    named = f"{ART}:4.16.3-cli@{CLI.digest}"
    release = await vendor.release(tags={"cli": named})
    ran = await vendor.image_for("cli", release)
    assert (ran.out, ran.err) == (f"{named}\n", "")


@pytest.mark.parametrize(
    ("flag", "kind"),
    [("--idms-file", "ImageDigestMirrorSet"), ("--icsp-file", "ImageContentSourcePolicy")],
)
async def test_mirrors_of_a_file_serve_and_are_not_named(
    vendor: Vendor, tmp_path: Path, flag: str, kind: str
) -> None:
    here = await vendor.release(tags={"cli": CLI})
    release = Repository("source.invalid/any/release").at(here.digest)
    mirrors = mirror_set(str(here.repository), source=str(release.repository), kind=kind)
    path = write_json(tmp_path / "mirrors.yaml", mirrors)
    assert (await vendor.image_for("cli", release, flag, path)).out == f"{CLI}\n"


async def test_of_the_two_kinds_of_mirror_files_one_is_taken(
    vendor: Vendor, tmp_path: Path
) -> None:
    path = write_json(tmp_path / "m.yaml", mirror_set("m.example.com/a", source="a.example.com"))
    both = ("--idms-file", path, "--icsp-file", path)
    assert "exclude each other" in (await vendor.image_for("cli", GONE, *both, code=2)).err
    ran = await vendor.image_for("cli", GONE, "--icsp-file", path, code=4)
    assert f"{path}:1: kind ImageDigestMirrorSet is not ImageContentSourcePolicy" in ran.err


async def test_an_unknown_tag_is_told_as_oc_tells_it(vendor: Vendor) -> None:
    release = await vendor.release()
    ran = await vendor.image_for("gone\x1b[2J", release, code=6)
    said = f'relayer: no image tag "gone�[2J" exists in the release image {release}\n'
    assert (ran.out, ran.err) == ("", said)


async def test_an_image_that_is_named_by_tag_is_printed_and_warned_of(vendor: Vendor) -> None:
    release = await vendor.release(tags={"cli": f"{ART}:latest"})
    ran = await vendor.image_for("cli", release)
    assert ran.out == f"{ART}:latest\n"
    assert "by tag, which may move" in ran.err


@pytest.mark.parametrize(
    "garbage",
    [f"{ART}\n@{CLI.digest}", f"{ART}@sha256:1", "\x1b]0;owned", "quay.io/$(reboot)", "x" * 9999],
)
async def test_a_name_that_is_none_is_not_printed(vendor: Vendor, garbage: str) -> None:
    release = await vendor.release(tags={"cli": garbage})
    ran = await vendor.image_for("cli", release, code=4)
    assert ran.out == ""
    assert f"tag cli of {release}" in ran.err
    assert len(ran.err) < 700
    assert "\x1b" not in ran.err


async def test_a_last_layer_that_was_tampered_with_is_not_believed(vendor: Vendor) -> None:
    """`oc` believes it: it compares the hash at the end, and stops reading before."""
    made = release_image("4.16.3", {"cli": CLI})
    release = await vendor.push("ocp/release", made)
    assert vendor.running.simulated
    last = len(made.layers[-1]) - 1
    fault = Fault("corrupt", path="/v2/ocp/release/blobs/.*", count=99, after=last)
    vendor.running.simulated.faults.append(fault)
    ran = await vendor.image_for("cli", release, code=4)
    assert ran.out == ""
    assert "sha256" in ran.err


async def test_an_image_that_is_no_release_is_refused(vendor: Vendor) -> None:
    other = await vendor.push("team/os", base_image())
    assert "is no release image" in (await vendor.image_for("cli", other, code=4)).err


# --- which release --------------------------------------------------------------------------------


async def test_a_release_by_digest_and_by_tag(vendor: Vendor) -> None:
    release = await vendor.release(tag="4.16.3-x86_64")
    tagged = f"{release.repository}:4.16.3-x86_64"
    for named in (release, tagged, f"{tagged}@{release.digest}"):
        assert (await vendor.image_for("cli", named)).out == f"{CLI}\n"
    await vendor.release("4.17.0", {"cli": OS}, tag="latest")
    assert (await vendor.image_for("cli", release.repository)).out == f"{OS}\n"


async def test_one_argument_that_looks_like_a_release_is_the_release(vendor: Vendor) -> None:
    release = await vendor.release()
    assert (await vendor.image_for(release)).out == f"{OS}\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("cli", "rhel-coreos"), "rhel-coreos is no release"),
        (("cli", "4.16"), "4.16 is no release"),
        (("cli", "4.16.3-"), "4.16.3- is no version"),
        (("cli", f"{'9' * 5000}.1.1"), "is no version"),
        (("cli", "ocp/release:1"), "not a repository with its host"),
        (("cli", f"quay.io/ocp@{OS.digest[:-1]}"), "not a sha256 digest"),
        (("cli", GONE, "--stream", "rhel-9"), "nothing to choose"),
        ((GONE, "--filter-by-os", "linux/("), "--filter-by-os:"),
        ((GONE, "--cluster", "prod", "--kubeconfig", "x"), "exclude each other"),
    ],
)
async def test_what_cannot_be_meant_is_a_usage_error(
    vendor: Vendor, words: tuple[str, ...], told: str
) -> None:
    ran = await vendor.image_for(*words, code=2)
    assert told in ran.err
    assert len(ran.err) < 700


async def test_without_a_release_there_must_be_a_cluster(vendor: Vendor) -> None:
    ran = await vendor.image_for("cli", code=2)
    assert "no cluster to ask" in ran.err
    assert ".kube/config is not there" in ran.err


# --- a version from the update graph --------------------------------------------------------------


async def test_a_version_is_looked_up_in_the_update_graph(
    vendor: Vendor, update_service: Graphs
) -> None:
    """No cluster is needed for it; channels are asked until one has it."""
    release = await vendor.release()
    update_service.hold("stable-4.16", v4_16_2=GONE)
    update_service.hold("candidate-4.16", v4_16_3=release)
    assert (await vendor.image_for("cli", "v4.16.3")).out == f"{CLI}\n"
    asked = [question["channel"] for question in update_service.asked]
    assert asked == ["stable-4.16", "fast-4.16", "candidate-4.16"]
    assert {question["arch"] for question in update_service.asked} == {"amd64"}
    await vendor.image_for("cli", "4.16.3", "--filter-by-os", "linux/arm64")
    assert update_service.asked[-1]["arch"] == "arm64"


@pytest.mark.parametrize("digest_beside", [True, False])
async def test_a_graph_may_name_releases_by_tag(
    vendor: Vendor, update_service: Graphs, digest_beside: bool
) -> None:
    release = await vendor.release(tag="" if digest_beside else "4.16.3")
    noted = {"io.openshift.upgrades.graph.release.manifestref": str(release.digest)}
    update_service.hold("stable-4.16", v4_16_3=f"{release.repository}:4.16.3")
    if digest_beside:
        update_service.channels["stable-4.16"][0]["metadata"] = noted
    assert (await vendor.image_for("cli", "4.16.3")).out == f"{CLI}\n"


async def test_a_version_that_nobody_has_is_not_found(
    vendor: Vendor, update_service: Graphs
) -> None:
    for channel in ("stable", "fast", "candidate"):
        update_service.hold(f"{channel}-4.16", v4_16_3=GONE)
    ran = await vendor.image_for("cli", "4.16.99", code=6)
    assert "release 4.16.99 is not in the update graph (stable-4.16, fast-4.16" in ran.err


async def test_a_graph_that_is_down_may_have_had_it(vendor: Vendor) -> None:
    vendor.said["release"] = {"graph_url": "http://127.0.0.1:1/graph"}
    ran = await vendor.image_for("cli", "4.16.3", code=3)
    assert "127.0.0.1:1" in ran.err
    assert "by its pullspec" in ran.err


@pytest.mark.parametrize(("status", "code", "questions"), [(503, 3, 1), (403, 4, 3)])
async def test_a_graph_that_does_not_tell_may_have_had_it(
    vendor: Vendor, update_service: Graphs, status: int, code: int, questions: int
) -> None:
    """The other channels of one that is down are not asked for."""
    update_service.status = status
    ran = await vendor.image_for("cli", "4.16.3", code=code)
    assert f"answered {status}" in ran.err
    assert len(update_service.asked) == questions


async def test_a_graph_that_names_garbage_is_refused(
    vendor: Vendor, update_service: Graphs
) -> None:
    update_service.hold("stable-4.16", v4_16_3="quay.io/\x1b[2J@latest")
    ran = await vendor.image_for("cli", "4.16.3", code=4)
    assert "the update graph names a release image that is none" in ran.err
    assert "\x1b" not in ran.err


# --- who may, and who is trusted ------------------------------------------------------------------


@pytest.mark.real("docker-registry")
async def test_a_login_is_found_where_it_was_said_and_else_missed(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with real_registry(tmp_path / "registry", basic=True) as running:
        vendor = Vendor(running, tmp_path)
        release = await vendor.release()
        right, wrong = tmp_path / "auth.json", tmp_path / "wrong.json"
        right.write_text(running.auth_json())
        wrong.write_text(running.auth_json(password="another"))

        ran = await vendor.image_for("cli", release, code=4)
        assert f"{running.host} wants a login: no credentials for" in ran.err
        assert "-a/--registry-config" in ran.err

        assert (await vendor.image_for("cli", release, "-a", right)).out == f"{CLI}\n"
        ran = await vendor.image_for("cli", release, "-a", wrong, code=4)
        assert f"the credentials for {running.host}" in ran.err
        assert "-a/--registry-config" in ran.err
        assert "another" not in ran.err

        said = {"plain_http": [running.host], "auth_file": str(wrong)}
        vendor.said["registry"] = said
        await vendor.image_for("cli", release, code=4)
        assert (await vendor.image_for("cli", release, "-a", right)).out == f"{CLI}\n"
        del vendor.said["registry"]

        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(right))
        assert (await vendor.image_for("cli", release)).out == f"{CLI}\n"
        await vendor.image_for("cli", release, "-a", wrong, code=4)
        monkeypatch.delenv("REGISTRY_AUTH_FILE")
        (home / ".docker").mkdir()
        (home / ".docker" / "config.json").write_text(running.auth_json())
        assert (await vendor.image_for("cli", release)).out == f"{CLI}\n"


@pytest.mark.parametrize("content", [None, "{", '{"auths": {"a.example.com": {"auth": "%%%"}}}'])
async def test_a_file_of_logins_that_is_missing_or_broken_is_named(
    vendor: Vendor, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "auth.json"
    if content is not None:
        path.write_text(content)
    ran = await vendor.image_for("cli", GONE, "-a", path, code=4)
    assert f"auth file {path}" in ran.err
    assert "%%%" not in ran.err


async def test_a_certificate_is_believed_by_its_authority_or_if_nobody_minds(
    tmp_path: Path,
) -> None:
    ca = PrivateCa.made_in(tmp_path / "ca")
    other = PrivateCa.made_in(tmp_path / "other")
    async with simulated_registry(tls=ca) as running:
        release = await Vendor(running, tmp_path).release()

        async def ask(*words: object, code: int = 0) -> str:
            ran = await relayer("image-for", "cli", release, *words, code=code)
            return ran.out or ran.err

        for wrong in ((), ("--certificate-authority", other.ca_file)):
            told = await ask(*wrong, code=4)
            assert "certificate" in told
            assert "--certificate-authority" in told
        assert await ask("--certificate-authority", ca.ca_file) == f"{CLI}\n"
        assert await ask("--insecure") == f"{CLI}\n"
        missing = tmp_path / "no-such-ca.pem"
        assert str(missing) in await ask("--certificate-authority", missing, code=4)


async def test_insecure_also_speaks_to_a_registry_without_tls(vendor: Vendor) -> None:
    release = await vendor.release()
    ran = await relayer("image-for", "cli", release, code=4)
    assert "does not speak TLS" in ran.err
    assert (await relayer("image-for", "cli", release, "--insecure")).out == f"{CLI}\n"


async def test_a_registry_that_is_away_can_be_tried_again() -> None:
    asked = Question(tag="cli", release="127.0.0.1:1/ocp/release@" + OS.digest)
    quick = RegistrySettings(backoff_seconds=0.001)
    with pytest.raises(Transient, match=r"127\.0\.0\.1:1"):
        await image_for(asked, Format.TABLE, patience=quick)


# --- the program ----------------------------------------------------------------------------------


def program(*words: object, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [str(RELAYER), "image-for", *map(str, words)]
    return subprocess.run(
        command, env={**os.environ, **environ}, capture_output=True, text=True, timeout=30
    )


async def test_the_program_itself_answers_like_this(vendor: Vendor, tmp_path: Path) -> None:
    release = await vendor.release(tags={"cli": CLI, "x": "\x1b[2J"})
    environ = {"RELAYER_CONFIG": str(vendor.config)}
    ran = await asyncio.to_thread(program, "cli", release, **environ)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"{CLI}\n", "")
    ran = await asyncio.to_thread(program, "gone", release, **environ)
    assert (ran.returncode, ran.stdout) == (6, "")
    assert ran.stderr.startswith('relayer: no image tag "gone" exists in the release image ')


@pytest.mark.skipif(shutil.which("oc") is None, reason="oc is not on PATH")
async def test_oc_says_the_same(vendor: Vendor, tmp_path: Path) -> None:
    release = await vendor.release()
    auth = tmp_path / "auth.json"
    auth.write_text(auth_json({vendor.running.host: (USER, PASSWORD)}))
    for tag in ("cli", "rhel-coreos", "gone"):
        command = ["oc", "adm", "release", "info", f"--image-for={tag}", str(release)]
        command += ["--insecure", "-a", str(auth)]
        theirs = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=60
        )
        ours = await vendor.image_for(tag, release, code=6 if tag == "gone" else 0)
        assert ours.out == theirs.stdout
        assert (theirs.returncode == 0) == (ours.code == 0)
        if theirs.returncode:
            assert theirs.stderr.removeprefix("error: ") == ours.err.removeprefix("relayer: ")
