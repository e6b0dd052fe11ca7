"""Rules that take as long as any, with the input that they take longest on.

`benchmarks/rules_micro.py` shows how long; a unit test, that none is given more than it may be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

Data = dict[str, Any]

ITEM: Final = 9
"""What a number in a list weighs."""
SLACK: Final = 64
"""What the keys of `context.data` weigh, and more."""


class SlowRule(NamedTuple):
    """A rule body, and what to give it: `context.data` of about so much weight."""

    name: str
    body: str
    data: Callable[[int], Data]


def _text(weight: int) -> Data:
    return {"s": "a" * max(0, weight - SLACK)}


def _mixed_text(weight: int) -> Data:
    """Letters in an order that repeats late: each place is a new state of an automaton."""
    state, letters = 1, list[str]()
    for _ in range(max(0, weight - SLACK)):
        state = (state * 1_103_515_245 + 12_345) & 0x7FFFFFFF
        letters.append("ab"[(state >> 16) & 1])
    return {"s": "".join(letters)}


def _wide_text(weight: int) -> Data:
    return {"s": "é" * max(0, weight - SLACK)}


def _two_texts(weight: int) -> Data:
    half = max(0, weight - SLACK) // 3
    return {"s": "a" * 2 * half, "t": "a" * max(0, half - 1) + "b"}


def _numbers(weight: int) -> Data:
    return {"l": [float(n) for n in range(max(0, weight - SLACK) // ITEM)]}


def _two_lists(weight: int) -> Data:
    half = max(0, weight - SLACK) // 2 // ITEM
    return {"l": [0.0] * half, "k": [1.0] * half}


def _list_and_text(weight: int) -> Data:
    half = max(0, weight - SLACK) // 2
    return {"l": [0.0] * (half // ITEM), "s": "ab" * (half // 2)}


def _few_and_text(weight: int) -> Data:
    return {"l": [0.0] * 20, "s": "ab" * (max(0, weight - SLACK - 20 * ITEM) // 2)}


def _deep(weight: int) -> Data:
    value: Any = 1.0
    for _ in range(90):
        value = {"a": value}
    each = 90 * (ITEM + 1) + ITEM
    return {name: [value] * (max(0, weight - SLACK) // 2 // each) for name in ("l", "k")}


def _map(weight: int) -> Data:
    each = 8 + 6 + 1
    return {"l": {f"k{n:05}": 1.0 for n in range(max(0, weight - SLACK) // each)}}


def _times(length: int, part: str, between: str) -> str:
    return between.join([part] * length)


def slow_rules() -> list[SlowRule]:
    """All of them."""
    l_, s = "context.data.l", "context.data.s"
    rows = (
        ("a list within itself", f"{l_}.all(x, !(-1.0 in {l_}))", _numbers),
        ("a list in another", f"{l_}.all(x, !(x in context.data.k))", _two_lists),
        ("loops in loops", f"{l_}.all(x, {l_}.all(y, {l_}.all(z, x + y + z >= 0.0)))", _numbers),
        ("lists compared in a loop", f"{l_}.all(x, {l_} == {l_})", _numbers),
        ("lists joined in a loop", f"{l_}.all(x, ({l_} + {l_}).size() > 0)", _numbers),
        ("a list made item by item", f"{l_}.map(x, x + 1.0).size() > 0", _numbers),
        ("a list picked item by item", f"{l_}.filter(x, true).size() > 0", _numbers),
        ("lists of lists", f"{l_}.map(x, {l_}.map(y, y)).size() > 0", _numbers),
        ("texts joined in loops", f"{l_}.map(x, {l_}.map(y, {s} + {s})).size() > 1", _few_and_text),
        ("texts that double", l_ + ".map(x, x + x)" * 3 + f" == {l_}", _numbers),
        ("text in a loop", f"{l_}.all(x, !{s}.contains('aab'))", _list_and_text),
        ("many searches", _times(150, f"{s}.contains('{'a' * 40}b')", " || "), _text),
        ("a long search", f"{s}.contains(context.data.t)", _two_texts),
        ("many counts", _times(300, f"{s}.size() == 1", " || "), _wide_text),
        ("many patterns", _times(150, f"{s}.matches('(a|b|ab)*c')", " || "), _text),
        ("a pattern of many states", f"{s}.matches('(a|b)*a(a|b){{300}}c')", _mixed_text),
        ("a pattern of any character", f"{s}.matches('(.?){{200}}z')", _wide_text),
        ("a pattern of any letter", f"{s}.matches('(\\\\pL?){{9}}z')", _wide_text),
        ("a pattern in a loop", f"{l_}.exists(x, {s}.matches('^[a-z]+@[a-z]+$'))", _list_and_text),
        ("deep data compared", f"{l_} == context.data.k", _deep),
        ("a map gone over", f"{l_}.all(k, {l_}[k] == 1.0)", _map),
        ("a chain of sums", _times(25, l_, " + ") + " == []", _numbers),
        ("texts made of numbers", f"{l_}.all(x, string(x) != '')", _numbers),
        ("errors in a loop", f"{l_}.all(x, context.data[{s}] == 1.0 || true)", _list_and_text),
    )
    return [SlowRule(*row) for row in rows]


REFUSED: Final = (
    ("context.data.l" + ".map(x, x + x)" * 25 + " == context.data.l", "too often"),
    ("context.data.l" + ".map(x, [x, x])" * 9 + ".size() == 1", ""),
    ("context.data.s.matches(context.data.p)", "written out"),
    ("context.data.s.matches('a' + context.data.p)", "written out"),
    ("context.data.l.all(x, x.matches('(.?){1000}'))", "too often"),
    ("context.data.s.matches('\\\\pL{100}')", "too often"),
)
"""Bodies that no schema may have, with a word of the reason."""
