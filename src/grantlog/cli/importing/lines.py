"""From bytes of a file to facts: one line, one fact or one reject."""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import BinaryIO, Final, TypeAlias, cast

from grantlog.api.v1 import base_pb2
from grantlog.errors import GrantlogError, InvalidInputError
from grantlog.model.attributes import parse_attribute
from grantlog.model.tuples import parse_tuple
from grantlog.wire.convert import attribute_message, tuple_message
from grantlog.wire.protojson import decode_object, parse
from grantlog.wire.validate import validate

LINE_BYTES_MAX: Final = 1_048_576
"""A longer line is a reject, so that a file without line ends cannot fill the memory."""

Fact: TypeAlias = base_pb2.Tuple | base_pb2.Attribute

_FIRST_MARK: Final = re.compile(r"[#$]")
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the input with its place."""

    number: int
    end: int
    """Offset of the byte behind it."""
    text: bytes
    """Without its line end; of a line that is too long, its beginning."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A line that is not imported, and why."""

    number: int
    text: str
    reason: str


def read_lines(file: BinaryIO, *, offset: int = 0, number: int = 0) -> Generator[Line]:
    """The lines behind a place; `number` counts those before it."""
    while raw := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        offset += len(raw)
        text = raw
        while not raw.endswith(b"\n") and len(raw) > LINE_BYTES_MAX:
            raw = file.readline(LINE_BYTES_MAX + 1)
            offset += len(raw)
        yield Line(number, offset, text.removeprefix(_BOM if number == 1 else b"").rstrip(b"\r\n"))


def parse_line(line: Line) -> Fact | Reject | None:
    """The fact that a line states, a reject, or None for a blank line or a comment."""
    text = line.text.strip()
    if not text or text.startswith(b"#"):
        return None
    try:
        if len(line.text) > LINE_BYTES_MAX:
            raise InvalidInputError(f"the line is longer than {LINE_BYTES_MAX} bytes")
        fact = _from_json(text) if text.startswith(b"{") else _from_text(text.decode())
        validate(fact)
    except UnicodeDecodeError:
        return Reject(line.number, _shown(line.text), "the line is not UTF-8")
    except GrantlogError as error:
        return Reject(line.number, _shown(line.text), error.explanation or error.reason)
    return fact


def rejected(line: Line, reason: str) -> Reject:
    """A reject of a line that looked well."""
    return Reject(line.number, _shown(line.text), reason)


def _from_json(text: bytes) -> Fact:
    members = cast("dict[str, object]", parse(text))  # it begins with a brace
    if "attribute" in members:
        return decode_object(base_pb2.Attribute, members)
    if "relation" in members:
        return decode_object(base_pb2.Tuple, members)
    raise InvalidInputError(
        'expected {"entity": …, "relation": …, "subject": …} '
        'or {"entity": …, "attribute": …, "value": …}'
    )


def _from_text(text: str) -> Fact:
    first = _FIRST_MARK.search(text)  # ids hold neither, values may hold both
    if first and first[0] == "$":
        return attribute_message(parse_attribute(text))
    return tuple_message(parse_tuple(text))


def _shown(text: bytes) -> str:
    return text.decode(errors="replace")
