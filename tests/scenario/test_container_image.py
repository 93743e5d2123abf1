"""The container image is built from our Dockerfile, and runs as OpenShift would run it.

No public image is needed: the base is made with debootstrap from this machine's own apt mirror.
It is kept in the temporary directory, with buildah's cache, so that only the first run takes long.
"""

import ast
import asyncio
import fcntl
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
import trustme
import yaml

from simulator.apiserver import ApiServer
from simulator.cluster import PoolSpec, Release, SimulatedCluster
from watcher.manifests import Values, render

pytestmark = [pytest.mark.real("buildah"), pytest.mark.real("debootstrap")]
ROOT = Path(__file__).parents[2]
CACHE = Path(tempfile.gettempdir()) / f"relayer-test-image-{os.getuid()}"
BASE, IMAGE = "localhost/relayer-test-base:1", "localhost/relayer-test:1"
# The user id is of the range that OpenShift hands out; it has no entry in /etc/passwd.
USER = "1000680000:0"
READ_ONLY = """
root=$1; shift
mount --bind "$root" "$root" && mount -o remount,bind,ro "$root" &&
mount -t tmpfs none "$root/tmp" &&
mount -t tmpfs -o mode=0770,uid=0,gid=0 none "$root/var/lib/relayer" &&
mount -t proc proc "$root/proc" &&
exec chroot --userspec="$USER" --groups=0 "$root" "$@"
"""
ENVIRONMENT = {
    "PATH": "/opt/relayer/bin:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin",
    "HOME": "/var/lib/relayer",
    "USER": USER,
}
DIGEST = "sha256:" + "b" * 64
PYTHON_IN_IMAGE = "/opt/relayer/bin/python"


def buildah(*argv: object) -> str:
    storage = ["--root", str(CACHE / "storage"), "--runroot", str(CACHE / "run")]
    ended = subprocess.run(
        ["buildah", *storage, "--storage-driver", "overlay", *map(str, argv)],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": str(CACHE), "TMPDIR": str(CACHE)},
    )
    assert ended.returncode == 0, f"buildah {argv[0]}: {ended.stdout[-3000:]}{ended.stderr[-3000:]}"
    return ended.stdout.strip()


def mirror_of(codename: str) -> str:
    """Where this machine gets its Debian packages from."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", f"Codename: {codename}"],
        check=True,
        capture_output=True,
        text=True,
    )
    uris = [line.strip() for line in listed.stdout.splitlines() if "security" not in line]
    return uris[0]


def make_base() -> None:
    """Debian with Python as an image in our storage, unless it is there from the last time."""
    if BASE in buildah("images", "--format", "{{.Name}}:{{.Tag}}").split():
        return
    system = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if line
    )
    codename = system["VERSION_CODENAME"]
    with tempfile.TemporaryDirectory(dir=CACHE) as made:
        root = Path(made) / "root"
        subprocess.run(
            [
                *("debootstrap", "--variant=minbase"),
                "--include=python3,python3-venv,ca-certificates",
                *(codename, str(root), mirror_of(codename)),
            ],
            check=True,
            capture_output=True,
        )
        shutil.rmtree(root / "var/cache/apt/archives")
        container = buildah("from", "scratch")
        mounted = buildah("mount", container)
        subprocess.run(["cp", "-a", f"{root}/.", mounted], check=True)
        buildah("umount", container)
        buildah("commit", "--rm", container, BASE)


def pip_configuration() -> tuple[str, list[Path]]:
    """This machine's pip.conf in one piece, and the directories it names."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    )
    lines, directories = ["[global]"], []
    for line in listed.stdout.splitlines():
        name, _, value = line.partition("=")
        text = str(ast.literal_eval(value))
        lines.append(f"{name.rpartition('.')[2]} = {' '.join(text.split())}")
        # An index on disk has its files beside the directory that it is named by.
        paths = [
            Path(word.removeprefix("file://")).parent if "file://" in word else Path(word)
            for word in text.split()
        ]
        directories += [path for path in paths if path.is_absolute() and path.exists()]
    return "\n".join(dict.fromkeys(lines)) + "\n", directories


@contextmanager
def running_root() -> Iterator[str]:
    container = buildah("from", "--pull-never", IMAGE)
    try:
        yield buildah("mount", container)
    finally:
        buildah("umount", container)
        buildah("rm", container)


IMAGE_BY_DIGEST = "registry.example.com/relayer/relayer@sha256:" + "a" * 64
VOLUMES = """
root=$1; volumes=$2; shift 2
mount --bind "$root" "$root" &&
mount -t tmpfs none "$root/run" && mkdir -p "$root/run/secrets/kubernetes.io/serviceaccount" &&
mount --bind "$volumes/serviceaccount" "$root/run/secrets/kubernetes.io/serviceaccount" &&
mount --bind "$volumes/etc/relayer" "$root/etc/relayer" &&
mount -o remount,bind,ro "$root" && mount -o remount,bind,ro "$root/etc/relayer" &&
mount -t tmpfs none "$root/tmp" &&
mount -t tmpfs -o mode=0770,uid=0,gid=0 none "$root/var/lib/relayer" &&
mount -t proc proc "$root/proc" &&
exec chroot --userspec="$USER" --groups=0 "$root" "$@"
"""


def mounted(into: Path, *, port: int, token: str, ca: bytes) -> dict[str, str]:
    """The volumes of the rendered Deployment, as a kubelet lays them out; its environment.

    Only where it listens is changed: all ports of this machine are shared by the tests.
    """
    objects = render(Values(image=IMAGE_BY_DIGEST))
    named = {(one["kind"], one["metadata"]["name"]): one for one in objects}
    secrets = {
        "relayer-tokens": {"platform": "a-token-of-the-platform-team"},
        "relayer-registry": {"auth.json": "{}"},
    }
    pod = named["Deployment", "relayer"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for mount in container["volumeMounts"]:
        volume = volumes[mount["name"]]
        files: dict[str, str] = {}
        if "configMap" in volume:
            files = named["ConfigMap", volume["configMap"]["name"]]["data"]
        elif "secret" in volume:
            files = secrets.get(volume["secret"]["secretName"], {})
        else:
            continue
        _put(into / mount["mountPath"].strip("/"), files)
    config = into / "etc/relayer/config/..time/relayer.yaml"
    text = config.read_text().replace("host: 0.0.0.0", "host: 127.0.0.1\n  port: 0")
    config.write_text(text)
    _put(into / "serviceaccount", {"token": token, "ca.crt": ca.decode()})
    assert container["args"] == ["run"]
    inside = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(port)}
    return inside | {one["name"]: one["value"] for one in container["env"]}


def _put(directory: Path, files: dict[str, str]) -> None:
    """Links into a directory that is replaced as a whole, as kubelets make them."""
    (directory / "..time").mkdir(parents=True)
    (directory / "..data").symlink_to("..time")
    for name, text in files.items():
        (directory / "..time" / name).write_text(text)
        (directory / name).symlink_to(f"..data/{name}")
    for path in (directory, *directory.parents[:2]):
        path.chmod(0o755)  # read as the group, as with the fsGroup of a pod


def run_in(root: str, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the image with a read-only root, under OpenShift's kind of user."""
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh", root, *argv],
        capture_output=True,
        text=True,
        timeout=60,
        env=ENVIRONMENT,
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    CACHE.mkdir(mode=0o700, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run of the tests on this machine
        yield from _built(tmp_path_factory)


def _built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    buildah("rm", "--all")  # of a run that was killed
    make_base()
    conf, directories = pip_configuration()
    secret = tmp_path_factory.mktemp("pip") / "pip.conf"
    secret.write_text(conf)
    volumes = [f"--volume={path}:{path}:ro" for path in dict.fromkeys(directories)]
    buildah(
        *("build", "--isolation", "chroot", "--layers", "--force-rm", "--pull-never"),
        *("--build-arg", f"BASE_IMAGE={BASE}", "--secret", f"id=pip,src={secret}"),
        *(*volumes, "--tag", IMAGE, "--file", ROOT / "Dockerfile", ROOT),
    )
    with running_root() as mounted:
        yield mounted


def test_the_product_imports_under_an_arbitrary_user_with_a_read_only_root(root: str) -> None:
    program = "import os, watcher, handlers; print(os.getuid(), os.getgid())"
    ended = run_in(root, PYTHON_IN_IMAGE, "-c", program)
    assert ended.stdout.split() == USER.split(":"), ended.stderr


def test_only_the_state_directory_and_tmp_can_be_written(root: str) -> None:
    for directory, may in (("/var/lib/relayer", True), ("/tmp", True), ("/etc", False)):
        ended = run_in(root, "sh", "-c", f": > {directory}/probe")
        assert (ended.returncode == 0) == may, directory


@pytest.mark.parametrize("program", ["buildah", "gpgv"])
def test_the_programs_we_call_are_inside(root: str, program: str) -> None:
    ended = run_in(root, program, "--version")
    assert ended.returncode == 0, ended.stderr
    assert program in ended.stdout


def test_nothing_of_the_building_machine_stays_in_the_image(root: str) -> None:
    assert not list(Path(root).glob("src*"))
    assert not (Path(root) / "etc/pip.conf").exists()
    assert not list(Path(root, "opt/relayer/bin").glob("pip*"))


def test_the_service_says_its_version_and_checks_a_configuration(root: str) -> None:
    version = run_in(root, "relayer", "version")
    assert version.returncode == 0, version.stderr
    assert "0.1.0" in version.stdout
    checked = run_in(root, "relayer", "check-config", "-c", "/etc/relayer/default.yaml")
    assert checked.returncode == 0, checked.stderr
    assert "state_dir: /var/lib/relayer" in checked.stdout


def test_buildah_needs_more_than_a_restricted_pod_gives(root: str) -> None:
    """docs/installation.md says so, and what to do; whoever makes it work corrects the page."""
    ended = run_in(root, "buildah", "--root", "/tmp/s", "--runroot", "/tmp/r", "from", "scratch")
    assert ended.returncode != 0
    assert "unknown userid 1000680000" in ended.stderr


def test_the_manifests_come_out_of_the_image_too(root: str) -> None:
    printed = run_in(root, "relayer", "manifests", "--image", IMAGE_BY_DIGEST, "--with", "route")
    assert printed.returncode == 0, printed.stderr
    expected = render(Values(image=IMAGE_BY_DIGEST, components=("route",)))
    assert list(yaml.safe_load_all(printed.stdout)) == expected


async def test_the_service_becomes_ready_with_the_rendered_volumes(
    root: str, tmp_path: Path
) -> None:
    """As the pod of `relayer manifests`: its files, its service account, the API server's TLS."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    tokens = {"the-pods-token": "system:serviceaccount:relayer:relayer"}
    release = Release(
        version="4.18.9", image=f"quay.io/a/b@{DIGEST}", os_image=f"q.io/a/b@{DIGEST}"
    )
    async with ApiServer.start(ssl_context=context, tokens=tokens) as api:
        SimulatedCluster.create(api, release=release, pools=(PoolSpec(name="infra", nodes=1),))
        environment = await asyncio.to_thread(
            partial(
                mounted,
                tmp_path / "volumes",
                port=api.port,
                token="the-pods-token",
                ca=authority.cert_pem.bytes(),
            )
        )
        process = await asyncio.create_subprocess_exec(
            *("unshare", "--mount", "sh", "-c", VOLUMES, "sh", root, str(tmp_path / "volumes")),
            *("relayer", "run"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**ENVIRONMENT, **environment},
        )
        try:
            async with asyncio.timeout(60):
                assert await _ready(process) == {"ready": True, "reasons": []}
        finally:
            process.terminate()
            async with asyncio.timeout(30):
                await process.communicate()
        assert process.returncode == 0
        assert api.requests.find(watch=True, path="*machineconfigpools*")


async def _ready(process: asyncio.subprocess.Process) -> dict[str, object]:
    """What /readyz says once it answers 200; where it listens stands in the log."""
    assert process.stdout
    said: list[str] = []
    while line := (await process.stdout.readline()).decode():
        said.append(line)
        if found := re.search(r'"?port"?[=:] ?(\d+)', line):
            break
    else:
        raise AssertionError("".join(said))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{found[1]}") as client:
        while (answer := await client.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.05)
    return {key: answer.json()[key] for key in ("ready", "reasons")}
