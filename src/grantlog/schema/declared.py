"""What a schema declares, by name, and what subjects its relations can lead to.

Where a name is declared twice the first one counts; compile.py refuses the second.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from grantlog.model.attributes import TYPES_BY_WORD, AttributeType
from grantlog.schema import ast
from grantlog.schema.components import components

TypeSet: TypeAlias = int
"""A set of entity types, one bit each by `Declared.types`: a union is one operation."""


@dataclass(frozen=True, slots=True)
class Declared:
    """The names of a schema.

    Attributes:
        statements: every entity and rule by name.
        types: entity types in source order.
        members: by entity type, every relation, attribute and permission by name.
    """

    statements: Mapping[str, ast.Statement]
    types: tuple[str, ...]
    members: Mapping[str, Mapping[str, ast.Member]]

    def relation(self, type_: str, name: str) -> ast.Relation | None:
        """The relation of that name, if the entity type exists and has one."""
        member = self.members.get(type_, {}).get(name)
        return member if isinstance(member, ast.Relation) else None


@dataclass(frozen=True, slots=True)
class Subjects:
    """Which entity types stand at the end of an arrow.

    Attributes:
        direct: by (entity type, relation), the types that it admits as plain entities, `@t#r`
            standing for what r admits, and so on to the end.
        usersets: by (entity type, relation), the types t of its `@t#r`.
        offering: by name, the types that have a relation or permission of that name.
    """

    direct: Mapping[tuple[str, str], TypeSet]
    usersets: Mapping[tuple[str, str], TypeSet]
    offering: Mapping[str, TypeSet]


def declared(schema: ast.Schema) -> Declared:
    """Collect the names of a schema."""
    statements: dict[str, ast.Statement] = {}
    for statement in schema.statements:
        statements.setdefault(statement.name.text, statement)
    members: dict[str, dict[str, ast.Member]] = {}
    for name, statement in statements.items():
        if isinstance(statement, ast.Entity):
            own = members[name] = {}
            for member in statement.members:
                own.setdefault(member.name.text, member)
    return Declared(statements, tuple(members), members)


def attribute_type(word: ast.TypeWord) -> AttributeType | None:
    """The type that a word of the schema names, if it names one."""
    return TYPES_BY_WORD.get(str(word))


def subjects(names: Declared) -> Subjects:
    """Follow every relation to the entity types of its subjects; undefined names are passed over.

    Relations that admit each other's usersets form a component and share one answer, so recursion
    ends and the work is linear in the number of types written.
    """
    bit = {type_: 1 << number for number, type_ in enumerate(names.types)}
    relations = [
        (type_, member)
        for type_, members in names.members.items()
        for member in members.values()
        if isinstance(member, ast.Relation)
    ]
    number = {(type_, member.name.text): n for n, (type_, member) in enumerate(relations)}
    plain, usersets = [0] * len(relations), [0] * len(relations)
    follows: list[list[int]] = [[] for _ in relations]
    for n, (_, member) in enumerate(relations):
        for subject in member.types:
            type_ = subject.type.text
            if subject.relation is None:
                plain[n] |= bit.get(type_, 0)
            elif (userset := number.get((type_, subject.relation.text))) is not None:
                usersets[n] |= bit[type_]
                follows[n].append(userset)
    direct = _closed(plain, follows)
    return Subjects(
        {key: direct[n] for key, n in number.items()},
        {key: usersets[n] for key, n in number.items()},
        _offering(names, bit),
    )


def _closed(plain: list[TypeSet], follows: list[list[int]]) -> list[TypeSet]:
    """Each node's own set and those of all it leads to."""
    component = components(follows)
    of_component = [0] * len(plain)
    # Components are numbered so that one leads only to itself and to smaller numbers.
    for n in sorted(range(len(plain)), key=component.__getitem__):
        mine = component[n]
        of_component[mine] |= plain[n]
        for other in follows[n]:
            of_component[mine] |= of_component[component[other]]
    return [of_component[mine] for mine in component]


def _offering(names: Declared, bit: Mapping[str, TypeSet]) -> Mapping[str, TypeSet]:
    offering: defaultdict[str, TypeSet] = defaultdict(int)
    for type_, members in names.members.items():
        for name, member in members.items():
            if not isinstance(member, ast.Attribute):
                offering[name] |= bit[type_]
    return offering
