"""JSON values of scalar fields, and what is said about values that do not fit."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor

_WHOLE: Final = re.compile(r"-?[0-9]{1,20}")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,400})(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,4})?")
_NAMED_FLOATS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_FLOAT_MAX: Final = 3.4028234663852886e38
_EXACT_MAX: Final = 2**53


class Mismatch(Exception):  # noqa: N818 - it never leaves the codec
    """A JSON value that does not fit its field; `str` of it is `path: problem`."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = ""

    def widen(self, step: str) -> None:
        """Name the value from one step further out."""
        joint = "." if self.path and not self.path.startswith("[") else ""
        self.path = f"{step}{joint}{self.path}"

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}" if self.path else self.problem


def expected(what: str, value: object) -> Mismatch:
    """The mismatch of a value with what its field takes."""
    return Mismatch(f"expected {what}, got {_kind(value)}")


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"


def scalar_decoder(field: FieldDescriptor, *, quoted: bool = False) -> Callable[[Any], Any]:
    """Turns a JSON value into the field's; `quoted` for the keys of maps.

    What it returns raises Mismatch for a value that does not fit.
    """
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            return _string
        case FieldDescriptor.TYPE_BOOL:
            return _quoted_bool if quoted else _bool
        case FieldDescriptor.TYPE_BYTES:
            return _bytes
        case FieldDescriptor.TYPE_DOUBLE:
            return _double
        case FieldDescriptor.TYPE_FLOAT:
            return _float
        case _:
            return _integer_decoder(*_RANGES[field.cpp_type])


_RANGES: Final = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def _string(value: Any) -> str:
    if type(value) is not str:
        raise expected("a string", value)
    return value


def _bool(value: Any) -> bool:
    if type(value) is not bool:
        raise expected("a boolean", value)
    return value


def _quoted_bool(value: Any) -> bool:
    if value not in ("true", "false"):
        raise expected('"true" or "false"', value)
    return value == "true"


def _bytes(value: Any) -> bytes:
    """Standard or URL-safe base64, padded or not."""
    text = _string(value).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Mismatch("expected base64") from None


def _integer_decoder(low: int, high: int) -> Callable[[Any], int]:
    def decode(value: Any) -> int:
        number = value if type(value) is int else _integer(value)
        if not low <= number <= high:
            raise Mismatch(f"expected an integer from {low} to {high}")
        return number

    return decode


def _integer(value: Any) -> int:
    """A whole number written as 1.0, 1e3 or in quotes."""
    if type(value) is str:
        if _WHOLE.fullmatch(value):
            return int(value)
        value = float(value) if _NUMBER.fullmatch(value) else None
    if type(value) is not float or not value.is_integer() or abs(value) > _EXACT_MAX:
        raise Mismatch("expected an integer")
    return int(value)


def _double(value: Any) -> float:
    if type(value) is float or type(value) is int:
        return float(value)
    if type(value) is str:
        if value in _NAMED_FLOATS:
            return _NAMED_FLOATS[value]
        if _NUMBER.fullmatch(value) and math.isfinite(number := float(value)):
            return number
    raise expected("a number", value)


def _float(value: Any) -> float:
    number = _double(value)
    if math.isfinite(number) and abs(number) > _FLOAT_MAX:
        raise Mismatch("expected a number of 32 bits")
    return number
