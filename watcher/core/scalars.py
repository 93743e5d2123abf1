"""What a plain YAML scalar means, in the configuration and in dumps alike.

Fewer words than YAML 1.1 has: `no`, `on` and 0777 stay text, as people mean them.
"""

import re

_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "true": True, "false": False}


def read_plain(text: str) -> str | int | float | bool | None:
    """Return the value of a scalar that is neither quoted nor a block."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if (number := _NUMBER.fullmatch(text)) and len(text) < 40:
        return float(text) if number.group(2) or number.group(3) else int(text)
    return text
