"""Objects and lists of JSON texts, and Struct, ListValue and Value, which hold any of them."""

from __future__ import annotations

from typing import Any, Final, cast

from grantlog.wire.json_scalars import Mismatch, expected

DEPTH_MAX: Final = 100


def as_object(value: Any, depth: int) -> dict[str, Any]:
    """The value, which must be an object at a depth that is allowed.

    Raises:
        Mismatch: it is not.
    """
    if type(value) is not dict:
        raise expected("an object", value)
    _bound(depth)
    return cast("dict[str, Any]", value)


def as_list(value: Any, depth: int) -> list[Any]:
    """The value, which must be a list at a depth that is allowed.

    Raises:
        Mismatch: it is not.
    """
    if type(value) is not list:
        raise expected("a list", value)
    _bound(depth)
    return cast("list[Any]", value)


def _bound(depth: int) -> None:
    if depth > DEPTH_MAX:
        raise Mismatch(f"nested deeper than {DEPTH_MAX} levels")


def decode_struct(message: Any, value: Any, depth: int) -> None:
    """Fill a Struct from an object."""
    fields = message.fields
    for key, item in as_object(value, depth).items():
        decode_value(fields[key], item, depth + 1)


def decode_list(message: Any, value: Any, depth: int) -> None:
    """Fill a ListValue from a list."""
    for item in as_list(value, depth):
        decode_value(message.values.add(), item, depth + 1)


def decode_value(message: Any, value: Any, depth: int) -> None:
    """Fill a Value from any JSON value."""
    match value:
        case None:
            message.null_value = 0
        case bool():
            message.bool_value = value
        case int() | float():
            message.number_value = value
        case str():
            message.string_value = value
        case list():
            message.list_value.SetInParent()
            decode_list(message.list_value, value, depth)
        case _:
            message.struct_value.SetInParent()
            decode_struct(message.struct_value, value, depth)
