"""The configuration file: every mistake is told, at once, with its line and the nearest name."""

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.config import ConfigError, effective, load, load_text
from watcher.config.durations import seconds, text, whole_seconds
from watcher.core.approval import ApprovalRules
from watcher.core.update import Policy
from watcher.core.windows import Window
from watcher.settings import RedisSettings, Settings

FLEET = """
clusters:
  - {name: prod}
  - {name: test}
recipes:
  - {name: gpu, path: gpu, target: registry.example.com/os/gpu}
"""


def problems(said: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(said, file="f")
    return [str(problem) for problem in caught.value.problems]


def pool_policy(policy: str, before: str = "") -> Policy:
    said = f"{before}{FLEET}pools: [{{cluster: prod, pool: p, recipe: gpu, policy: {policy}}}]"
    return load_text(said).pools[0].policy


# --- what is said --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said", ["", "\n", "# nothing\n", "---\n", "web:\nredis: \n", "{}", "\ufeff"]
)
def test_an_empty_file_means_all_defaults(said: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text(said)
    assert load(tmp_path / "f") == Settings()


def test_paths_start_at_the_directory_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_text(f"state_dir: state{FLEET}")
    settings = load(tmp_path / "f")
    assert settings.state_dir == tmp_path / "state"
    assert settings.recipes[0].path == tmp_path / "gpu"


def test_the_tilde_is_the_home_directory() -> None:
    said = "clusters: [{name: a, kubeconfig: ~/.kube/config}]"
    assert load_text(said).clusters[0].kubeconfig == Path.home() / ".kube/config"


def test_a_time_of_day_needs_no_quotes() -> None:
    policy = pool_policy("{windows: [{days: [sat], start: 22:00, hours: 4}]}")
    assert policy.windows == (Window(days=("sat",), start="22:00", hours=4),)


def test_a_pool_overrides_the_common_policy_key_by_key() -> None:
    common = """
defaults:
  policy:
    soak: 1m
    approval: {quorum: 2, ask: 1h}
    windows: [{days: [sun], start: "01:00", hours: 2}]
"""
    inherited = Window(days=("sun",), start="01:00", hours=2)
    assert pool_policy("{approval: {quorum: 3}}", common) == Policy(
        approval=ApprovalRules(quorum=3, ask_seconds=3600), windows=(inherited,), soak_seconds=60
    )
    assert pool_policy("{windows: []}", common).windows == ()


def test_aliases_are_followed() -> None:
    said = "work: &w {lease: 1m}\nbuildah: {timeout: 5m}\n"
    assert load_text(said).work.lease_seconds == 60
    said = "clusters:\n  - &a {name: prod}\npools: [*a]\n"
    assert any(line.startswith("f:2: pools[0].cluster: is required") for line in problems(said))


# --- durations -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("90s", 90),
        ("10m", 600),
        ("24h", 86400),
        ("7d", 604800),
        ("1h30m", 5400),
        ("500ms", 0.5),
        (5, 5),
    ],
)
def test_durations_carry_their_unit(said: str | int, meant: float) -> None:
    assert seconds(said) == meant


@pytest.mark.parametrize(
    "said", ["10", "10 m", "m", "", "-5s", "5s later", "1e3s", True, None, [], -1, 1e9, "9999999d"]
)
def test_what_is_no_duration_is_refused(said: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        seconds(said)


def test_half_seconds_are_refused_where_whole_ones_are_counted() -> None:
    assert problems("buildah: {timeout: 1500ms}") == [
        "f:1: buildah.timeout: only whole seconds make sense here"
    ]


@given(st.integers(0, 366 * 86400))
def test_a_duration_is_read_back_as_written(amount: int) -> None:
    assert whole_seconds(text(amount)) == amount


# --- mistakes ------------------------------------------------------------------------------------

MISTAKES = {
    "unknown key": ("log_levl: info", "f:1: unknown key `log_levl`; did you mean `log_level`?"),
    "unknown key below": (
        "web:\n  prot: 80",
        "f:2: unknown key `web.prot`; did you mean `port`?",
    ),
    "key of the code": (
        "work:\n\n  lease_seconds: 5",
        "f:3: unknown key `work.lease_seconds`; did you mean `lease`?",
    ),
    "key twice": (
        "web: {}\nredis: {}\nweb: {}",
        "f:3: `web` is written twice; the first is line 1",
    ),
    "wrong type": ("web:\n  port: '80'", "f:2: web.port: should be a valid integer"),
    "yes is no boolean": (
        "redis:\n  allow_unsafe: yes",
        "f:2: redis.allow_unsafe: should be a valid boolean",
    ),
    "list for keys": ("web: [1]", "f:1: web: expected keys with values below it"),
    "keys for list": ("pools: {a: 1}", "f:1: pools: expected a list (`- …` below it, or [])"),
    "port": ("web: {port: 70000}", "f:1: web.port: should be less than or equal to 65535"),
    "inline password": (
        "redis:\n  password: hunter2",
        "f:2: redis.password: secrets are never written here; use password_file",
    ),
    "inline token": (
        "web:\n  tokens:\n    - name: a\n      token: abc",
        "f:4: web.tokens[0].token: secrets are never written here; use token_file or token_env",
    ),
    "inline login": (
        "registry:\n  password: hunter2",
        "f:2: registry.password: secrets are never written here; use auth_file",
    ),
    "password in a url": (
        "redis:\n  url: redis://:hunter2@host/0",
        "f:2: redis.url: a password in redis.url; put it into a file and name password_file",
    ),
    "token twice": (
        "web:\n  tokens:\n    - {name: a, token_file: x, token_env: Y}",
        "f:3: web.tokens[0]: a token needs token_file or token_env: one of them, not both",
    ),
    "token without source": (
        "web: {tokens: [{name: a}]}",
        "f:1: web.tokens[0]: a token needs token_file or token_env: one of them, not both",
    ),
    "two ways to a cluster": (
        "clusters:\n  - {name: a, in_cluster: true, kubeconfig: x}",
        "f:2: clusters[0]: in_cluster and kubeconfig are two ways to one cluster; keep one",
    ),
    "url without token": (
        "clusters: [{name: a, url: 'https://api'}]",
        "f:1: clusters[0]: url needs token_file beside it",
    ),
    "token over http": (
        "clusters: [{name: a, url: 'http://api:6443', token_file: t}]",
        "f:1: clusters[0].url: the token would travel readable over http; use https",
    ),
    "target without host": (
        "recipes: [{name: r, path: p, target: os/gpu}]",
        "f:1: recipes[0].target: not a repository with its host: 'os/gpu'",
    ),
    "containerfile elsewhere": (
        "recipes: [{name: r, path: p, target: q.io/a/b, containerfile: ../x}]",
        "f:1: recipes[0].containerfile: expected a file name inside the recipe's directory",
    ),
    "lease of nothing": (
        "work: {lease: 0s}",
        "f:1: work.lease: should be greater than or equal to 1",
    ),
    "required": ("clusters:\n  - context: x", "f:2: clusters[0].name: is required"),
    "merge key": (
        "<<: {}",
        "f:1: `<<` is not understood; what pools share goes under defaults.policy",
    ),
    "tab": ("web:\n\tport: 1", "f:2: a tab; indent with spaces"),
    "tag": (
        "a: !!python/object x",
        "f:1: tags are not understood: tag:yaml.org,2002:python/object",
    ),
    "two documents": ("a: 1\n---\nb: 1", "f:2: a second document begins; one file holds one"),
    "no alias": (
        "a: *x",
        "f:1: alias *x is not defined above; text that begins with * needs quotes",
    ),
    "alias of itself": ("a: &x [*x]", "f:1: alias *x refers to itself"),
    "control character": ("a: 1\nb: \x01", "f:2: character U+0001 may not be in YAML"),
    "text": ("just text", "f:1: the file: expected keys with values below it"),
    "key that is a list": ("? [a]\n: 1", "f:1: a key must be a word"),
}


@pytest.mark.parametrize(("said", "told"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_its_line_and_what_to_do(said: str, told: str) -> None:
    assert problems(said) == [told]


FLEET_MISTAKES = {
    "unknown recipe": (
        "pools:\n  - {cluster: prod, pool: p, recipe: gpuu}",
        "no recipe is named `gpuu`; did you mean `gpu`?",
    ),
    "unknown cluster": (
        "pools:\n  - {cluster: prodd, pool: p, recipe: gpu}",
        "no cluster is named `prodd`; did you mean `prod`?",
    ),
    "two recipes for one pool": (
        "pools:\n" + 2 * "  - {cluster: prod, pool: p, recipe: gpu}\n",
        "`prod/p` is there already, line",
    ),
    "quorum 0": (
        "pools: [{cluster: prod, pool: p, recipe: gpu, policy: {approval: {quorum: 0}}}]",
        "quorum: should be greater than or equal to 1",
    ),
    "quorum of nobody": (
        "pools: [{cluster: prod, pool: p, recipe: gpu, policy: "
        "{approval: {quorum: 2, approvers: [cli:a, cli:a]}}}]",
        "quorum is 2, but only 1 approver(s) are listed",
    ),
    "approver that cannot be": (
        "web: {tokens: [{name: ann, token_env: A}]}\n"
        "defaults: {policy: {approval: {approvers: [token:anne]}}}",
        "web.tokens has no `anne`; did you mean `token:ann`?",
    ),
    "approver without surface": (
        "defaults: {policy: {approval: {approvers: [ann]}}}",
        "'ann' is no identity; write it like token:ann, proxy:ann, openshift:ann, cli:root,"
        " slack:U024BE7LH, slack-group:S0614TZR7 or person:ann",
    ),
    "day": (
        "defaults: {policy: {windows: [{days: [sunday], start: 01:00, hours: 1}]}}",
        "expected 'mon', 'tue'",
    ),
    "no day": (
        "defaults: {policy: {windows: [{days: [], start: 01:00, hours: 1}]}}",
        "days: needs at least one item",
    ),
    "time": (
        "defaults: {policy: {windows: [{days: [sun], start: 24:00, hours: 1}]}}",
        "'24:00' is no time of day",
    ),
    "hours": (
        "defaults: {policy: {windows: [{days: [sun], start: 01:00, hours: 169}]}}",
        "hours: should be less than or equal to 168",
    ),
    "no hours": (
        "defaults: {policy: {windows: [{days: [sun], start: 01:00, hours: 0}]}}",
        "hours: should be greater than 0",
    ),
    "time zone": (
        "defaults: {policy: {windows: [{days: [sun], start: 01:00, hours: 1, timezone: Berlin}]}}",
        "'Berlin' is no time zone",
    ),
    "time zone elsewhere": (
        "defaults: {policy: {windows: [{days: [sun], start: 01:00, hours: 1, timezone: ../x}]}}",
        "'../x' is no time zone",
    ),
}


@pytest.mark.parametrize(("said", "told"), FLEET_MISTAKES.values(), ids=FLEET_MISTAKES)
def test_what_cannot_work_together_is_told(said: str, told: str) -> None:
    (problem,) = problems(FLEET + said)
    assert told in problem
    assert problem.startswith("f:")


def test_names_are_given_once() -> None:
    said = "clusters:\n  - {name: a}\n  - {name: a}\n"
    assert problems(said) == ["f:3: clusters[1]: `a` is there already, line 2"]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    said = (
        f"log_levl: x\nweb:\n  port: x\n{FLEET}pools:\n  - {{cluster: prd, pool: p, recipe: gpu}}\n"
    )
    assert [line.split(":")[1] for line in problems(said)] == ["1", "3", "11"]


def test_what_is_told_has_a_bound_and_no_control_characters() -> None:
    (problem,) = problems(f'"{"x" * 5000}\\e[2J": 1')
    assert len(problem) < 500
    assert "\x1b" not in problem


# --- files that are no configuration -------------------------------------------------------------


def read(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path)
    return str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    assert (
        read(tmp_path / "no")
        == f"{tmp_path}/no: No such file or directory; name another file with -c"
    )


def test_a_directory_is_told(tmp_path: Path) -> None:
    assert "Is a directory" in read(tmp_path)


def test_a_file_that_is_not_utf_8_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"a: 1\nb: \xe4\n")
    assert "f:2: not UTF-8" in read(tmp_path / "f")


def test_a_huge_file_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("#" * (1024 * 1024 + 1))
    assert "larger than 1024 KiB" in read(tmp_path / "f")


def test_aliases_of_aliases_do_not_fill_the_memory() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "more than 50000 values" in problems("\n".join(lines))[0]


def test_deep_nesting_does_not_end_the_process() -> None:
    assert problems("[" * 100_000) == ["f:1: nested more than 20 levels deep"]


@given(st.text(max_size=200))
def test_any_text_is_settings_or_a_config_error(said: str) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(load_text(said), Settings)


# --- what holds in the end -----------------------------------------------------------------------


def test_the_effective_configuration_is_a_file_that_says_the_same() -> None:
    said = (
        "redis: {url: 'rediss://h/0', password_file: /p}\nlog_level: debug\n"
        "web: {tokens: [{name: a, token_env: T}]}\nregistry: {ca_files: {'h:5000': /ca}}"
        f"{FLEET}pools: [{{cluster: prod, pool: p, recipe: gpu, policy: "
        "{soak: 90s, windows: [{days: [sat], start: 22:00, hours: 4.5}]}}]"
    )
    settings = load_text(said, directory=Path("/etc/relayer"))
    assert load_text(effective(settings), directory=Path("/elsewhere")) == settings


def test_durations_are_printed_with_their_unit() -> None:
    said = effective(load_text(f"{FLEET}pools: [{{cluster: prod, pool: p, recipe: gpu}}]"))
    assert "soak: 10m\n" in said
    assert "remind:\n          - 12h\n" in said
    assert "auto" not in said.partition("pools:")[2]


def test_a_password_that_code_put_into_a_url_is_hidden() -> None:
    settings = replace(Settings(), redis=RedisSettings(url="redis://u:hunter2@h:1/0"))
    assert "hunter2" not in effective(settings)
    assert "redis://u:***@h:1/0" in effective(settings)
