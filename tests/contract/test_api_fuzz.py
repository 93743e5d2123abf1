"""The API asked by its own document: whatever comes in, no fault of ours and nothing undocumented.

`RELAYER_FUZZ_EXAMPLES=500` looks for longer than the few seconds of a usual run, and by chance.
"""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from tests.contract.api_schema import document
from tests.contract.site import ANN, Site, site
from tests.facts import a_build, an_update
from watcher.alert_rules import RULES
from watcher.core.facts import PoolName
from watcher.core.update_events import UpdateState
from watcher.ports import Change

LONG = os.environ.get("RELAYER_FUZZ_EXAMPLES", "")
EXAMPLES = int(LONG or 5)
HOST = "192.0.2.7"
"""Where reads need a token too, so that it shows if one is not asked for."""
HOLDS = (
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.positive_data_acceptance,
    checks.missing_required_header,
    checks.unsupported_method,
    checks.allow_header_conformance,
    checks.ignored_auth,
)
# 422 too: a schema cannot say that `until` is a moment, a cursor of its list, a reason no blank.
TAKEN = ["2xx", "404", "409", "422", "429"]
TURNED_AWAY = ["401", "403", "404", "413", "415", "422"]
KNOWN = {"until": "3h", "scope": "prod", "rule": RULES[0], "reason": "disks", "cluster": "prod"}
"""What stands in place of any text in half of the requests, so that they get somewhere."""


@pytest.fixture(scope="module")
def there() -> Iterator[Site]:
    """A site with something in each list; each request finds it some seconds later."""
    with asyncio.Runner() as runner, tempfile.TemporaryDirectory() as directory:
        stack = AsyncExitStack()

        async def begun() -> Site:
            made = await stack.enter_async_context(site(Path(directory), host=HOST))
            for number in range(1, 4):
                pool = PoolName("infra" if number == 1 else f"p{number}")
                state = UpdateState.AWAITING_APPROVAL
                await made.put(an_update(id=f"u-{number}", pool=pool, state=state))
            await made.service.store.commit([Change(job=a_build(id="b-1"), expected=0)], [])
            return made

        yield runner.run(begun())
        runner.run(stack.aclose())


@pytest.fixture(scope="module")
def schema(there: Site) -> Any:
    """The document as schemathesis reads it."""
    loaded = schemathesis.openapi.from_dict(document(there.app.state.api))
    loaded.app = there.app
    loaded.config.checks.positive_data_acceptance.expected_statuses = TAKEN
    loaded.config.checks.negative_data_rejection.expected_statuses = TURNED_AWAY
    return loaded


def fuzz(there: Site, operation: Any, mode: GenerationMode, *, knows: bool = False) -> set[int]:
    """Ask one operation for what its schema allows, or does not; return which statuses came."""
    headers = {"Authorization": f"Bearer {ANN}", "Host": HOST}

    @settings(
        max_examples=EXAMPLES,
        derandomize=not LONG,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def asked(case: Any) -> None:
        there.service.clock.advance(10)  # nobody is asked to wait
        if knows:
            _made_known(case)
        answer = case.call_and_validate(headers=headers, checks=list(HOLDS))
        seen.add(answer.status_code)

    seen: set[int] = set()
    asked()
    return seen


def _made_known(case: Any) -> None:
    """Have it ask for what there is."""
    what = case.operation.path.rpartition("/")[2]
    job = "b-1" if "/builds/" in case.operation.path else f"u-{NUMBERS.get(what, 1)}"
    there = {"id": job, "cluster": "prod", "pool": "infra"}
    case.path_parameters = {name: there[name] for name in case.path_parameters}
    for said in (case.query, case.body):
        if isinstance(said, dict):
            said.update({name: KNOWN[name] for name in said if name in KNOWN})


NUMBERS = {"approve": 1, "reject": 2, "snooze": 3}


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_no_request_finds_a_fault(there: Site, schema: Any, mode: GenerationMode) -> None:
    seen: dict[str, set[int]] = {}
    for found in schema.get_all_operations():
        operation = found.ok()
        if not operation.path.endswith("/events"):  # it never ends
            seen[operation.label] = fuzz(there, operation, mode)
            if mode is GenerationMode.POSITIVE:
                seen[operation.label] = fuzz(there, operation, mode, knows=True)
    assert len(seen) == len(there.app.state.api.operations) - 1
    if mode is GenerationMode.POSITIVE:
        dead = "POST /api/v1/dead-letters/{id}/revive"  # nothing is dead there
        assert [label for label, came in seen.items() if came <= {404, 422} and label != dead] == []
