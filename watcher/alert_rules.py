"""The names of alert rules, as people write them: in settings, in silences, on the command line."""

from watcher.core.alert_rule import Rule

NEWS = frozenset({Rule.AVAILABLE, Rule.FROZEN})
"""What is told, and is no alert."""
RULES: tuple[str, ...] = tuple(str(rule) for rule in Rule if rule not in NEWS)
