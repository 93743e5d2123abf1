"""Where things are told, as it is configured: Slack, webhooks, routes, digests, notices."""

import pytest

from tests.unit.test_config import FLEET, problems
from watcher.config import effective, load_text
from watcher.core.digests import DigestTimes
from watcher.core.letters import Route
from watcher.settings import (
    DigestSettings,
    NoticeSettings,
    Settings,
    SlackSettings,
    WebhookSettings,
)

IDS = "team: T024BE7LD, app: A024BE7LF, channel: C024BE91L"
SLACK = f"slack: {{bot_token_env: T, app_token_env: P, {IDS}}}\n"
HOOKS = "webhooks: [{name: pager, url: 'https://hooks.example.com/x', secret_env: S}]\n"
POOL = "pools: [{cluster: prod, pool: infra, recipe: gpu}]\n"


def slack(said: str) -> SlackSettings:
    return load_text(f"slack: {{{said}}}").slack


# --- slack ---------------------------------------------------------------------------------------


def test_without_a_token_slack_is_off() -> None:
    assert not load_text("").slack.is_on
    assert not slack("mode: none").is_on


def test_an_empty_id_is_as_if_not_written() -> None:
    assert slack("team: '', app: '', channel: ''") == SlackSettings()
    (told,) = problems("slack: {bot_token_env: B, mode: none, team: T0, app: A0, channel: ''}")
    assert told == "f:1: slack: a bot token needs channel beside it"


@pytest.mark.parametrize(
    "said",
    [
        f"bot_token_file: /b, app_token_file: /a, {IDS}",
        f"bot_token_env: B, app_token_env: A, {IDS}",
        f"bot_token_env: B, mode: http, signing_secret_file: /s, {IDS}",
        f"bot_token_env: B, mode: http, signing_secret_env: S, {IDS}",
        f"bot_token_env: B, mode: none, {IDS}",
    ],
)
def test_slack_with_all_it_needs_is_on(said: str) -> None:
    made = slack(said)
    assert made.is_on
    assert (made.team, made.app, made.channel) == ("T024BE7LD", "A024BE7LF", "C024BE91L")
    assert load_text(effective(Settings(slack=made))).slack == made


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("https://slack-gov.com/api", "https://slack-gov.com/api/"),
        ("http://127.0.0.1:8181/api/", "http://127.0.0.1:8181/api/"),
        ("http://[::1]:8181", "http://[::1]:8181/"),
    ],
)
def test_the_address_of_slack_ends_with_a_slash(said: str, meant: str) -> None:
    assert slack(f"api_url: '{said}'").api_url == meant


def test_an_enterprise_is_a_team_too() -> None:
    said = "bot_token_env: B, mode: none, team: E024BE7LD, app: A024BE7LF, channel: G024BE91L"
    assert slack(said).team == "E024BE7LD"


TOKEN = "xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcBrzbqgy"
NEEDS = "slack: a bot token needs"
SLACK_MISTAKES = {
    "bot token": (
        f"bot_token: {TOKEN}",
        "slack.bot_token: secrets are never written here; use bot_token_file or bot_token_env",
    ),
    "app token": (
        "app_token: xapp-1-A",
        "slack.app_token: secrets are never written here; use app_token_file or app_token_env",
    ),
    "signing secret": (
        "signing_secret: '8f74'",
        "slack.signing_secret: secrets are never written here; use signing_secret_file or"
        " signing_secret_env",
    ),
    "some token": (
        f"token: {TOKEN}",
        "slack.token: secrets are never written here; use bot_token_file or bot_token_env or"
        " app_token_file or app_token_env",
    ),
    "token for a file": (
        f"bot_token_file: {TOKEN}",
        "slack.bot_token_file: this is the token itself, not the name of a file that holds it",
    ),
    "token for a variable": (
        f"bot_token_env: {TOKEN}",
        "slack.bot_token_env: expected the name of an environment variable, like RELAYER_TOKEN",
    ),
    "two places": (
        f"bot_token_env: B, bot_token_file: /b, app_token_env: A, {IDS}",
        "slack: bot_token_file and bot_token_env are two places for one secret; keep one",
    ),
    "no ids": (
        "bot_token_env: B, app_token_env: A",
        f"{NEEDS} team and app and channel beside it",
    ),
    "no channel": (
        "bot_token_env: B, app_token_env: A, team: T0, app: A0",
        f"{NEEDS} channel beside it",
    ),
    "no app token": (
        f"bot_token_env: B, {IDS}",
        "slack: mode socket needs app_token_file or app_token_env; mode http needs none, and with"
        " mode none nobody decides from Slack",
    ),
    "no signing secret": (
        f"bot_token_env: B, app_token_env: A, mode: http, {IDS}",
        "slack: mode http needs signing_secret_file or signing_secret_env",
    ),
    "all but the token": (
        f"app_token_env: A, {IDS}",
        "slack: nothing goes to Slack without bot_token_file or bot_token_env; add one, or remove"
        " app_token_env, team, app, channel",
    ),
    "mode": ("mode: rtm", "slack.mode: expected 'socket', 'http' or 'none'"),
    "team": ("team: acme", "slack.team: 'acme' is no id of a Slack team; it looks like T024BE7LD"),
    "app": ("app: T0", "slack.app: 'T0' is no id of a Slack app; it looks like A024BE7LF"),
    "channel": (
        "channel: '#ops'",
        "slack.channel: '#ops' is no id of a Slack channel; it looks like C024BE91L",
    ),
    "readable": (
        "api_url: 'http://slack.com/api/'",
        "slack.api_url: the token would travel readable over http; use https",
    ),
    "login": (
        "api_url: 'https://u:hunter2@slack.com/api/'",
        "slack.api_url: credentials in the url; put the token into a file and name bot_token_file",
    ),
    "query": (
        "api_url: 'https://slack.com/api/?x'",
        "slack.api_url: expected the url that method names are put behind, without ? and #",
    ),
    "no address": (
        "api_url: slack.com",
        "slack.api_url: expected a url that begins with https:// or http://",
    ),
    "no host": (
        "api_url: 'https:///api/'",
        "slack.api_url: expected a url that begins with https:// or http://",
    ),
}


@pytest.mark.parametrize(("said", "told"), SLACK_MISTAKES.values(), ids=SLACK_MISTAKES)
def test_a_mistake_about_slack_is_told_without_the_secret(said: str, told: str) -> None:
    found = problems(f"\nslack: {{{said}}}")
    assert found == [f"f:2: {told}"]
    assert not any(secret in found[0] for secret in (TOKEN, "hunter2", "8f74"))


# --- webhooks ------------------------------------------------------------------------------------


def test_a_webhook_is_signed() -> None:
    url = "https://hooks.example.com/x?team=a"
    made = load_text(f"webhooks: [{{name: pager, url: '{url}', secret_env: S, ca_file: /ca}}]")
    (hook,) = made.webhooks
    assert (hook.name, hook.url, hook.secret_env, str(hook.ca_file)) == ("pager", url, "S", "/ca")
    local = "webhooks: [{name: a, url: 'http://localhost:9/x', secret_env: S}]"
    assert load_text(local).webhooks == (
        WebhookSettings(name="a", url="http://localhost:9/x", secret_env="S"),
    )


HOOK_MISTAKES = {
    "secret": (
        "url: 'https://h/x', secret: abc",
        "webhooks[0].secret: secrets are never written here; use secret_file or secret_env",
    ),
    "token": (
        "url: 'https://h/x', token: abc",
        "webhooks[0].token: secrets are never written here; use secret_file or secret_env",
    ),
    "two places": (
        "url: 'https://h/x', secret_env: A, secret_file: b",
        "webhooks[0]: secret_file and secret_env are two places for one secret; keep one",
    ),
    "readable": (
        "url: 'http://h/x'",
        "webhooks[0].url: what is sent would travel readable over http; use https",
    ),
    "login": (
        "url: 'https://hunter2@h/x'",
        "webhooks[0].url: credentials in the url; put a secret that signs into a file and name"
        " secret_file",
    ),
    "other": (
        "url: 'ftp://h/x'",
        "webhooks[0].url: expected a url that begins with https:// or http://",
    ),
    "line feed": (
        'url: "https://h/x\\ny"',
        "webhooks[0].url: expected a url that begins with https:// or http://",
    ),
    "ca over http": (
        "url: 'http://127.0.0.1/x', secret_env: A, ca_file: ca",
        "webhooks[0]: ca_file belongs to an https url",
    ),
    "unsigned": (
        "url: 'https://h/x'",
        "webhooks[0]: every request is signed: name secret_file or secret_env",
    ),
    "no url": ("secret_env: A", "webhooks[0].url: is required"),
}


def test_two_webhooks_have_two_names() -> None:
    two = 2 * "  - {name: pager, url: 'https://h/x', secret_env: A}\n"
    assert problems(f"webhooks:\n{two}") == ["f:3: webhooks[1]: `pager` is there already, line 2"]


@pytest.mark.parametrize(("said", "told"), HOOK_MISTAKES.values(), ids=HOOK_MISTAKES)
def test_a_mistake_about_a_webhook_is_told_without_the_secret(said: str, told: str) -> None:
    found = problems(f"webhooks:\n\n  - {{name: pager, {said}}}")
    assert found == [f"f:3: {told}"]
    assert "hunter2" not in found[0]


# --- routes, digests, notices --------------------------------------------------------------------


def test_a_route_says_what_goes_where() -> None:
    said = (
        "routes:\n  - {to: [slack:C024BE91L, webhook:pager], clusters: [pr*, prod],"
        " pools: [infra, prod/infra, '*/gpu-[ab]'], severities: [critical],"
        " about: [update, notice]}\n"
        "  - {to: [webhook:pager]}"
    )
    assert load_text(f"{SLACK}{HOOKS}{FLEET}{POOL}{said}").routes == (
        Route(
            to=("slack:C024BE91L", "webhook:pager"),
            clusters=("pr*", "prod"),
            pools=("infra", "prod/infra", "*/gpu-[ab]"),
            severities=("critical",),
            about=("update", "notice"),
        ),
        Route(to=("webhook:pager",)),
    )


def test_a_digest_comes_at_its_time() -> None:
    said = (
        "digests:\n  - {name: weekly, to: [webhook:pager], at: 09:00, days: [mon], timezone: CET,"
        " clusters: [prod]}\n  - {name: daily, to: [webhook:pager], at: '07:30'}"
    )
    made = load_text(f"{HOOKS}{FLEET}{said}")
    times = DigestTimes(at="09:00", days=("mon",), timezone="CET")
    to = ("webhook:pager",)
    assert made.digests == (
        DigestSettings(name="weekly", to=to, times=times, clusters=("prod",)),
        DigestSettings(name="daily", to=to, times=DigestTimes(at="07:30")),
    )


def test_a_pool_held_for_long_is_told_of() -> None:
    assert load_text("notices: {hold: 1h}").notices == NoticeSettings(hold_seconds=3600)


PLACES = "write it like slack:C024BE91L or webhook:pager"
PLACE_MISTAKES = {
    "unknown webhook": (
        "routes:\n  - to: [webhook:pagr]",
        "2: routes[0].to[0]: no webhook is named `pagr`; did you mean `webhook:pager`?",
    ),
    "a name of a channel": (
        "routes:\n  - to: ['slack:#ops']",
        f"2: routes[0].to[0]: 'slack:#ops' is no place; {PLACES}",
    ),
    "a person": (
        "routes:\n  - to: ['slack:U024BE7LH']",
        f"2: routes[0].to[0]: 'slack:U024BE7LH' is no place; {PLACES}",
    ),
    "nowhere": (
        "routes:\n  - to: []",
        "2: routes[0].to: needs at least one item (`- …` below it)",
    ),
    "no to": ("routes:\n  - about: [notice]", "2: routes[0].to: is required"),
    "severity": (
        "routes:\n  - {to: [webhook:pager], severities: [error]}",
        "2: routes[0].severities[0]: expected 'info', 'warning' or 'critical'",
    ),
    "about": (
        "routes:\n  - {to: [webhook:pager], about: [all]}",
        "2: routes[0].about[0]: expected 'update' or 'notice'",
    ),
    "cluster": (
        "routes:\n  - {to: [webhook:pager], clusters: [prdo]}",
        "2: routes[0].clusters[0]: no cluster is named `prdo`; did you mean `prod`?",
    ),
    "pool": (
        "routes:\n  - {to: [webhook:pager], pools: [infar]}",
        "2: routes[0].pools[0]: no pool is `infar`; did you mean `infra`?",
    ),
    "pattern": (
        "routes:\n  - {to: [webhook:pager], pools: ['a b*']}",
        "2: routes[0].pools[0]: 'a b*' is no name or pattern; write it like prod or prod-*",
    ),
    "bare star": (
        "routes:\n  - to: [webhook:pager]\n    pools: [*]",
        "3: text that begins with * needs quotes",
    ),
    "digest twice": (
        "digests:\n" + 2 * "  - {name: a, to: [webhook:pager], at: 09:00}\n",
        "3: digests[1]: `a` is there already, line 2",
    ),
    "digest's time": (
        "digests:\n  - {name: a, to: [webhook:pager], at: 9am}",
        "2: digests[0].at: '9am' is no time of day; write HH:MM, for example 22:00",
    ),
    "digest's zone": (
        "digests:\n  - {name: a, to: [webhook:pager], at: 09:00, timezone: Berlin}",
        "2: digests[0].timezone: 'Berlin' is no time zone; write it like Europe/Berlin or UTC",
    ),
    "digest's cluster": (
        "digests:\n  - {name: a, to: [webhook:pager], at: 09:00, clusters: [tst]}",
        "2: digests[0].clusters[0]: no cluster is named `tst`; did you mean `test`?",
    ),
    "digest's place": (
        "digests:\n  - {name: a, to: [webhook:page], at: 09:00}",
        "2: digests[0].to[0]: no webhook is named `page`; did you mean `webhook:pager`?",
    ),
    "notice": (
        "notices: {hold: long}",
        "1: notices.hold: 'long' is no duration; write it like 90s, 10m, 24h or 7d",
    ),
    "the code's unit": (
        "notices: {hold_seconds: 5}",
        "1: unknown key `notices.hold_seconds`; did you mean `hold`?",
    ),
}


@pytest.mark.parametrize(("said", "told"), PLACE_MISTAKES.values(), ids=PLACE_MISTAKES)
def test_a_mistake_about_where_things_go_is_told(said: str, told: str) -> None:
    assert told in [
        one.removeprefix("f:") for one in problems(f"{said}\n{HOOKS}{SLACK}{FLEET}{POOL}")
    ]


def test_nothing_is_sent_to_a_slack_that_is_not_there() -> None:
    said = "routes: [{to: ['slack:C024BE91L']}]"
    assert problems(said) == [
        "f:1: routes[0].to[0]: slack has no bot_token_file or bot_token_env,"
        " so nothing could be said in `slack:C024BE91L`"
    ]


def test_all_of_it_is_printed_as_a_file_that_says_the_same() -> None:
    said = (
        f"{SLACK}{HOOKS}{FLEET}{POOL}notices: {{hold: 0s}}\n"
        "routes: [{to: [webhook:pager, slack:C0], clusters: ['*'], severities: [info]}]\n"
        "digests: [{name: '1e3', to: [slack:D0], at: 23:59, days: [sun, mon], timezone: CET}]\n"
        "people: [{name: 'true', identities: ['cli:nULL']}]"
    )
    settings = load_text(said)
    assert settings.digests[0].name == "1e3"
    assert load_text(effective(settings)) == settings
