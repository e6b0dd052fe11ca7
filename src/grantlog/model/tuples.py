"""Entities, subjects and relation tuples, with their text forms.

They are NamedTuples, not frozen dataclasses: checks hash and compare them by the thousand, and a
tuple's hash and equality run in C (benchmarks/engine_micro.py is the judge).
"""

from __future__ import annotations

from typing import NamedTuple

from grantlog.errors import InvalidInputError
from grantlog.model.ids import ID, NAME


class Entity(NamedTuple):
    """A typed thing: `doc:1`."""

    type: str
    id: str

    def __str__(self) -> str:
        return f"{self.type}:{self.id}"


class Subject(NamedTuple):
    """Who asks or is related: an entity, or with `relation` a userset: `group:eng#member`.

    `relation` is "" for a plain entity; the ellipsis `...` of string forms is normalised to "".
    """

    type: str
    id: str
    relation: str = ""

    def __str__(self) -> str:
        return (
            f"{self.type}:{self.id}#{self.relation}" if self.relation else f"{self.type}:{self.id}"
        )


class RelationTuple(NamedTuple):
    """One stated fact: `doc:1#viewer@group:eng#member`."""

    entity: Entity
    relation: str
    subject: Subject

    def __str__(self) -> str:
        return f"{self.entity}#{self.relation}@{self.subject}"


def parse_entity(text: str) -> Entity:
    """Read `type:id`; the id may itself contain colons.

    Raises:
        InvalidInputError: the text is not an entity.
    """
    type_, colon, id_ = text.partition(":")
    if not colon or not NAME.fullmatch(type_) or not ID.fullmatch(id_):
        raise InvalidInputError(f"{text!r} is not an entity: {_why_no_entity(type_, colon, id_)}")
    return Entity(type_, id_)


def _why_no_entity(type_: str, colon: str, id_: str) -> str:
    """What is wrong with it; the first character that cannot stand there is named."""
    if not (type_ and colon and id_):
        return "expected type:id, as doc:1"
    for char in type_:
        if not NAME.fullmatch(char):
            return f"{char!r} cannot stand in a type, which is of the letters a-z, A-Z and _"
    for char in id_:
        if char == "*" or not ID.fullmatch(char):
            return f"{char!r} cannot stand in an id, which is of letters, digits and _-@.:+"
    return "a type or an id is longer than 128 characters"


def parse_subject(text: str) -> Subject:
    """Read `type:id` or `type:id#relation`.

    Raises:
        InvalidInputError: the text is not a subject.
    """
    head, hash_, relation = text.partition("#")
    if relation == "...":
        relation = ""
    elif hash_ and not NAME.fullmatch(relation):
        raise InvalidInputError(f"{text!r} is not a subject: expected type:id or type:id#relation")
    entity = parse_entity(head)
    return Subject(entity.type, entity.id, relation)


def parse_tuple(text: str) -> RelationTuple:
    """Read `doc:1#viewer@user:2` or `doc:1#viewer@group:eng#member`.

    Ids may contain `@` and `:`; names may not, so the first `#` ends the entity and the first `@`
    behind it ends the relation.

    Raises:
        InvalidInputError: the text is not a relation tuple.
    """
    head, hash_, rest = text.partition("#")
    relation, at, subject = rest.partition("@")
    if not hash_ or not at or not NAME.fullmatch(relation):
        raise InvalidInputError(
            f"{text!r} is not a relation tuple: expected type:id#relation@type:id[#relation]"
        )
    return RelationTuple(parse_entity(head), relation, parse_subject(subject))
