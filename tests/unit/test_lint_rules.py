"""Each rule of lint: what is wrong is found at its line, what is right is left alone.

The base of every text is line 1; what follows begins at line 2.
"""

from typing import Any

import pytest

from tests.facts import digest
from tests.linting import BASE, codes, complaints, lines
from watcher.core.cluster import MachineConfig, Meta
from watcher.core.lint import RULES, PoolContext, Severity

OLD, NEW = PoolContext(release="4.16.3"), PoolContext(release="4.19.1")
REALTIME = PoolContext(kernel_type="realtime", kernel_type_by="50-rt")
IPSEC = PoolContext(extensions={"ipsec": "60-ipsec"})
CHRONY = PoolContext(files={"/etc/chrony.conf": "50-chrony"})
INSTALL = "RUN dnf install -y htop && dnf clean all"
BUILD = f"FROM example.com/go@{digest('go')} AS build\n"
USED = BASE + "COPY --from=build /a /b"
USED_K = BASE + "COPY --from=k /a /b"
OS_DIGEST = f"quay.io/x/rhel-coreos@{digest('os')}"
MIB = 1 << 20

# code, what follows the base, lines that are complained about, files, more
CASES: list[tuple[str, str, str, list[int], tuple[str, ...], dict[str, Any]]] = [
    ("RL003", "copy from a tag", "COPY --from=golang:1.22 /a /usr/bin/", [2], (), {}),
    ("RL003", "mount from a tag", "RUN --mount=type=bind,from=a.io/b:1,target=/x ls", [2], (), {}),
    ("RL003", "copy from a digest", f"COPY --from=a.io/b@{digest('a')} /a /b", [], (), {}),
    ("RL003", "copy by variable", "COPY --from=$IMAGE /a /b", [], (), {}),
    ("RL006", "no last step", f"{INSTALL}\nCOPY a /usr/\nRUN \\\n  touch /usr/b", [5], ("a",), {}),
    ("RL006", "change after it", "RUN ostree container commit\nRUN rm -rf /usr/x", [3], (), {}),
    ("RL006", "commit", "RUN touch /usr/b && \\\n ostree container commit", [], (), {}),
    ("RL006", "bootc lint", "RUN touch /usr/b\nRUN bootc container lint", [], (), {}),
    ("RL006", "exec form", 'RUN touch /a\nRUN ["bootc", "container", "lint"]', [], (), {}),
    ("RL006", "only talk", "RUN echo hello; set -e; test -f /etc/x", [], (), {}),
    ("RL006", "talk into a file", "RUN echo hello > /etc/x", [2], (), {}),
    ("RL006", "nothing is run", "COPY a /usr/bin/", [], ("a",), {}),
    (
        "RL007",
        "mounted entitlement",
        "RUN --mount=type=secret,id=x,target=/run/secrets/etc-pki-entitlement true\n"
        "RUN dnf install -y a && dnf clean all",
        [3],
        (),
        {},
    ),
    (
        "RL007",
        "removed",
        "RUN --mount=type=bind,source=e,target=/etc/pki/entitlement dnf install -y a && \\\n"
        "  rm -f /etc/yum.repos.d/redhat.repo",
        [],
        (),
        {},
    ),
    (
        "RL007",
        "removed before",
        "RUN rm -f /etc/yum.repos.d/redhat.repo && subscription-manager status && \\\n"
        "  dnf install -y a",
        [3],
        (),
        {},
    ),
    ("RL007", "copied repo", "COPY a /etc/yum.repos.d/redhat.repo\n" + INSTALL, [3], ("a",), {}),
    ("RL007", "no entitlement", INSTALL, [], (), {}),
    ("RL008", "rpm-ostree", "RUN set -e; \\\n rpm-ostree install a", [3], (), {}),
    ("RL008", "cleanup", "RUN rpm-ostree install a && rpm-ostree cleanup -m", [], (), {}),
    ("RL008", "cleanup of another", "RUN rpm-ostree install a; rpm-ostree cleanup -b", [2], (), {}),
    ("RL008", "in a later layer", "RUN dnf -y install a\nRUN dnf clean all", [2], (), {}),
    ("RL008", "before it", "RUN dnf clean all && dnf -y install a", [2], (), {}),
    ("RL008", "rm", "RUN yum -y install a && rm -rf /var/cache/*", [], (), {}),
    ("RL008", "rm of another", "RUN yum -y install a && rm -rf /var/log/*", [2], (), {}),
    ("RL008", "commit", "RUN dnf -y install a && ostree container commit", [], (), {}),
    (
        "RL008",
        "cache mount",
        "RUN --mount=type=cache,target=/var/cache/x dnf -y install a",
        [],
        (),
        {},
    ),
    ("RL008", "query", "RUN dnf list installed", [], (), {}),
    ("RL008", "in a heredoc", "RUN <<EOF\nset -e\ndnf -y install a\nEOF", [4], (), {}),
    ("RL008", "sh -c", "RUN bash -ec 'dnf -y install a'", [2], (), {}),
    ("RL009", "copy", "COPY a /opt/a", [2], ("a",), {}),
    ("RL009", "copy below workdir", "WORKDIR /opt\nCOPY a tool/a", [3], ("a",), {}),
    ("RL009", "by variable", "ARG D=/opt\nCOPY a $D/a", [3], ("a",), {}),
    ("RL009", "directory", "COPY root /", [2], ("root/usr/a", "root/var/lib/b"), {}),
    ("RL009", "heredoc", "COPY <<EOF /var/lib/a\nx\nEOF", [2], (), {}),
    ("RL009", "usr local", "ADD https://example.com/t.tgz /usr/local/bin/", [2], (), {}),
    ("RL009", "from a stage", "COPY --from=build /a /opt/", [2], (), {}),
    ("RL009", "usr", "COPY a /usr/lib/opt/a", [], ("a",), {}),
    ("RL009", "mkdir", "RUN true && \\\n mkdir -p /var/lib/a", [3], (), {}),
    ("RL009", "room behind the link", "RUN mkdir -p /var/opt", [], (), {}),
    ("RL009", "redirect", "RUN echo a >/opt/a", [2], (), {}),
    ("RL009", "tar", "RUN tar -xzf /usr/a.tgz -C /opt", [2], (), {}),
    ("RL009", "install", "RUN install -m 755 /usr/a /usr/local/bin/a", [2], (), {}),
    ("RL009", "moved away", "RUN cp -r /x /opt/a && mv /opt/a /usr/lib/", [], (), {}),
    ("RL009", "tmp removed", "RUN curl -sSLo /tmp/a https://x.io/a && rm /tmp/a", [], (), {}),
    ("RL009", "tmp left", "RUN curl -sSLo /tmp/a https://x.io/a", [2], (), {}),
    ("RL009", "tmp and commit", "RUN touch /tmp/a && ostree container commit", [], (), {}),
    ("RL009", "opt and commit", "RUN touch /opt/a && ostree container commit", [2], (), {}),
    ("RL009", "mounted", "RUN --mount=type=tmpfs,target=/var/lib/x touch /var/lib/x/a", [], (), {}),
    ("RL009", "below a variable", "RUN touch /opt/$WHERE/a", [2], (), {}),
    ("RL009", "not known", "RUN mkdir -p $WHERE/a relative/b", [], (), {}),
    ("RL010", "realtime", "RUN rpm-ostree install a \\\n kernel-rt-core", [2], (), {}),
    ("RL010", "by address", "RUN dnf -y install https://x.io/kernel-rt-5.1.rpm", [2], (), {}),
    ("RL010", "extension", "RUN dnf -y install usbguard", [2], (), {}),
    ("RL010", "rpm", "RUN rpm -Uvh /x/libreswan-4.9-1.rpm", [2], (), {"context": IPSEC}),
    ("RL010", "other", "RUN dnf -y install usbguard-tools kernel-tools", [], (), {}),
    ("RL010", "query", "RUN rpm -q usbguard", [], (), {}),
    ("RL010", "removed", "RUN rpm-ostree override remove usbguard", [], (), {}),
    ("RL010", "kernel of a pool", "RUN rpm-ostree override replace /x/kernel-core-5.1.rpm", [2], (),
     {"context": REALTIME}),
    ("RL010", "kernel", "RUN rpm-ostree override replace /x/kernel-core-5.1.rpm", [], (), {}),
    ("RL011", "old", "RUN rpm-ostree override replace /x/kernel-{,core-}5.1.rpm", [2], (),
     {"context": OLD}),
    ("RL011", "with cliwrap", "RUN rpm-ostree cliwrap install-to-root /\n"
     "RUN rpm-ostree override replace /x/kernel-5.1.rpm", [], (), {"context": OLD}),
    ("RL011", "cliwrap too late", "RUN rpm-ostree override replace /x/kernel-5.1.rpm\n"
     "RUN rpm-ostree cliwrap install-to-root /", [2], (), {"context": OLD}),
    ("RL011", "new", "RUN rpm-ostree override replace /x/kernel-5.1.rpm", [], (),
     {"context": NEW}),
    ("RL011", "another package", "RUN rpm-ostree override replace /x/podman-5.1.rpm", [], (),
     {"context": OLD}),
    ("RL012", "copy", "COPY chrony.conf /etc/", [2], ("chrony.conf",), {"context": CHRONY}),
    ("RL012", "directory", "COPY r /", [2], ("r/etc/chrony.conf",), {"context": CHRONY}),
    ("RL012", "usr etc", "COPY a /usr/etc/chrony.conf", [2], ("a",), {"context": CHRONY}),
    ("RL012", "run", "RUN true; \\\n echo a | tee /etc/chrony.conf", [3], (), {"context": CHRONY}),
    ("RL012", "another", "COPY a /etc/chrony.d/a", [], ("a",), {"context": CHRONY}),
    ("RL012", "no pool", "COPY a /etc/chrony.conf", [], ("a",), {}),
    ("RL013", "ssh key", "COPY id_rsa /usr/x", [2], ("id_rsa",), {}),
    ("RL013", "pull secret", "COPY . /usr/share/", [2], ("a/pull-secret.json",), {}),
    ("RL013", "by target", "COPY a /root/.docker/config.json", [2], ("a",), {}),
    ("RL013", "entitlement", "COPY e/ /etc/pki/entitlement/", [2], ("e/123456789-key.pem",), {}),
    ("RL013", "from a stage", "COPY --from=b /k/kubeconfig /etc/", [2], (), {}),
    ("RL013", "heredoc", "COPY <<E /etc/a\n-----BEGIN RSA PRIVATE KEY-----\nE", [2], (), {}),
    ("RL013", "by content", "COPY a /etc/a", [2], ("a",),
     {"contents": {"a": b"x\n-----BEGIN PRIVATE KEY-----\nMII"}}),
    ("RL013", "auths", "COPY a /etc/a", [2], ("a",),
     {"contents": {"a": b'{"auths": {"quay.io": {"auth": "eDp5"}}}'}}),
    ("RL013", "public under a bad name", "COPY ca.key /etc/a", [], ("ca.key",),
     {"contents": {"ca.key": b"-----BEGIN CERTIFICATE-----\n"}}),
    ("RL013", "not copied", "COPY a /etc/a", [], ("a", "id_rsa"), {}),
    ("RL013", "wildcard", "COPY *.pem /etc/", [2], ("1234567-key.pem", "b.txt"), {}),
    ("RL013", "harmless", "COPY sshd_config a.pub /etc/", [], ("sshd_config", "a.pub"), {}),
    ("RL014", "env", "ENV A=1 \\\n DB_PASSWORD=hunter2", [2], (), {}),
    ("RL014", "old form", "ENV API_TOKEN abc", [2], (), {}),
    ("RL014", "arg", "ARG API_KEY=abc", [2], (), {}),
    ("RL014", "build argument", "ARG API_KEY", [2], (), {"args": {"API_KEY": "abc"}}),
    ("RL014", "by value", "LABEL x=AKIAABCDEFGHIJKLMNOP", [2], (), {}),
    ("RL014", "login in an address", "RUN true; \\\n curl https://me:pw@x.io/", [3], (), {}),
    ("RL014", "flag", "RUN subscription-manager register --password hunter2", [2], (), {}),
    ("RL014", "flag by variable", 'RUN register --password "$P"', [], (), {}),
    ("RL014", "arg without value", "ARG API_KEY", [], (), {}),
    ("RL014", "path", "ENV SECRET_FILE=/run/secrets/a TOKEN= TOKENIZER=x", [], (), {}),
    ("RL016", "large", "COPY a /usr/\nCOPY b /usr/", [3], ("a", "b"),
     {"sizes": {"a": 57 * MIB, "b": 200 * MIB}}),
    ("RL016", "small", "COPY a b /usr/", [], ("a", "b"),
     {"sizes": {"a": 56 * MIB, "b": 200 * MIB}}),
    ("RL016", "not copied", "COPY a /usr/", [], ("a", "b"), {"sizes": {"b": 999 * MIB}}),
    ("RL017", "http", "RUN true && \\\n curl -O http://x.io/a", [3], (), {}),
    ("RL017", "add", "ADD http://x.io/a /usr/a", [2], (), {}),
    ("RL017", "package", "RUN rpm-ostree install http://x.io/a.rpm", [2], (), {}),
    ("RL017", "into a shell", "RUN curl -s https://x.io/a | sudo bash -s", [2], (), {}),
    ("RL017", "by substitution", "RUN bash <(curl -s https://x.io/a)", [2], (), {}),
    ("RL017", "sh -c", 'RUN sh -c "$(curl -s https://x.io/a)"', [2], (), {}),
    ("RL017", "no certificate", "RUN curl -skO https://x.io/a", [2], (), {}),
    ("RL017", "https", "RUN curl -sSLO https://x.io/a | sha256sum -c", [], (), {}),
    ("RL017", "a shell beside it", "RUN curl -sO https://x.io/a; bash -c true", [], (), {}),
    ("RL017", "only text", "RUN echo http://x.io/a > /etc/a", [], (), {}),
    ("RL018", "user", "USER 0\nUSER app", [3], (), {}),
    ("RL018", "root again", "USER app\nUSER root", [], (), {}),
    ("RL019", "start", 'ENTRYPOINT ["a"]\nCMD b', [2, 3], (), {}),
    ("RL020", "label", "LABEL a=b \\\n containers.bootc=0", [2], (), {}),
    ("RL020", "own label", "LABEL maintainer=me", [], (), {}),
    ("RL021", "not copied", "COPY a /usr/lib/systemd/\nRUN true && \\\n systemctl enable b", [4],
     ("a", "u/b.service"), {}),
    ("RL021", "copied", "COPY u/ /etc/systemd/system/\nRUN systemctl enable b.service", [],
     ("u/b.service",), {}),
    ("RL021", "of a package", "RUN systemctl enable sshd", [], (), {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "text", "at", "files", "more"),
    [(code, *rest) for code, _, *rest in CASES],
    ids=[f"{code}-{name}".replace(" ", "-") for code, name, *_ in CASES],
)
def test_a_rule_complains_at_its_line_or_not_at_all(
    code: str, text: str, at: list[int], files: tuple[str, ...], more: dict[str, Any]
) -> None:
    assert lines(code, BASE + text, *files, **more) == at


WHOLE: list[tuple[str, str, str, list[int]]] = [
    ("RL001", "tag", "FROM quay.io/x/rhel-coreos:4.18", [1]),
    ("RL001", "no tag", "# x\nFROM quay.io/x/rhel-coreos", [2]),
    ("RL001", "default", "ARG B=quay.io/x/rhel-coreos:1\nFROM $B", [2]),
    ("RL001", "digest", BASE, []),
    ("RL001", "argument", "ARG B\nFROM ${B}", []),
    ("RL001", "stage", BASE + BUILD + f"FROM {OS_DIGEST}", []),
    ("RL002", "tag", f"FROM quay.io/x/rhel-coreos:4.18 AS k\n{USED_K}", [1]),
    ("RL002", "digest", f"FROM {OS_DIGEST} AS k\n{USED_K}", [1]),
    ("RL002", "copy", BASE + "COPY --from=quay.io/x/rhcos:1 /a /b", [2]),
    ("RL002", "no OS image", BASE + "COPY --from=a.io/b:1 /a /b", []),
    ("RL002", "same base", f"FROM {OS_DIGEST} AS o\nFROM o AS k\nFROM o\nCOPY --from=k /a /b", []),
    ("RL003", "builder", f"FROM golang:1.22 AS k\n{USED_K}", [1]),
    ("RL003", "builder by digest", f"{BUILD}{USED}", []),
    ("RL004", "scratch", "FROM scratch\nCOPY a /", [1]),
    ("RL004", "ubi", "FROM registry.access.redhat.com/ubi9/ubi:9.4", [1]),
    ("RL004", "bootc of RHEL", "FROM registry.redhat.io/rhel9/rhel-bootc:9.4", [1]),
    ("RL004", "known by its path", "FROM quay.io/rhcos-devel/rhel:9.4", []),
    ("RL004", "mirror", "FROM registry.example.com/mirror/os:1", []),
    ("RL004", "scratch beside", f"FROM scratch AS ctx\nCOPY a /\n{BASE}COPY --from=ctx / /", []),
    ("RL005", "no FROM", "# nothing", [1]),
    ("RL005", "not readable", "FROM a.io/b\nRUN <<EOF\nx", [2]),
    ("RL005", "two variables", "ARG A=a.io\nARG B=b\nFROM $A/$B", [3]),
    ("RL005", "no ARG", "FROM $B", [1]),
    ("RL005", "digest by variable", "ARG D\nFROM quay.io/x/rhel-coreos@${D}", []),
    ("RL005", "repository by variable", f"ARG R\nFROM ${{R}}@{digest('a')}", []),
    ("RL005", "plain", BASE, []),
    ("RL015", "two finals", f"{BASE}RUN a\nFROM {OS_DIGEST}\nRUN b", [1]),
    ("RL015", "unused", f"{BUILD}{BASE}", [1]),
    ("RL015", "by number", f"{BUILD}{BASE}COPY --from=0 /a /b", []),
    ("RL015", "by mount", f"{BUILD}{BASE}RUN --mount=type=bind,from=build,target=/x a", []),
    ("RL015", "through another", f"{BUILD}FROM build AS b\n{BASE}COPY --from=b /a /b", []),
    ("RL015", "by variable", f"{BUILD}{BASE}COPY --from=$X /a /b", []),
    ("RL014", "before FROM", f"ARG TOKEN=abc\n{BASE}", [1]),
    ("RL017", "in another stage", f"{BUILD}RUN curl http://x.io/a\n{USED}", [2]),
    ("RL008", "in another stage", f"{BUILD}RUN dnf -y install a\n{USED}", []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "text", "at"),
    [(code, text, at) for code, _, text, at in WHOLE],
    ids=[f"{code}-{name}".replace(" ", "-") for code, name, *_ in WHOLE],
)
def test_a_rule_about_images_and_stages(code: str, text: str, at: list[int]) -> None:
    assert lines(code, text, "a") == at


def test_every_rule_has_a_bad_and_a_good_case() -> None:
    cases = [(code, at) for code, _, _, at, _, _ in CASES] + [(c, at) for c, _, _, at in WHOLE]
    bad, good = {c for c, at in cases if at}, {c for c, at in cases if not at}
    checked = {code for code, rule in RULES.items() if rule.check is not None}
    assert bad == checked
    assert good | {"RL019"} == checked  # RL019 forbids the instruction itself


def test_a_good_recipe_is_left_alone() -> None:
    text = BASE + (
        "COPY etc/ /etc/\n"
        "RUN rpm-ostree install htop && rpm-ostree cleanup -m && ostree container commit\n"
    )
    assert complaints(text, "etc/a.conf") == ()


# --- how severe it is ----------------------------------------------------------------------------


def severity(code: str, text: str, *files: str, **more: Any) -> Severity:
    found = [one for one in complaints(text, *files, **more) if one.code == code]
    assert found
    return found[0].severity


def test_an_os_image_by_tag_is_worse_than_by_digest() -> None:
    assert severity("RL002", BASE + "COPY --from=quay.io/x/rhcos:1 /a /b") is Severity.ERROR
    assert severity("RL002", BASE + f"COPY --from={OS_DIGEST} /a /b") is Severity.WARNING


def test_labels_say_what_a_base_is_whatever_its_name() -> None:
    ubi = "FROM registry.access.redhat.com/ubi9/ubi:9.4"
    bootable = PoolContext(base_labels={"containers.bootc": "1"})
    assert lines("RL004", ubi, context=bootable) == []
    other = PoolContext(base_labels={"name": "rhel-coreos"})
    assert severity("RL004", "FROM quay.io/x/rhel-coreos:1", context=other) is Severity.ERROR
    assert severity("RL004", ubi) is Severity.WARNING
    assert severity("RL004", "FROM scratch") is Severity.ERROR


def test_an_extension_is_an_error_where_the_pool_has_it() -> None:
    text = BASE + "RUN dnf -y install libreswan"
    assert severity("RL010", text) is Severity.INFO
    assert severity("RL010", text, context=IPSEC) is Severity.ERROR
    kernel = BASE + "RUN rpm-ostree install kernel-rt-core"
    assert severity("RL010", kernel) is Severity.WARNING
    assert severity("RL010", kernel, context=REALTIME) is Severity.ERROR


def test_a_kernel_without_cliwrap_is_told_where_the_release_is_not_known() -> None:
    text = BASE + "RUN rpm-ostree override replace /x/kernel-5.1.rpm"
    assert severity("RL011", text) is Severity.INFO
    assert severity("RL011", text, context=OLD) is Severity.WARNING


def test_what_begins_empty_on_a_node_is_only_told() -> None:
    assert severity("RL009", BASE + "COPY a /tmp/", "a") is Severity.INFO
    assert severity("RL009", BASE + "COPY a /var/", "a") is Severity.WARNING


def test_severities_are_those_of_the_rule() -> None:
    for _, _, text, _, files, more in CASES:
        for one in complaints(BASE + text, *files, **more):
            assert one.severity in RULES[one.code].severities


# --- what is told --------------------------------------------------------------------------------


def test_the_last_step_is_the_one_that_the_release_documents() -> None:
    text = BASE + "RUN touch /usr/a"
    for release, said in (("4.16.3", False), ("4.18", False), ("4.19.1", True), ("", True)):
        [one] = [
            c for c in complaints(text, context=PoolContext(release=release)) if c.code == "RL006"
        ]
        assert ("bootc container lint" in one.sentence) is said


def test_files_that_a_machineconfig_writes_are_named_with_it() -> None:
    files = {f"/etc/f{n:02}": f"mc-{n}" for n in range(30)}
    found = complaints(
        BASE + "COPY etc /etc",
        *(f"etc/f{n:02}" for n in range(30)),
        context=PoolContext(files=files),
    )
    said = [one.sentence for one in found if one.code == "RL012"]
    assert said[0].startswith("/etc/f00 is also written by MachineConfig mc-0")
    assert len(said) == 21
    assert "10 more files" in said[-1] or "10 more files" in " ".join(said)


def test_nothing_of_a_secret_is_told() -> None:
    key = b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk"
    text = BASE + (
        "COPY a /etc/a\nENV PASSWORD=hunter2secret\n"
        "RUN curl https://me:hunter2secret@x.io/ -o /usr/x\n"
        "ADD http://me:hunter2secret@x.io/?token=hunter2secret /usr/x\n"
    )
    found = complaints(text, "a", contents={"a": key})
    assert codes(found) >= {"RL013", "RL014", "RL017"}
    told = " ".join(one.sentence for one in found)
    assert "hunter2" not in told
    assert "b3Blbn" not in told


def test_a_pool_is_described_by_its_machineconfigs() -> None:
    configs = [
        MachineConfig(meta=Meta(name="00-worker"), kernel_type="default"),
        MachineConfig(meta=Meta(name="50-rt"), kernel_type="realtime", extensions=("ipsec",)),
        MachineConfig(
            meta=Meta(name="60-x"), kernel_type="default", extensions=("ipsec", "usbguard")
        ),
    ]
    context = PoolContext.of(configs, release="4.18.9")
    assert (context.kernel_type, context.kernel_type_by) == ("realtime", "50-rt")
    assert context.extensions == {"ipsec": "50-rt", "usbguard": "60-x"}
    assert context.minor == (4, 18)
    assert PoolContext(release="soon").minor is None
