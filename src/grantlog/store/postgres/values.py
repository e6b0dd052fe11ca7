r"""Attribute values as the tables hold them: a type number and JSON text.

JSON text rather than jsonb, and Python's own json rather than a faster one: `\u0000`, `-0.0`, NaN
and the infinities must come back as they went in. Equal values have equal texts, so `1`, `1.0` and
`true` never pass for each other.
"""

from __future__ import annotations

import json
from typing import cast

from grantlog.errors import CorruptionError
from grantlog.model.attributes import AttributeType, AttributeValue, Data, Scalar


def encode_value(value: AttributeValue) -> str:
    """The text of a value."""
    if value.type.scalar is not AttributeType.DOUBLE:
        return json.dumps(value.data)
    if isinstance(value.data, tuple):
        return json.dumps([float(item) for item in value.data])
    return json.dumps(float(value.data))


def decode_value(number: int, text: str) -> AttributeValue:
    """The value of a type number and a text.

    Raises:
        CorruptionError: a row that no version of ours wrote.
    """
    try:
        kind = AttributeType(number)
        data = cast("Scalar | list[Scalar]", json.loads(text))
    except ValueError as error:
        raise CorruptionError(f"an attribute's row holds no value of type {number}") from error
    held: Data = tuple(data) if isinstance(data, list) else data
    return AttributeValue(kind, held)


def same_value(one: AttributeValue, other: AttributeValue) -> bool:
    """Whether two values are the same fact: types and data exactly, `-0.0` apart from `0.0`."""
    return one.type is other.type and encode_value(one) == encode_value(other)
