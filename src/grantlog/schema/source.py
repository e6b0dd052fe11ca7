"""Places in a schema text, and errors that point at them. What is wrong is decided elsewhere."""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

from grantlog.errors import SchemaError
from grantlog.schema import limits


class Position(NamedTuple):
    """A place in the text: 1-based line and column, columns in code points."""

    line: int
    column: int


class RefusalError(Exception):
    """A finding at a place; `point_at` makes it the SchemaError that callers see."""

    def __init__(self, problem: str, at: Position, reason: str = "ERROR_CODE_SCHEMA_PARSE") -> None:
        super().__init__(problem)
        self.problem = problem
        self.at = at
        self.reason = reason


def normalise(text: str) -> str:
    """Drop a leading byte order mark and make each line end one newline, as positions count."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def position_of(text: str, offset: int) -> Position:
    """The place of a 0-based offset in a normalised text."""
    line_start = text.rfind("\n", 0, offset) + 1
    return Position(text.count("\n", 0, offset) + 1, offset - line_start + 1)


def point_at(text: str, refusal: RefusalError) -> SchemaError:
    """The error with its place and the offending line of a normalised text."""
    problem = refusal.problem
    if len(problem) > limits.problem_chars_max:
        problem = problem[: limits.problem_chars_max - 1] + "…"
    return SchemaError(
        problem,
        line=refusal.at.line,
        column=refusal.at.column,
        excerpt=excerpt(text, refusal.at),
        reason=refusal.reason,
    )


def excerpt(text: str, at: Position) -> str:
    """The line of `at`, at most `excerpt_chars_max` of it, with a caret under the column.

    Tabs stay tabs in both lines, and wide characters get a wide blank, so that the caret stands
    where it should in a terminal; control characters are made visible and harmless. Empty where
    the line has nothing to show.
    """
    lines = text.split("\n", at.line)
    line = lines[at.line - 1] if at.line <= len(lines) else ""
    if not line.strip():
        return ""
    start = max(0, at.column - 1 - limits.excerpt_chars_max // 2)
    shown = line[start : start + limits.excerpt_chars_max]
    before = shown[: at.column - 1 - start]
    head, tail = "…" * (start > 0), "…" * (start + len(shown) < len(line))
    shown = "".join(_harmless(char) for char in shown)
    caret = " " * len(head) + "".join(_blank_like(char) for char in before) + "^"
    return f"{head}{shown}{tail}\n{caret}"


def _harmless(char: str) -> str:
    return "\ufffd" if char != "\t" and unicodedata.category(char) in ("Cc", "Cs") else char


def _blank_like(char: str) -> str:
    if char == "\t":
        return char
    return "  " if unicodedata.east_asian_width(char) in ("W", "F") else " "
