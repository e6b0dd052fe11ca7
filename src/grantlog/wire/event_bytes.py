"""Changes of tuples in bytes, as event payloads have them, put together by hand.

A message that is filled field by field costs twice as much, for each of the thousands of tuples of
a large write (benchmarks/bulk_pieces.py). Only tuples, whose form is fixed for ever; the tests hold
the bytes to those of the generated messages.
"""

from __future__ import annotations

from typing import Final

from grantlog.model.change import Change, Operation, TupleChange

_LENGTHS_TOLD: Final = 1 << 12
"""Longer texts and tuples are left to the generated messages; one of valid names has 800 bytes."""

_BITS: Final = 7


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >> _BITS:
        out.append(number & 0x7F | 0x80)
        number >>= _BITS
    out.append(number)
    return bytes(out)


def _tag(field: int) -> bytes:
    """Of a field with a length: a text or a message."""
    return _varint(field << 3 | 2)


_LENGTHS: Final = tuple(map(_varint, range(_LENGTHS_TOLD)))
_OPERATIONS: Final = {
    operation: _varint(1 << 3) + _varint(operation.value) + _tag(2) for operation in Operation
}
"""Change.operation, and the tag of Change.tuple behind it."""


class _Texts(dict[str, bytes]):
    """A text as a field of its message, each made once; an empty one is not told."""

    def __init__(self, field: int) -> None:
        super().__init__()
        self._tag = _tag(field)

    def __missing__(self, text: str) -> bytes:
        raw = text.encode()
        told = self[text] = self._tag + _LENGTHS[len(raw)] + raw if raw else b""
        return told


class TupleBytes:
    """Makes changes of tuples into bytes, for one write, whose texts it remembers."""

    __slots__ = ("_fields",)

    def __init__(self) -> None:
        self._fields = tuple(_Texts(field) for field in range(1, 7))

    def change(self, change: Change) -> bytes | None:
        """The message Change of a tuple; None of an attribute, or if a text is very long."""
        if not isinstance(change, TupleChange):
            return None
        (type_, id_), relation, (subject_type, subject_id, userset) = change.tuple
        types, ids, relations, subject_types, subject_ids, usersets = self._fields
        try:
            fact = (
                types[type_]
                + ids[id_]
                + relations[relation]
                + subject_types[subject_type]
                + subject_ids[subject_id]
                + usersets[userset]
            )
            return _OPERATIONS[change.operation] + _LENGTHS[len(fact)] + fact
        except IndexError:
            return None


def entry_of(change: bytes) -> bytes:
    """A change as one entry of DataWritten.changes."""
    length = len(change)
    return _ENTRY + (_LENGTHS[length] if length < _LENGTHS_TOLD else _varint(length)) + change


_ENTRY: Final = _tag(1)
