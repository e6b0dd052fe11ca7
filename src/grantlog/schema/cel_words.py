"""CEL's error texts, read: which finding comes first, where, and in plain words."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple


class Finding(NamedTuple):
    """One of CEL's findings: 1-based line and column in the expression, 0 where it names none."""

    line: int
    column: int
    problem: str


_FINDING: Final = re.compile(
    r"ERROR: <input>:(-?\d+):(-?\d+): (.*?)(?=\n \| |\nERROR: <input>:| \[INVALID_ARGUMENT\]\Z|\Z)",
    re.DOTALL,
)
_ARITHMETIC: Final = frozenset(
    {"_<_", "_<=_", "_>_", "_>=_", "_==_", "_!=_", "_+_", "_-_", "_*_", "_/_"}
)
_TAKEN: Final = re.compile(r"variable '(\w+)' declared multiple times")


def taken_name(text: str) -> str | None:
    """The variable that CEL keeps for itself, if that is the error."""
    match = _TAKEN.search(text)
    return match[1] if match else None


def is_too_deep(text: str) -> bool:
    """Whether CEL stopped at its own bound on nesting."""
    return "recursion" in text


def first_finding(text: str) -> Finding:
    """The finding that comes first in the expression; CEL lists them as it meets them."""
    found = [Finding(int(m[1]), int(m[2]), _plain(m[3])) for m in _FINDING.finditer(text)]
    placed = [finding for finding in found if finding.line >= 1]
    return min(placed, key=lambda f: (f.line, f.column), default=Finding(0, 0, text))


def _plain(message: str) -> str:
    """CEL's message without the parser's vocabulary, and with what to do."""
    for pattern, words in _REWORDED:
        if match := pattern.fullmatch(message):
            return words(match)
    return message.removeprefix("Syntax error: ")


def _unexpected(match: re.Match[str]) -> str:
    if match[1] == "<EOF>":
        return "the expression ends too early"
    return f"`{match[1]}` is not expected here"


def _missing(match: re.Match[str]) -> str:
    before = "the end" if match[2] == "<EOF>" else f"`{match[2]}`"
    return f"{match[1]} is missing before {before}"


def _unreadable(match: re.Match[str]) -> str:
    return f"CEL cannot read `{match[1].rstrip(chr(39))}`"


def _undeclared(match: re.Match[str]) -> str:
    return (
        f"`{match[1]}` is neither a parameter nor a function (data of the request is read as "
        "context.data.x)"
    )


def _overload(match: re.Match[str]) -> str:
    function, types = match[1], match[2]
    operator = function.strip("_") if function.startswith(("_", "!", "-")) else function
    mixes = function in _ARITHMETIC and sorted(types.split(", ")) == ["double", "int"]
    hint = "; write 5.0 for 5, or convert with double(x)" if mixes else ""
    return f"`{operator}` does not apply to ({types}){hint}"


_REWORDED: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = tuple(
    (re.compile(pattern, re.DOTALL), words)
    for pattern, words in (
        (r"Syntax error: (?:mismatched|extraneous) input '(.*?)' expecting .*", _unexpected),
        (r"Syntax error: missing (.*?) at '(.*?)'", _missing),
        (r"Syntax error: token recognition error at: '?(.*)", _unreadable),
        (r"undeclared reference to '(.*?)' \(in container ''\)", _undeclared),
        (r"found no matching overload for '(.*?)' applied to '\(?(.*?)\)?'", _overload),
    )
)
