"""Facts of base.v1 to values of the model; what a consumer of changes needs too."""

from __future__ import annotations

from typing import Final

from grantlog.api.v1 import base_pb2
from grantlog.model.attributes import Attribute
from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.wire.values import attribute_value_from_any

_ELLIPSIS: Final = "..."


def entity(message: base_pb2.Entity) -> Entity:
    """The entity of a message."""
    return Entity(message.type, message.id)


def subject(message: base_pb2.Subject) -> Subject:
    """The subject of a message, with `...` taken as no relation."""
    relation = message.relation
    return Subject(message.type, message.id, "" if relation == _ELLIPSIS else relation)


def relation_tuple(message: base_pb2.Tuple) -> RelationTuple:
    """The tuple of a message."""
    return RelationTuple(entity(message.entity), message.relation, subject(message.subject))


def attribute(message: base_pb2.Attribute) -> Attribute:
    """The attribute of a message.

    Raises:
        ForeignValueError: the value is missing or of none of the eight types.
        InvalidInputError: the value is unreadable, not finite or holds a NUL.
    """
    value = attribute_value_from_any(message.value)
    return Attribute(entity(message.entity), message.attribute, value)
