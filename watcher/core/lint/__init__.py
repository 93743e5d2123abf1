"""Looks at a recipe before it is built: what nodes, builds or approvers would suffer from.

`check.lint` reads it with the scanner that the builds use, asks every rule of `rules.RULES`, and
leaves out what a comment in the Containerfile says to ignore. docs/lint.md is compared with it.
"""

from watcher.core.lint.check import lint, sentences
from watcher.core.lint.model import Complaint, PoolContext, Severity
from watcher.core.lint.of_pool import context_of
from watcher.core.lint.rules import RULES, Rule

__all__ = [
    "RULES",
    "Complaint",
    "PoolContext",
    "Rule",
    "Severity",
    "context_of",
    "lint",
    "sentences",
]
