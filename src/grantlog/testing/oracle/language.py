"""Reads schemas by recursive descent: enough of the language for generated worlds.

Rules are known by their names, not by their bodies: the oracle has its own idea of what each of
`RULES` means.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

Formula: TypeAlias = "tuple[str, Formula, Formula] | tuple[str, str, str]"
"""("or" | "and" | "not", left, right), ("name", n, ""), ("arrow", a, b) or ("rule", r, "")."""


@dataclass(slots=True)
class TypeWords:
    """What an entity type declares."""

    relations: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
    permissions: dict[str, Formula] = field(default_factory=dict)


@dataclass(slots=True)
class Language:
    """A schema as the oracle understands it; `rules` maps each to its parameters' type words."""

    types: dict[str, TypeWords] = field(default_factory=dict)
    rules: dict[str, dict[str, str]] = field(default_factory=dict)


class RuleError(Exception):
    """A rule that cannot be evaluated."""


def _need(data: Mapping[str, object], key: str) -> object:
    if key not in data:
        raise RuleError(key)
    return data[key]


def _odd(level: object) -> bool:
    return isinstance(level, int) and abs(level) % 2 == 1


def _shares(level: object) -> bool:
    """CEL divides integers towards zero."""
    if not isinstance(level, int) or level == 0:
        raise RuleError("division by zero")
    return int(6 / level) == 2  # noqa: PLR2004 - the rule's own literal


def _within(score: object, limit: object) -> bool:
    if not isinstance(score, int | float) or not isinstance(limit, int | float):
        raise RuleError("not numbers")
    return score <= limit


def _holds(value: object, items: object) -> bool:
    return isinstance(items, tuple) and value in items


Meaning: TypeAlias = "Callable[[Mapping[str, object], Mapping[str, object]], bool]"

RULES: Final[dict[str, tuple[str, str, Meaning]]] = {
    "odd": ("level integer", "level % 2 == 1 || level % 2 == -1", lambda a, _: _odd(a["level"])),
    "shares": ("level integer", "6 / level == 2", lambda a, _: _shares(a["level"])),
    "tagged": ("tag string", "tag == context.data.tag", lambda a, d: a["tag"] == _need(d, "tag")),
    "within": (
        "score double",
        "score <= context.data.limit",
        lambda a, d: _within(a["score"], _need(d, "limit")),
    ),
    "listed": (
        "tags string[], tag string",
        "tag in tags",
        lambda a, _: _holds(a["tag"], a["tags"]),
    ),
}
"""Rules of generated schemas: parameters and body as written, and what they mean."""

ZEROS: Final[dict[str, object]] = {
    "boolean": False,
    "integer": 0,
    "double": 0.0,
    "string": "",
    "string[]": (),
}

_TOKEN: Final = re.compile(r"[A-Za-z_]+(?:\[\])?|[{}()@#.,=]")
_RULE: Final = re.compile(r"rule\s+(\w+)\s*\(([^)]*)\)\s*\{[^}]*\}")


def read_language(text: str) -> Language:
    """Read a schema."""
    language = Language()
    for name, parameters in _RULE.findall(text):
        words = [parameter.split() for parameter in parameters.split(",")]
        language.rules[name] = {word[0]: word[1] for word in words}
    reader = _Reader(_TOKEN.findall(_RULE.sub("", text)))
    while reader.more():
        reader.take("entity")
        name = reader.take()
        language.types[name] = reader.body()
    return language


class _Reader:
    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0

    def more(self) -> bool:
        return self._at < len(self._tokens)

    def peek(self) -> str:
        return self._tokens[self._at] if self.more() else ""

    def take(self, wanted: str = "") -> str:
        token = self.peek()
        if not token or (wanted and token != wanted):
            raise ValueError(f"expected {wanted or 'a word'}, got {token!r}")
        self._at += 1
        return token

    def body(self) -> TypeWords:
        words = TypeWords()
        self.take("{")
        while self.peek() != "}":
            statement, name = self.take(), self.take()
            if statement == "relation":
                words.relations[name] = self.kinds()
            elif statement == "attribute":
                words.attributes[name] = self.take()
            else:
                self.take("=")
                words.permissions[name] = self.expression()
        self.take("}")
        return words

    def kinds(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        while self.peek() == "@":
            self.take("@")
            type_ = self.take()
            relation = ""
            if self.peek() == "#":
                self.take("#")
                relation = self.take()
            found.append((type_, relation))
        return found

    def expression(self) -> Formula:
        left = self.operand()
        while self.peek() in {"and", "or", "not"}:
            operator = self.take()
            left = (operator, left, self.operand())
        return left

    def operand(self) -> Formula:
        if self.peek() == "(":
            self.take("(")
            inner = self.expression()
            self.take(")")
            return inner
        name = self.take()
        if self.peek() == ".":
            self.take(".")
            return ("arrow", name, self.take())
        if self.peek() == "(":
            while self.take() != ")":
                pass
            return ("rule", name, "")
        return ("name", name, "")
