"""Whatever somebody writes as an image, its user and password are shown to nobody."""

from dataclasses import replace

import pytest

from tests.facts import (
    OURS,
    PROD,
    T0,
    a_base,
    a_machine_config,
    a_pool,
    a_release,
    conditions,
    digest,
    running,
)
from watcher.core.classify import Evidence, classify
from watcher.core.facts import without_login, without_logins
from watcher.core.lineage import Lineage
from watcher.core.state import Finding, Flag, State
from watcher.core.tags import TagSeen, moved
from watcher.shown_drift import pool_row

BY_DIGEST = f"@{digest('x')}"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("https://user:pw@host/x", "https://host/x"),
        ("user:pw@host:5000/x:tag", "host:5000/x:tag"),
        (f"user:pw@host/x{BY_DIGEST}", f"host/x{BY_DIGEST}"),
        (f"docker://user:p/w@host/x:1{BY_DIGEST}", f"docker://host/x:1{BY_DIGEST}"),
        ("https://us@er:p@w@host/x", "https://host/x"),
        (f"host:5000/a/b{BY_DIGEST}", f"host:5000/a/b{BY_DIGEST}"),
        ("host/a:tag", "host/a:tag"),
        ("", ""),
    ],
)
def test_an_image_is_shown_without_its_login(written: str, shown: str) -> None:
    assert without_login(written) == shown


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("cannot pull https://a:pw@host/x: 401", "cannot pull https://host/x: 401"),
        (
            "see https://host/x@sha256:ab, and mail a@b",
            "see https://host/x@sha256:ab, and mail a@b",
        ),
        ("http://a:pw@h and docker://b:pw@i/x", "http://h and docker://i/x"),
    ],
)
def test_a_text_quotes_urls_without_their_logins(said: str, shown: str) -> None:
    assert without_logins(said) == shown


def found_of(image: str, *, known: bool = True, ours: bool = True) -> Finding:
    one = running(image=image, ours=ours)
    seen = TagSeen(image=image, uid="u", generation=1, digest=digest("x"), at=T0)
    bad = conditions(Updated="True", Degraded="True:cannot pull https://user:hunter2@host/x")
    return classify(
        Evidence(
            cluster=PROD,
            pool=a_pool(conditions=bad),
            observed_at=T0,
            release=a_release(),
            base=a_base(),
            running=one if known else replace(one, lineage=Lineage()),
            present=replace(one, lineage=Lineage()) if not known else None,
            ours=a_machine_config(OURS, os_image_url=image) if ours else None,
            owner="" if known else "moc",
            tag_moved=moved(seen, replace(seen, digest=digest("y"))),
        )
    )


@pytest.mark.parametrize("image", ["https://user:hunter2@host/x", "user:hunter2@host/x:1"])
@pytest.mark.parametrize("known", [True, False])
def test_no_finding_has_the_login_of_an_image(image: str, known: bool) -> None:
    found = found_of(image, known=known)
    assert found.state is (State.TAGGED if known else State.IMAGE_MODE)
    assert found.override is not None
    assert "host/x" in found.override.image
    assert {raised.flag for raised in found.flags} == {Flag.DEGRADED, Flag.TAG_MOVED}
    assert "hunter2" not in str(pool_row(found))
