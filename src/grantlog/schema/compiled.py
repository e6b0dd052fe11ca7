"""A checked schema: what the engine plans from and what the API shows.

Everything here is immutable. Names that appear are known to exist; nothing needs checking again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from grantlog.model.attributes import AttributeType


class Operator(Enum):
    """The algebra; the numbers are the wire's."""

    UNION = 1
    INTERSECTION = 2
    EXCLUSION = 3


@dataclass(frozen=True, slots=True)
class Rewrite:
    """`left or right`, `left and right`, `left not right`; chains nest to the left."""

    operator: Operator
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class ComputedUserset:
    """A relation or permission of the same entity."""

    name: str


@dataclass(frozen=True, slots=True)
class ComputedAttribute:
    """A boolean attribute of the same entity."""

    name: str


@dataclass(frozen=True, slots=True)
class Arrow:
    """`relation.computed`: `computed` of every subject of `relation`, their union."""

    relation: str
    computed: str


@dataclass(frozen=True, slots=True)
class Call:
    """A rule applied to attributes of the same entity; arguments bind by name, not by position."""

    rule: str
    arguments: tuple[str, ...]


Expr: TypeAlias = Rewrite | ComputedUserset | ComputedAttribute | Arrow | Call


@dataclass(frozen=True, slots=True)
class RelationType:
    """A kind of subject that a relation admits: `@user` or `@group#member`."""

    type: str
    relation: str = ""

    def __str__(self) -> str:
        return f"{self.type}#{self.relation}" if self.relation else self.type


@dataclass(frozen=True, slots=True)
class RelationDef:
    """A relation and the kinds of subjects it admits, in source order."""

    name: str
    types: tuple[RelationType, ...]


@dataclass(frozen=True, slots=True)
class PermissionDef:
    """A permission and its expression."""

    name: str
    expr: Expr


@dataclass(frozen=True, slots=True)
class EntityDef:
    """An entity type; the three maps share one namespace and keep source order."""

    name: str
    relations: Mapping[str, RelationDef]
    attributes: Mapping[str, AttributeType]
    permissions: Mapping[str, PermissionDef]


@dataclass(frozen=True, slots=True)
class RuleDef:
    """A CEL predicate over named, typed parameters and `context`."""

    name: str
    parameters: Mapping[str, AttributeType]
    body: str
    """The CEL source as written, with block comments, which CEL lacks, made blank."""
    checked: bytes
    """The type-checked body as `cel.Env.deserialize` reads it: an Any that holds a CheckedExpr."""


@dataclass(frozen=True, slots=True)
class SchemaWarning:
    """Something that is allowed and probably not meant."""

    line: int
    column: int
    text: str


@dataclass(frozen=True, slots=True)
class CompiledSchema:
    """A whole schema; entities and rules share one namespace and keep source order."""

    text: str
    entities: Mapping[str, EntityDef]
    rules: Mapping[str, RuleDef]
    warnings: tuple[SchemaWarning, ...] = ()
