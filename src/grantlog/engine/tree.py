"""The tree that Expand answers: the schema's expressions with facts in their leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from grantlog.model.attributes import AttributeValue
from grantlog.model.tuples import Entity, Subject
from grantlog.schema.compiled import Operator


@dataclass(slots=True)
class Branch:
    """An operator over trees, in source order."""

    operator: Operator
    children: list[Tree]


@dataclass(slots=True)
class SubjectsLeaf:
    """The subjects of a relation: entities first, then usersets, each sorted."""

    subjects: Sequence[Subject]


@dataclass(slots=True)
class ValueLeaf:
    """The value of a boolean attribute; false where it is not set."""

    value: AttributeValue


@dataclass(slots=True)
class ValuesLeaf:
    """The values that a rule would see, by the names of its arguments."""

    values: Mapping[str, AttributeValue]


Content: TypeAlias = Branch | SubjectsLeaf | ValueLeaf | ValuesLeaf


@dataclass(slots=True)
class Tree:
    """A node: what `permission` of `entity` is.

    Attributes:
        permission: a name; of an arrow `a.b` its relation `a`, of a call its rule.
        arguments: of a call.
        content: what it consists of.
    """

    entity: Entity
    permission: str
    arguments: tuple[str, ...] = ()
    content: Content = field(default_factory=lambda: SubjectsLeaf(()))
