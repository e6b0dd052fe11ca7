"""The shape of a schema as written: names may still be undefined. Comments are not in it.

Nodes are equal when they say the same; where they stand in the text does not count.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from grantlog.schema.compiled import Operator
from grantlog.schema.source import Position


@dataclass(frozen=True, slots=True)
class Name:
    """A name where it is declared or used."""

    text: str
    at: Position = field(compare=False)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Path:
    """`a` or `a.b`; longer paths parse, so that the compiler can say what to do instead."""

    parts: tuple[Name, ...]

    @property
    def at(self) -> Position:
        """Where the first name stands."""
        return self.parts[0].at

    def __str__(self) -> str:
        return ".".join(part.text for part in self.parts)


@dataclass(frozen=True, slots=True)
class Call:
    """`rule(a, b)`."""

    rule: Name
    arguments: tuple[Path, ...]

    @property
    def at(self) -> Position:
        """Where the rule's name stands."""
        return self.rule.at


@dataclass(frozen=True, slots=True)
class Binary:
    """`left or right`, `left and right`, `left not right`; chains nest to the left."""

    operator: Operator
    left: Expr
    right: Expr
    at: Position = field(compare=False)
    """Where the operator stands."""
    depth: int = field(compare=False)
    """Operators on the longest path down, this one included."""


Expr: TypeAlias = Binary | Path | Call


@dataclass(frozen=True, slots=True)
class SubjectType:
    """`@user` or `@group#member`."""

    type: Name
    relation: Name | None


@dataclass(frozen=True, slots=True)
class Relation:
    """`relation owner @user @group#member`."""

    name: Name
    types: tuple[SubjectType, ...]


@dataclass(frozen=True, slots=True)
class TypeWord:
    """`string` or `string[]`; the word may still be unknown."""

    word: Name
    is_array: bool

    def __str__(self) -> str:
        return self.word.text + ("[]" if self.is_array else "")


@dataclass(frozen=True, slots=True)
class Attribute:
    """`attribute tags string[]`."""

    name: Name
    type: TypeWord


@dataclass(frozen=True, slots=True)
class Permission:
    """`permission view = owner or parent.view`; `action` is the same word."""

    name: Name
    expr: Expr


Member: TypeAlias = Relation | Attribute | Permission


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity type and its members in source order."""

    name: Name
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A rule's parameter: `balance integer`."""

    name: Name
    type: TypeWord


@dataclass(frozen=True, slots=True)
class Rule:
    """A named CEL predicate."""

    name: Name
    parameters: tuple[Parameter, ...]
    body: str
    """Everything between the braces, as written (line ends are `\\n`)."""
    body_at: Position = field(compare=False)
    """Where the body's first character stands."""
    expression: str = field(compare=False)
    """The body with block comments made blank, every position kept: what CEL reads."""


Statement: TypeAlias = Entity | Rule


@dataclass(frozen=True, slots=True)
class Schema:
    """Entities and rules in source order."""

    statements: tuple[Statement, ...]
