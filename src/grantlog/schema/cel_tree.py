"""A rule's checked expression as a tree, read from CEL's own serialisation.

Field numbers are those of `google.api.expr.v1alpha1` (`checked.proto`, `syntax.proto`). The domain
has no protobuf, and of the messages only the expression and its types are of interest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from grantlog.errors import CorruptionError


class Kind(Enum):
    """What a node is."""

    LITERAL = "literal"
    NAME = "name"
    FIELD = "field"
    """`a.b`, and `has(a.b)`."""
    CALL = "call"
    """A function or operator; of a method, the object comes first."""
    LIST = "list"
    MAP = "map"
    """Keys and values in turn."""
    LOOP = "loop"
    """What a macro became: range, start, condition, step and result."""


class Holds(Enum):
    """What a node's value may be."""

    SCALAR = "scalar"
    """One number, boolean, time or null."""
    TEXT = "text"
    """A string or bytes."""
    PLAINS = "plains"
    """A list of scalars, or of texts."""
    ANY = "any"
    """Another list, or a map, or unknown before it runs."""


@dataclass(frozen=True, slots=True)
class Node:
    """One expression.

    Attributes:
        name: of a name or function; of a loop, its variable; of a field, its key.
        text: of a literal string, the string.
    """

    kind: Kind
    holds: Holds
    name: str = ""
    text: str = ""
    children: tuple[Node, ...] = ()


_Field: TypeAlias = tuple[int, "int | memoryview"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED: Final = {_FIXED64: 8, _FIXED32: 4}
_CONTINUES: Final = 0x80
_ANY_VALUE, _TYPE_MAP, _EXPR, _ID = 2, 3, 4, 2
_PRIMITIVE, _WELL_KNOWN, _NULL, _LIST = 3, 5, 2, 6
_TEXTS: Final = frozenset({5, 6})
_TIMES: Final = frozenset({2, 3})


def read_tree(checked: bytes) -> Node:
    """The expression in a serialised CheckedExpr, itself in an Any.

    Raises:
        CorruptionError: the bytes are none.
    """
    try:
        whole = _message(memoryview(checked), _ANY_VALUE)
        types = dict(map(_type_entry, _all(whole, _TYPE_MAP)))
        (root,) = _all(whole, _EXPR)
        return _node(root, types)
    except (IndexError, KeyError, ValueError) as error:
        raise CorruptionError(f"a rule's checked form cannot be read: {error!r}") from error


def _fields(data: memoryview) -> Iterator[_Field]:
    """The fields of a message, in order."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        else:
            size = _FIXED[wire]
        yield tag >> 3, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if not byte & _CONTINUES:
            return value, at
        shift += 7


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message is expected")  # noqa: TRY004 - of the data
    return value


def _message(data: memoryview, number: int) -> memoryview:
    """The last field of that number, an empty message if there is none."""
    return [memoryview(b""), *_all(data, number)][-1]


def _all(data: memoryview, number: int) -> list[memoryview]:
    """All fields of that number, which are messages."""
    return [_bytes(value) for field, value in _fields(data) if field == number]


def _text(data: memoryview, number: int) -> str:
    return bytes(_message(data, number)).decode(errors="replace")


def _type_entry(data: memoryview) -> tuple[int, Holds]:
    """An entry of the map from an expression's id to its type."""
    entry = dict(_fields(data))
    id_ = entry.get(1, 0)
    assert isinstance(id_, int), "ids are numbers"
    return id_, _holds(_bytes(entry[2]))


def _holds(type_: memoryview) -> Holds:
    kind, detail = next(_fields(type_), (0, 0))
    if kind == _PRIMITIVE:
        return Holds.TEXT if detail in _TEXTS else Holds.SCALAR
    if kind == _NULL or (kind == _WELL_KNOWN and detail in _TIMES):
        return Holds.SCALAR
    if kind == _LIST and _holds(_message(_bytes(detail), 1)) in (Holds.TEXT, Holds.SCALAR):
        return Holds.PLAINS
    return Holds.ANY


def _node(data: memoryview, types: dict[int, Holds]) -> Node:
    id_, part, body = 0, 0, memoryview(b"")
    for number, value in _fields(data):
        if number == _ID and isinstance(value, int):
            id_ = value
        else:
            part, body = number, _bytes(value)
    kind, name, fields, text = _KINDS[part], "", [], ""
    match kind:
        case Kind.LITERAL:
            text = _text(body, 6) or _text(body, 7)
        case Kind.NAME:
            name = _text(body, 1)
        case Kind.FIELD:
            name, fields = _text(body, 2), _all(body, 1)
        case Kind.CALL:
            name, fields = _text(body, 2), [*_all(body, 1), *_all(body, 3)]
        case Kind.LIST:
            fields = _all(body, 1)
        case Kind.MAP:
            fields = [f for entry in _all(body, 2) for f in (*_all(entry, 3), *_all(entry, 4))]
        case Kind.LOOP:
            name, fields = _text(body, 1), [_message(body, number) for number in (2, 4, 5, 6, 7)]
    children = tuple(_node(field, types) for field in fields)
    return Node(kind, types.get(id_, Holds.ANY), name, text, children)


_KINDS: Final = {
    3: Kind.LITERAL,
    4: Kind.NAME,
    5: Kind.FIELD,
    6: Kind.CALL,
    7: Kind.LIST,
    8: Kind.MAP,
    9: Kind.LOOP,
}
"""By the number of the field of an Expr that is set."""
