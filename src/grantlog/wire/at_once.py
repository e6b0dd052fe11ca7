"""Requests with many entries, validated and made into values of the model in one pass.

`validate` and `convert` each go through every entry, and every field of a message that is looked at
has its price. Here an entry is gone through once. What is not surely valid is left to `validate`,
which alone says what is wrong with a request. Hot: benchmarks/bulk_pieces.py is the judge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

from grantlog.api.v1 import service_pb2
from grantlog.model.ids import ID, NAME
from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.wire import facts
from grantlog.wire.validate import validate, validate_around

NAMES_MAX: Final = 10_000
"""Names that are known to be valid; types, relations and permissions of all schemas are few."""

T = TypeVar("T")

_IS_ID: Final = ID.fullmatch


class Question(NamedTuple):
    """An item of a bulk check, as far as it is the item's own."""

    entity: Entity
    permission: str
    subject: Subject


class BulkAsked(NamedTuple):
    """A valid request of many checks, and its items."""

    request: service_pb2.PermissionBulkCheckRequest
    questions: list[Question]


class DataAsked(NamedTuple):
    """A valid request to write facts, and its tuples; its attributes are not read yet."""

    request: service_pb2.DataWriteRequest
    tuples: list[RelationTuple]


class RelationshipsAsked(NamedTuple):
    """A valid request to write tuples, and these."""

    request: service_pb2.RelationshipWriteRequest
    tuples: list[RelationTuple]


def read_bulk(request: service_pb2.PermissionBulkCheckRequest) -> BulkAsked:
    """A bulk check's request.

    Raises:
        FieldViolationError: as `validate`.
    """
    questions = _read(request.items, "permission", Question)
    if questions is None:
        validate(request)
        questions = [
            Question(facts.entity(item.entity), item.permission, facts.subject(item.subject))
            for item in request.items
        ]
    else:
        validate_around(request, "items")
    return BulkAsked(request, questions)


def read_data(request: service_pb2.DataWriteRequest) -> DataAsked:
    """A data write's request.

    Raises:
        FieldViolationError: as `validate`.
    """
    return DataAsked(request, _tuples(request))


def read_relationships(request: service_pb2.RelationshipWriteRequest) -> RelationshipsAsked:
    """The older data write's request.

    Raises:
        FieldViolationError: as `validate`.
    """
    return RelationshipsAsked(request, _tuples(request))


READERS: Final[Mapping[str, Callable[[Any], object]]] = MappingProxyType(
    {
        "/base.v1.Permission/BulkCheck": read_bulk,
        "/base.v1.Data/Write": read_data,
        "/base.v1.Data/WriteRelationships": read_relationships,
    }
)
"""By full method, what is made of a request instead of validating it alone."""


def _tuples(
    request: service_pb2.DataWriteRequest | service_pb2.RelationshipWriteRequest,
) -> list[RelationTuple]:
    found = _read(request.tuples, "relation", RelationTuple)
    if found is None:
        validate(request)
        return [facts.relation_tuple(item) for item in request.tuples]
    validate_around(request, "tuples")
    return found


class _Names(dict[str, str]):
    """Valid names by themselves, each one text for all who have it; "" for what is none."""

    def __missing__(self, text: str) -> str:
        if not NAME.fullmatch(text):
            return ""
        if len(self) >= NAMES_MAX:
            self.clear()
        self[text] = text
        return text


_NAMES: Final = _Names()


def _read(
    entries: Iterable[Any], named: str, make: Callable[[Entity, str, Subject], T]
) -> list[T] | None:
    """What is made of each entry's entity, name and subject; None if they may not all be valid.

    An entity or a subject that is not there has no valid type.
    """
    names, is_id = _NAMES, _IS_ID
    made: list[T] = []
    for entry in entries:
        entity, subject = entry.entity, entry.subject
        type_, name, kind = names[entity.type], names[getattr(entry, named)], names[subject.type]
        id_, subject_id, relation = entity.id, subject.id, subject.relation
        if relation:
            relation = names[relation] or None
        if not (type_ and name and kind and is_id(id_) and is_id(subject_id)) or relation is None:
            return None
        made.append(make(Entity(type_, id_), name, Subject(kind, subject_id, relation)))
    return made
