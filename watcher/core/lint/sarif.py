"""Complaints as SARIF 2.1.0, as code scanning of GitHub and others reads it.

Sources: OASIS, SARIF 2.1.0; GitHub docs, "SARIF support for code scanning" (which properties are
required, and `partialFingerprints` so that an alert is known again when lines move).
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from urllib.parse import quote

from watcher.core.lint.model import Complaint, Severity
from watcher.core.lint.rules import RULES, Rule

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def sarif(complaints: Iterable[Complaint], *, version: str) -> dict[str, object]:
    """One run of lint, as JSON values. Files must be named relative to the sources' root."""
    places = list(RULES)
    seen: Counter[str] = Counter()
    results = []
    for complaint in complaints:
        results.append(_result(complaint, places.index(complaint.code), seen))
    driver = {
        "name": "relayer lint",
        "version": version,
        "semanticVersion": version,
        "rules": [_rule(rule) for rule in RULES.values()],
    }
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: Rule) -> dict[str, object]:
    said: dict[str, object] = {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.why} {rule.source}".strip()},
        "defaultConfiguration": {"level": _LEVELS[rule.severities[0]]},
        "properties": {"tags": ["containerfile", "openshift"]},
    }
    if rule.source:
        said["helpUri"] = rule.source
    return said


def _result(complaint: Complaint, place: int, seen: Counter[str]) -> dict[str, object]:
    # The line is no part of it: the alert is the same when something is put in above.
    text = f"{complaint.code}\n{complaint.file}\n{complaint.sentence}"
    mark = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
    seen[mark] += 1
    region = {"startLine": complaint.line}
    artifact = {"uri": quote(complaint.file)}
    return {
        "ruleId": complaint.code,
        "ruleIndex": place,
        "level": _LEVELS[complaint.severity],
        "message": {"text": complaint.sentence},
        "locations": [{"physicalLocation": {"artifactLocation": artifact, "region": region}}],
        "partialFingerprints": {"primaryLocationLineHash": f"{mark}:{seen[mark]}"},
    }
