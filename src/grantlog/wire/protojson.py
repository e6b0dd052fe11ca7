"""Messages to JSON text and back, as the wire contract writes them.

Out: proto field names, every field emitted (null for an unset message, unset oneof members left
out), enums by name, 64-bit integers as strings. In: a field by its proto name or its declared JSON
name, enums by name or number, numbers may be quoted, null is unset, what is unknown is ignored.
`json_encode` and `json_decode` compile each message type once; nothing here runs json_format.
"""

from __future__ import annotations

from typing import Any, TypeVar

import orjson
from google.protobuf.message import Message

from grantlog.errors import LimitError
from grantlog.wire.json_decode import BodyError, decode_into
from grantlog.wire.json_encode import to_object
from grantlog.wire.json_keys import has_repeated_key, repeated_key
from grantlog.wire.json_plain import plain_message

M = TypeVar("M", bound=Message)


def encode(message: Message) -> bytes:
    """The JSON text of a message.

    Raises:
        LimitError: it nests deeper than JSON writers go.
    """
    try:
        return orjson.dumps(to_object(message))
    except (orjson.JSONEncodeError, RecursionError):
        raise LimitError("the answer nests deeper than JSON can carry; use gRPC") from None


def decode(message_class: type[M], body: bytes) -> M:
    """The message that a JSON text stands for; an empty text stands for `{}`.

    Raises:
        BodyError: the text is not JSON, or not JSON for this message; it names the field.
    """
    return decode_object(message_class, parse(body))


def decode_object(message_class: type[M], value: object) -> M:
    """The message that a parsed JSON value stands for; errors as `decode`."""
    message = plain_message(message_class, value)
    if message is None:
        message = message_class()
        decode_into(message, value)
    return message


def parse(body: bytes) -> Any:
    """The value of a JSON text; an empty text stands for `{}`.

    Raises:
        BodyError: the text is not JSON, or one of its objects has a key twice.
    """
    if not body:
        return {}
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BodyError(f"the body is not JSON: {error}") from None
    if has_repeated_key(body, value):
        key = repeated_key(body)[:100]
        raise BodyError(f"the body gives the key {key!r} of one object twice")
    return value
