"""Messages straight from plain JSON values: most requests are texts and numbers in known fields.

The message's own constructor takes such values without a step in Python. Where it could read
something else than `json_decode` does, or refuses it, that decides: nothing here makes an error.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple, TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

M = TypeVar("M", bound=Message)

_PLAIN: Final = frozenset(
    {
        FieldDescriptor.TYPE_STRING,
        FieldDescriptor.TYPE_INT32,
        FieldDescriptor.TYPE_UINT32,
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_UINT64,
    }
)


class _Fields(NamedTuple):
    """The fields of a message that may be plain, by their proto names."""

    all: frozenset[str]
    lists: tuple[str, ...]
    """Those of them that are repeated."""


def plain_message(message_class: type[M], value: object) -> M | None:
    """The message that a parsed JSON value stands for; None if it has to be read with care.

    Args:
        message_class: of the message.
        value: anything.
    """
    if type(value) is not dict:
        return None
    fields = cast("dict[str, Any]", value)
    plain, lists = _fields(message_class.DESCRIPTOR)
    if not fields.keys() <= plain:
        return None
    for name in lists:
        if type(fields.get(name, [])) is not list:
            return None  # the constructor would take a text for a list of letters
    try:
        return message_class(**fields)
    except (TypeError, ValueError):
        return None


@cache
def _fields(kind: Any) -> _Fields:
    """What may be plain in a message of this type."""
    plain = [field for field in kind.fields if _is_plain(field, ())]
    lists = tuple(field.name for field in plain if field.is_repeated)
    return _Fields(frozenset(field.name for field in plain), lists)


def _is_plain(field: FieldDescriptor, above: tuple[Descriptor, ...]) -> bool:
    """Whether the constructor reads a field as `json_decode` does, if it reads it."""
    if field.containing_oneof is not None or (field.is_repeated and above):
        return False
    kind = field.message_type
    if kind is None:
        return field.type in _PLAIN
    return (
        kind.file.package == "base.v1"
        and not kind.GetOptions().map_entry
        and kind not in above
        and all(_is_plain(inner, (*above, kind)) for inner in kind.fields)
    )
