"""Messages of base.v1 to values of the model and back.

Requests have passed `validate` before; what its rules do not cover is refused here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from grantlog.api.v1 import base_pb2
from grantlog.engine.question import NO_CONTEXT, RequestContext
from grantlog.errors import InvalidInputError, LimitError
from grantlog.model.attributes import Attribute
from grantlog.model.bundle import Bundle, BundleOperation
from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.ports.facts import AttributeFilter, TupleFilter
from grantlog.wire import facts
from grantlog.wire.values import attribute_value_to_any

# Who converts requests finds everything here.
entity: Final = facts.entity
subject: Final = facts.subject
relation_tuple: Final = facts.relation_tuple
attribute: Final = facts.attribute

CONTEXT_FACTS_MAX: Final = 10_000
"""Tuples and attributes that may be sent with one question."""

CONTEXT_DATA_BYTES_MAX: Final = 256 * 1024
"""Size of `context.data` as a message."""

FILTER_VALUES_MAX: Final = 10_000
"""Ids, or attributes, that one list of a filter may have."""

SCOPE_IDS_MAX: Final = 100_000
"""Ids that the scope of a lookup may have, of all types together."""

_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def argument_names(arguments: Iterable[base_pb2.Argument]) -> tuple[str, ...]:
    """The attributes that a question's arguments name; an unset argument names none."""
    return tuple(
        argument.computed_attribute.name
        for argument in arguments
        if argument.HasField("computed_attribute")
    )


def request_context(message: base_pb2.Context) -> RequestContext:
    """The facts and data sent with a question.

    Data become plain dictionaries: a rule reads them in half the time that a Struct takes.

    Raises:
        LimitError: they are more than `CONTEXT_FACTS_MAX` or `CONTEXT_DATA_BYTES_MAX`.
        InvalidInputError: as `attribute`.
    """
    _require_small(message)
    data = plain_struct(message.data) if message.HasField("data") else None
    if not (data or message.tuples or message.attributes):
        return NO_CONTEXT
    return RequestContext(
        tuples=tuple(relation_tuple(item) for item in message.tuples),
        attributes=tuple(attribute(item) for item in message.attributes),
        data=data,
    )


def _require_small(message: base_pb2.Context) -> None:
    facts = len(message.tuples) + len(message.attributes)
    if facts > CONTEXT_FACTS_MAX:
        raise LimitError(
            f"the context has {facts} tuples and attributes, at most {CONTEXT_FACTS_MAX} may be "
            "sent with a question: write those that last"
        )
    size = message.data.ByteSize() if message.HasField("data") else 0
    if size > CONTEXT_DATA_BYTES_MAX:
        raise LimitError(
            f"context.data has {size} bytes, at most {CONTEXT_DATA_BYTES_MAX} may be sent with a "
            "question"
        )


def scope(message: Mapping[str, base_pb2.StringArrayValue]) -> dict[str, frozenset[str]]:
    """The ids that a lookup is narrowed to, by type; a type whose list is empty is not narrowed.

    Raises:
        LimitError: they are more than `SCOPE_IDS_MAX`.
    """
    given = {type_: frozenset(ids.data) for type_, ids in message.items() if ids.data}
    count = sum(map(len, given.values()))
    if count > SCOPE_IDS_MAX:
        raise LimitError(f"the scope has {count} ids, at most {SCOPE_IDS_MAX} may be")
    return given


def plain_struct(message: Struct) -> dict[str, Any]:
    """A Struct as a dictionary; its numbers are doubles."""
    return {key: _plain_value(item) for key, item in message.fields.items()}


def _plain_value(message: Value) -> Any:
    match message.WhichOneof("kind"):
        case "struct_value":
            return plain_struct(message.struct_value)
        case "list_value":
            return _plain_list(message.list_value)
        case None | "null_value":
            return None
        case kind:
            return getattr(message, kind)


def _plain_list(message: ListValue) -> list[Any]:
    return [_plain_value(item) for item in message.values]


def tuple_filter(message: base_pb2.TupleFilter) -> TupleFilter:
    """The conditions of a message.

    Raises:
        InvalidInputError: a condition holds a NUL, which no stored text has.
        LimitError: a list is longer than `FILTER_VALUES_MAX`.
    """
    return TupleFilter(
        entity_type=_text(message.entity.type),
        entity_ids=_texts("entity.ids", message.entity.ids),
        relation=message.relation,
        subject_type=_text(message.subject.type),
        subject_ids=_texts("subject.ids", message.subject.ids),
        subject_relation=message.subject.relation,
    )


def attribute_filter(message: base_pb2.AttributeFilter) -> AttributeFilter:
    """The conditions of a message; errors as `tuple_filter`."""
    return AttributeFilter(
        entity_type=_text(message.entity.type),
        entity_ids=_texts("entity.ids", message.entity.ids),
        attributes=_texts("attributes", message.attributes),
    )


def _texts(name: str, texts: Sequence[str]) -> tuple[str, ...]:
    if len(texts) > FILTER_VALUES_MAX:
        raise LimitError(
            f"{name} of the filter has {len(texts)} values, at most {FILTER_VALUES_MAX} may be"
        )
    return tuple(map(_text, texts))


def _text(text: str) -> str:
    if "\0" in text:
        raise InvalidInputError("a filter holds a NUL character; no name or id has one")
    return text


def bundle(message: base_pb2.DataBundle) -> Bundle:
    """The bundle of a message; whether it can run is `check_bundle`'s question."""
    return Bundle(
        name=message.name,
        arguments=tuple(message.arguments),
        operations=tuple(
            BundleOperation(
                relationships_write=tuple(item.relationships_write),
                relationships_delete=tuple(item.relationships_delete),
                attributes_write=tuple(item.attributes_write),
                attributes_delete=tuple(item.attributes_delete),
            )
            for item in message.operations
        ),
    )


def bundle_message(value: Bundle) -> base_pb2.DataBundle:
    """The message of a bundle."""
    operations = [base_pb2.Operation(**operation.lists()) for operation in value.operations]
    return base_pb2.DataBundle(name=value.name, arguments=value.arguments, operations=operations)


def entity_message(value: Entity) -> base_pb2.Entity:
    """The message of an entity."""
    return base_pb2.Entity(type=value.type, id=value.id)


def subject_message(value: Subject) -> base_pb2.Subject:
    """The message of a subject."""
    return base_pb2.Subject(type=value.type, id=value.id, relation=value.relation)


def tuple_message(value: RelationTuple) -> base_pb2.Tuple:
    """The message of a tuple."""
    return base_pb2.Tuple(
        entity=entity_message(value.entity),
        relation=value.relation,
        subject=subject_message(value.subject),
    )


def attribute_message(value: Attribute) -> base_pb2.Attribute:
    """The message of an attribute."""
    return base_pb2.Attribute(
        entity=entity_message(value.entity),
        attribute=value.name,
        value=attribute_value_to_any(value.value),
    )


def timestamp_message(time: datetime) -> Timestamp:
    """The message of a time, exact to the microsecond."""
    since = time - _UNIX_EPOCH
    seconds = since // timedelta(seconds=1)
    rest = since - timedelta(seconds=seconds)
    return Timestamp(seconds=seconds, nanos=rest.microseconds * 1000)


def timestamp(message: Timestamp) -> datetime:
    """The time of a message, cut to the microsecond."""
    return _UNIX_EPOCH + timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)
