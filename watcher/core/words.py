"""Words, quotes and variables of a Containerfile line.

The builders read these with a small shell-like lexer of their own, and so do we: handing the text
to a real shell would run it. Forms on which the builders disagree are refused, not guessed.
"""

import re
from collections.abc import Iterator, Mapping

from watcher.core.facts import Malformed

# Go's unicode.IsSpace; Python's own set also has \x1c to \x1f, which no builder treats as space.
SPACES = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_QUOTED = r"""'[^']*'|"(?:{e}.|[^"{e}])*"|{e}.|[^{s}'"{e}]|{e}\Z"""
_DEEPEST = 20
"""Braces within one another; nobody writes two."""
_LONGEST = 1 << 20
"""Characters from variables in one word: twenty lines of `ENV a=$a$a` would fill the memory."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BRACED = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-+?])(.*))?\}", re.DOTALL)


class Unbalanced(Malformed):
    """A quote is opened and not closed, or the other way round."""


def _word_pattern(escape: str) -> re.Pattern[str]:
    return re.compile(f"(?:{_QUOTED.format(e=re.escape(escape), s=SPACES)})+", re.DOTALL)


_WORDS = {escape: _word_pattern(escape) for escape in "\\`"}


def word_at(text: str, at: int, *, escape: str = "\\") -> re.Match[str]:
    """The word that begins at `at`, quotes and escapes kept; raise Unbalanced."""
    found = _WORDS[escape].match(text, at)
    if not found or (found.end() < len(text) and text[found.end()] not in SPACES):
        raise Unbalanced(f"a quote is not closed: {text[at : at + 60]!r}")
    return found


def words(text: str, *, escape: str = "\\") -> Iterator[str]:
    """The words of `text`, quotes and escapes kept; raise Unbalanced."""
    at = 0
    while (at := _skip_spaces(text, at)) < len(text):
        found = word_at(text, at, escape=escape)
        yield found.group()
        at = found.end()


def _skip_spaces(text: str, at: int) -> int:
    while at < len(text) and text[at] in SPACES:
        at += 1
    return at


def expand(word: str, values: Mapping[str, str], *, escape: str = "\\") -> str:
    """`word` with its variables replaced and its quotes removed.

    Rules of the Containerfile reference, "Environment replacement": an unset variable is empty,
    `${a:-b}` and `${a:+b}` are known, single quotes switch replacement off.
    Raise Malformed for a form only some builders know (`${a#b}`, `${a/b/c}`).
    """
    out: list[str] = []
    at, length, inside_double = 0, 0, False
    while at < len(word):
        char = word[at]
        if char == escape and at + 1 < len(word):
            after = word[at + 1]
            # Within double quotes the escape is text before other characters.
            is_text = inside_double and after not in ('"$' + escape)
            out.append(char + after if is_text else after)
            at += 2
        elif char == "$":
            text, at = _variable(word, at, values, escape)
            length += len(text)
            if length > _LONGEST:
                raise Malformed(f"variables make it longer than {_LONGEST} characters")
            out.append(text)
        elif char == "'" and not inside_double:
            end = word.find("'", at + 1)
            if end < 0:
                raise Unbalanced(f"a quote is not closed: {word[:60]!r}")
            out.append(word[at + 1 : end])
            at = end + 1
        elif char == '"':
            inside_double = not inside_double
            at += 1
        else:
            out.append(char)
            at += 1
    if inside_double:
        raise Unbalanced(f"a quote is not closed: {word[:60]!r}")
    return "".join(out)


def _variable(word: str, at: int, values: Mapping[str, str], escape: str) -> tuple[str, int]:
    """What the `$…` at `at` stands for, and where the text goes on."""
    plain = _NAME.match(word, at + 1)
    if plain:
        return values.get(plain.group(), ""), plain.end()
    if not word.startswith("{", at + 1):
        return "$", at + 1
    end = _closing_brace(word, at + 1)
    form = _BRACED.fullmatch(word, at + 1, end)
    if not form:
        raise Malformed(f"this form of variable is not understood: {word[at:end][:60]!r}")
    name, operator, operand = form.group(1), form.group(2) or "", form.group(3) or ""
    value = values.get(name)
    is_given = bool(value) if operator.startswith(":") else value is not None
    match operator[-1:]:
        case "-":
            return (value or "") if is_given else expand(operand, values, escape=escape), end
        case "+":
            return expand(operand, values, escape=escape) if is_given else "", end
        case "?" if not is_given:
            raise Malformed(f"variable {name} is required: {operand[:100]}")
    return value or "", end


def _closing_brace(word: str, at: int) -> int:
    depth = 0
    for position in range(at, len(word)):
        depth += {"{": 1, "}": -1}.get(word[position], 0)
        if depth > _DEEPEST:
            raise Malformed(f"variables within one another, more than {_DEEPEST} deep")
        if depth == 0:
            return position + 1
    raise Malformed(f"a brace is not closed: {word[at - 1 :][:60]!r}")


def variables(word: str) -> list[str]:
    """The names of the variables in `word`, those in operands too, in order of appearance."""
    return re.findall(r"(?<!\\)\$\{?([A-Za-z_][A-Za-z0-9_]*)", word)
