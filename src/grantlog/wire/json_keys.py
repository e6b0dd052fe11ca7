"""Keys that stand twice in one JSON object, which the parser does not tell.

Two readers of such a text may read two things: a proxy the first value, this service the last one.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any, Final, cast

import orjson

_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


def has_repeated_key(text: bytes, value: object) -> bool:
    """Whether an object of a JSON text has a key twice.

    Args:
        text: valid JSON.
        value: what it parses to.
    """
    if b"\\" not in text:
        # Written again, it has the same colons, less those of what a repeated key has displaced.
        with contextlib.suppress(orjson.JSONEncodeError):  # it nests too deep
            return text.count(b":") != orjson.dumps(value).count(b":")
    pairs = _pairs(value)
    # Each pair has one colon outside strings; few texts have others.
    return text.count(b":") != pairs and _STRING.sub(b"", text).count(b":") != pairs


def _pairs(value: object) -> int:
    """How many keys all objects in a JSON value have."""
    pairs = 0
    waiting: list[object] = [value]
    while waiting:
        item = waiting.pop()
        if type(item) is dict:
            held = cast("dict[str, Any]", item)
            pairs += len(held)
            waiting += held.values()
        elif type(item) is list:
            waiting += cast("list[Any]", item)
    return pairs


def repeated_key(text: bytes) -> str:
    """A key that stands twice in one object of a JSON text; "" if it nests too deep to look."""
    found = ""

    def look(pairs: list[tuple[str, Any]]) -> None:
        nonlocal found
        keys: set[str] = set()
        for key, _ in pairs:
            if key in keys:
                found = found or key
            keys.add(key)

    with contextlib.suppress(RecursionError):
        json.loads(text, object_pairs_hook=look)
    return found
