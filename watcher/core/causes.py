"""What makes two sentences tell of one cause: all that is left without names, numbers and times."""

import re
from functools import lru_cache

MOST_READ = 1200
"""Characters of a sentence that are looked at."""
COMPARED = 200
"""Characters of it that make it the same cause: what differs behind them are details."""

_UNREACHED = re.compile(r"cannot be looked at.*?⟨(.*?)⟩", re.DOTALL)
"""What the planner says of a look that failed outside, and the host in it."""
_ADDRESS = re.compile(
    r"https?://([^\s/⟩]+)\S*|((?:[\w*-]+\.)+[\w*-]+(?::\d+)?|[\w*-]+:\d+)/\S+", re.ASCII
)
_CALL = re.compile(r"\b(?:GET|HEAD|POST|PUT|PATCH|DELETE) ")
_JOB = re.compile(r"\b[ub]-[0-9a-z]+(?:-[0-9a-f]+)?\b")
_NODE = re.compile(r"\b([Nn]ode) [^\s,;:]+")
_NUMBER = re.compile(r"\w*[0-9]\w*|\b[0-9a-f]{8,}\b", re.ASCII)
_NUMBERS = re.compile(r"#(?:[\s.:,/+-]*#)*")
_UNIT = re.compile(r"# ?(?:ms|seconds?|s|minutes?|min|m|hours?|h|days?|d)\b")


@lru_cache(maxsize=2048)
def same(sentence: str, cluster: str, pool: str) -> str:
    """Return the sentence without what is not its cause: names of the pool, of updates, builds and
    nodes, paths, numbers, digests and times. What failed to reach a host is the same by the host.
    """
    names = "|".join(re.escape(name) for name in (f"{cluster}/{pool}", cluster, pool) if name)
    text = sentence[:MOST_READ]
    if names:
        # A recipe is often called like its pool, and two that are broken are two causes.
        text = re.sub(rf"(?<![^\W_])(?<!recipe )(?:{names})(?![^\W_])", "*", text)
    text = _ADDRESS.sub(lambda found: f"⟨{found[1] or found[2]}⟩", _CALL.sub("", text))
    if reach := _UNREACHED.search(text):
        text = f"cannot be looked at: {reach[1]}"
    text = _NODE.sub(r"\1 *", _JOB.sub("*", text))
    text = _UNIT.sub("#", _NUMBERS.sub("#", _NUMBER.sub("#", text)))
    return " ".join(_NUMBERS.sub("#", text).split())[:COMPARED]
