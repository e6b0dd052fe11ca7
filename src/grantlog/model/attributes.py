"""Typed facts on entities, with their text form `doc:1$public|boolean:true`."""

from __future__ import annotations

import math
import re
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from grantlog.errors import InvalidInputError
from grantlog.model.ids import NAME
from grantlog.model.tuples import Entity, parse_entity

Scalar: TypeAlias = "bool | str | int | float"
Data: TypeAlias = "Scalar | tuple[Scalar, ...]"

_INTEGER: Final = re.compile(r"-?[0-9]{1,10}")
_DOUBLE: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
"""Python's own int() and float() also take blanks, underscores and other alphabets' digits."""

INT32_MIN: Final = -(2**31)
INT32_MAX: Final = 2**31 - 1


class AttributeType(IntEnum):
    """The types an attribute or a rule's parameter can have; the numbers are the wire's."""

    BOOLEAN = 1
    BOOLEAN_ARRAY = 2
    STRING = 3
    STRING_ARRAY = 4
    INTEGER = 5
    INTEGER_ARRAY = 6
    DOUBLE = 7
    DOUBLE_ARRAY = 8

    @property
    def is_array(self) -> bool:
        """Whether values are lists."""
        return self % 2 == 0

    @property
    def scalar(self) -> AttributeType:
        """The type of an array's items; itself for a scalar type."""
        return AttributeType(self - 1) if self.is_array else self

    @property
    def word(self) -> str:
        """The name in schemas and text forms: `string`, `integer[]`."""
        return self.scalar.name.lower() + ("[]" if self.is_array else "")

    @property
    def zero(self) -> Data:
        """The value that a rule sees for an attribute that is not set."""
        return () if self.is_array else _ZEROS[self]


_ZEROS: Final[dict[AttributeType, Scalar]] = {
    AttributeType.BOOLEAN: False,
    AttributeType.STRING: "",
    AttributeType.INTEGER: 0,
    AttributeType.DOUBLE: 0.0,
}
TYPES_BY_WORD: Final = {t.word: t for t in AttributeType}


class AttributeValue(NamedTuple):
    """A value with its type; `data` is a bool, str, int or float, or a tuple of them."""

    type: AttributeType
    data: Data

    def __str__(self) -> str:
        items = self.data if isinstance(self.data, tuple) else (self.data,)
        return f"{self.type.word}:{','.join(_scalar_text(i) for i in items)}"


class Attribute(NamedTuple):
    """One typed fact: `doc:1$public|boolean:true`."""

    entity: Entity
    name: str
    value: AttributeValue

    def __str__(self) -> str:
        return f"{self.entity}${self.name}|{self.value}"


def _scalar_text(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def _parse_scalar(kind: AttributeType, text: str) -> Scalar:
    match kind:
        case AttributeType.BOOLEAN:
            return {"true": True, "false": False}[text]
        case AttributeType.INTEGER:
            number = int(text) if _INTEGER.fullmatch(text) else None
            if number is None or not INT32_MIN <= number <= INT32_MAX:
                raise ValueError(text)
            return number
        case AttributeType.DOUBLE:
            real = float(text) if _DOUBLE.fullmatch(text) else math.nan
            if not math.isfinite(real):
                raise ValueError(text)
            return real
        case _:
            return text


def parse_attribute(text: str) -> Attribute:
    """Read `type:id$name|valuetype:value`; arrays are comma-separated, an empty text is `[]`.

    Raises:
        InvalidInputError: the text is not an attribute; integers are 32-bit, doubles finite.
    """
    head, dollar, rest = text.partition("$")
    name, bar, typed = rest.partition("|")
    word, colon, data = typed.partition(":")
    kind = TYPES_BY_WORD.get(word)
    if not dollar or not bar or not colon or kind is None or not NAME.fullmatch(name):
        raise InvalidInputError(
            f"{text!r} is not an attribute: expected type:id$name|type:value, "
            "as doc:1$public|boolean:true"
        )
    try:
        value: Data
        if kind.is_array:
            value = tuple(_parse_scalar(kind.scalar, i) for i in data.split(",")) if data else ()
        else:
            value = _parse_scalar(kind, data)
    except (KeyError, ValueError) as error:
        raise InvalidInputError(f"{data!r} is not a value of type {word}") from error
    return Attribute(parse_entity(head), name, AttributeValue(kind, value))
