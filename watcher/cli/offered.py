"""`relayer releases`: to which releases a cluster may go, and at which risk."""

from collections.abc import Iterator
from typing import Any

from watcher.cli import output, reach
from watcher.cli.exits import Code
from watcher.cli.output import Format, say, table
from watcher.cli.reach import Flags, Need
from watcher.core import graph
from watcher.core.cluster import ClusterVersion, OfferedUpdate, Risk
from watcher.core.stages import line
from watcher.errors import Refused

_LONGEST_MESSAGE = 600


async def releases(flags: Flags, form: Format) -> Code:
    """Print what the cluster is offered; raise Refused, Transient or Usage if it cannot be read."""
    async with reach.opened(flags, cluster=Need.ANSWER) as at:
        cv = at.view.cluster_version if at.view else None
        name, problems = at.name, "; ".join(at.view.problems if at.view else ())
    if cv is None:
        raise Refused(f"{name}: {problems or 'there is no ClusterVersion'}")
    offers = sorted(cv.offered, key=lambda one: graph.order(one.version), reverse=True)
    if form.is_data:
        output.data(_as_json(name, cv, offers), form)
    else:
        _print(name, cv, offers)
    return Code.OK


def _applies(offer: OfferedUpdate) -> str:
    """Whether one of its risks applies to this cluster."""
    if offer.recommended:
        return "no"
    return "yes" if offer.is_evaluated else "not known"


def _told(offer: OfferedUpdate) -> tuple[Risk, ...]:
    """Its risks; one that is not recommended and says none has one that nobody names."""
    return offer.risks or (() if offer.recommended else (Risk(name=graph.UNKNOWN_RISK),))


def _matching(risk: Risk) -> str:
    if risk.always:
        return "every cluster"
    return "clusters that a query finds" if risk.promql else "not told"


def _as_json(name: str, cv: ClusterVersion, offers: list[OfferedUpdate]) -> dict[str, Any]:
    return {
        "cluster": name,
        "version": line(cv.desired_version),
        "channel": line(cv.channel) or None,
        "releases": [
            {
                "version": line(offer.version),
                "image": line(offer.image),
                "url": line(offer.url) or None,
                "recommended": offer.recommended,
                "applies": _applies(offer) if _told(offer) else None,
                "why": line(offer.why, limit=_LONGEST_MESSAGE) or None,
                "risks": [
                    {
                        "name": line(risk.name),
                        "message": line(risk.message, limit=_LONGEST_MESSAGE) or None,
                        "url": line(risk.url) or None,
                        "concerns": _matching(risk),
                    }
                    for risk in _told(offer)
                ],
            }
            for offer in offers
        ],
    }


def _print(name: str, cv: ClusterVersion, offers: list[OfferedUpdate]) -> None:
    where = f"{name} has {line(cv.desired_version)}"
    if not offers:
        say(f"{where}, and is offered nothing" + ("" if cv.channel else ": it follows no channel"))
        return
    table(("VERSION", "RECOMMENDED", "APPLIES HERE", "RISKS"), map(_row, offers))
    for number, (risk, versions) in enumerate(_risks(offers)):
        if not number:
            say()
        say(f"{line(risk.name)} ({', '.join(map(line, versions))}); concerns {_matching(risk)}")
        for text in (line(risk.message, limit=_LONGEST_MESSAGE), line(risk.url)):
            if text:
                say(f"  {text}")


def _row(offer: OfferedUpdate) -> tuple[str, str, str, str]:
    told = _told(offer)
    return (
        offer.version,
        "yes" if offer.recommended else "under conditions",
        _applies(offer) if told else "",
        ", ".join(risk.name for risk in told),
    )


def _risks(offers: list[OfferedUpdate]) -> Iterator[tuple[Risk, list[str]]]:
    """Each risk once, with the versions that have it."""
    by: dict[Risk, list[str]] = {}
    for offer in offers:
        for risk in _told(offer):
            by.setdefault(risk, []).append(offer.version)
    yield from by.items()
