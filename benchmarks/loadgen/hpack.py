"""Just enough HPACK (RFC 7541): literals out; in, the grpc-status of a block without state.

We announce a header table of size 0, so blocks depend on nothing before them and equal blocks mean
equal headers: each distinct block is decoded once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_STATIC_ENTRIES: Final = 61
_HUFFMAN: Final = {
    "-": "010110", "0": "00000", "1": "00001", "2": "00010", "3": "011001", "4": "011010",
    "5": "011011", "6": "011100", "7": "011101", "8": "011110", "9": "011111", "a": "00011",
    "c": "00100", "g": "100110", "p": "101011", "r": "101100", "s": "01000", "t": "01001",
    "u": "101101",
}  # fmt: skip
"""The codes of the characters in `grpc-status` and in numbers."""


class HpackError(Exception):
    """A header block that this decoder does not read."""


def _huffman(text: str) -> bytes:
    bits = "".join(_HUFFMAN[char] for char in text)
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


_STATUS_NAMES: Final = frozenset({b"grpc-status", _huffman("grpc-status")})
_NUMBERS: Final = {spelled: n for n in range(17) for spelled in (b"%d" % n, _huffman(str(n)))}


def encode(headers: Iterable[tuple[str, str]]) -> bytes:
    """A block of literals that are never indexed nor compressed."""
    block = bytearray()
    for name, value in headers:
        block += b"\x00"
        for text in (name.encode(), value.encode()):
            block += _length(len(text)) + text
    return bytes(block)


def _length(number: int) -> bytes:
    """An integer with a prefix of 7 bits."""
    if number < 127:
        return bytes((number,))
    rest, out = number - 127, bytearray(b"\x7f")
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    out.append(rest)
    return bytes(out)


class StatusReader:
    """Finds grpc-status in header blocks."""

    def __init__(self) -> None:
        self._known: dict[bytes, int | None] = {}

    def status(self, block: bytes) -> int | None:
        """The grpc-status in a block; None if it has none."""
        known = self._known
        if block not in known:
            known[block] = _decode_status(block)
        return known[block]


def _decode_status(block: bytes) -> int | None:
    at, status = 0, None
    while at < len(block):
        first = block[at]
        if first & 0x80:  # indexed
            index, at = _integer(block, at, 7)
            if index > _STATIC_ENTRIES:
                raise HpackError("the server refers to a header table that we said is empty")
            continue
        if first & 0xE0 == 0x20:  # size update
            _, at = _integer(block, at, 5)
            continue
        index, at = _integer(block, at, 6 if first & 0x40 else 4)
        if index > _STATIC_ENTRIES:
            raise HpackError("the server refers to a header table that we said is empty")
        name = b""
        if not index:
            name, at = _string(block, at)
        value, at = _string(block, at)
        if name in _STATUS_NAMES:
            status = _NUMBERS.get(value)
            if status is None:
                raise HpackError(f"a grpc-status that is no number: {value!r}")
    return status


def _integer(block: bytes, at: int, prefix_bits: int) -> tuple[int, int]:
    mask = (1 << prefix_bits) - 1
    value = block[at] & mask
    at += 1
    if value < mask:
        return value, at
    shift = 0
    while True:
        byte = block[at]
        at += 1
        value += (byte & 127) << shift
        shift += 7
        if not byte & 128:
            return value, at


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    length, start = _integer(block, at, 7)
    return bytes(block[start : start + length]), start + length
