"""How long a rule may take, at most, given how much it is given.

CEL bounds how often loops run, and nothing else: lists and strings that double from step to step,
lists built one item at a time (each step copies all before), patterns that repeat repetitions.
While a rule runs nobody else is answered, so its input has to be small enough for its expression.

What is computed is an upper bound of nanoseconds; its constants are half as much again as was
measured on the slowest input, or more (`benchmarks/rules_micro.py`). The size of a value is its
weight: one for each character, eight more for each item of a list or map, one for a scalar.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import Final, NamedTuple

from grantlog.model.attributes import AttributeType
from grantlog.schema.cel_pattern import pattern_size
from grantlog.schema.cel_tree import Holds, Kind, Node

ITEM_WEIGHT: Final = 8
"""What an item of a list or map weighs beside its characters."""

ITERATIONS_MAX: Final = 10_000
"""CEL's own bound on the iterations of one evaluation."""

NS_PER_MS: Final = 1e6

_STEP_NS: Final = 50.0
_FUNCTION_NS: Final = 1_200.0
"""A function by itself: reading a time zone is the slowest."""
_LOOP_NS: Final = 250.0
"""An iteration beside what its body costs."""
_GROW_NS: Final = 30.0
"""Per item that a list has when it grows by one."""
_GIVEN_NS: Final = 45.0
"""Per unit of weight, to hand it to CEL."""
_COPY_NS: Final = 16.0
_COMPARE_NS: Final = 120.0
_FIND_NS: Final = 16.0
"""Per unit of a list that is searched for a scalar or a text."""
_TEXT_NS: Final = 4.0
"""Per character, four bytes each, to compare, copy or count."""
_SEARCH_NS: Final = 30.0
"""Per character that another text is looked for in; beside the product of both."""
_SEARCH_PRODUCT_NS: Final = 0.3
_PATTERN_NS: Final = 2_200.0
"""Per instruction of a pattern's program, to make it: which happens at each call."""
_MATCH_NS: Final = 8.0
"""Per instruction and character."""
_SCALAR_TEXT: Final = 64
"""Characters that a scalar may be as text."""
_PLAIN: Final = frozenset({Holds.SCALAR, Holds.TEXT})
_NESTED_MAX: Final = 3
"""Loops in one another of which the elements are told apart."""
_ACCUMULATOR: Final = "@result"
CONTEXT: Final = "context"


class _Bound(NamedTuple):
    """What an expression costs and gives, at most.

    Attributes:
        own: nanoseconds outside of loops.
        looped: nanoseconds in loops.
        turn: the most that one iteration of a loop costs, beside the loops within.
        size: the weight of the value.
    """

    own: float
    looped: float
    turn: float
    size: float


class CostModel:
    """Bounds the time of one rule."""

    def __init__(self, tree: Node, parameters: Mapping[str, AttributeType]) -> None:
        self._tree = tree
        self._parameters = parameters

    def nanoseconds(self, weight: float) -> float:
        """What the rule takes, at most, with inputs that weigh so much together."""
        sizes = {
            name: 1.0 if type_.scalar is type_ and type_ is not AttributeType.STRING else weight
            for name, type_ in self._parameters.items()
        }
        bound = _bound(self._tree, sizes, weight, 0)
        return bound.own + bound.looped + _GIVEN_NS * weight + _STEP_NS * len(sizes)

    def weight_max(self, nanoseconds: float, most: int) -> int:
        """The largest weight up to `most` with which the rule takes no longer; -1 if none does."""
        if self.nanoseconds(most) <= nanoseconds:
            return most
        low, high = -1, most
        while high - low > max(1, low // 16):
            middle = (low + high) // 2
            if self.nanoseconds(middle) <= nanoseconds:
                low = middle
            else:
                high = middle
        return low


def has_open_pattern(tree: Node) -> bool:
    """Whether the pattern of some `matches` is anything but a literal."""
    pending = [tree]
    while pending:
        node = pending.pop()
        pending += node.children
        if _is_call(node, "matches") and node.children[-1].kind is not Kind.LITERAL:
            return True
    return False


def _is_call(node: Node, name: str) -> bool:
    return node.kind is Kind.CALL and node.name == name


def _bound(node: Node, sizes: Mapping[str, float], given: float, loops: int) -> _Bound:
    """Bound an expression.

    Args:
        node: the expression.
        sizes: of the variables; what is not among them is `context`.
        given: the weight of `context`.
        loops: how many loops it stands in.
    """
    if node.kind is Kind.LOOP:
        return _loop(node, sizes, given, loops)
    parts = [_bound(child, sizes, given, loops) for child in node.children]
    below = _total(parts)
    cost, size = _here(node, parts, sizes, given)
    if node.holds is Holds.SCALAR:
        size = 1.0
    return _Bound(below.own + cost + _STEP_NS, below.looped, below.turn, size)


def _total(parts: Iterable[_Bound]) -> _Bound:
    own = looped = turn = size = 0.0
    for part in parts:
        own, looped, size = own + part.own, looped + part.looped, size + part.size
        turn = max(turn, part.turn)
    return _Bound(own, looped, turn, size)


def _here(
    node: Node, parts: list[_Bound], sizes: Mapping[str, float], given: float
) -> tuple[float, float]:
    """What a node itself costs, and the weight of its value."""
    inside = sum(part.size for part in parts)
    match node.kind:
        case Kind.LITERAL:
            return _TEXT_NS * len(node.text), len(node.text) or 1.0
        case Kind.NAME:
            return 0.0, sizes.get(node.name, given)
        case Kind.FIELD:
            return _TEXT_NS * len(node.name), parts[0].size
        case Kind.LIST | Kind.MAP:
            size = inside + ITEM_WEIGHT * len(parts)
            return _COPY_NS * size, size
        case _:
            return _call(node, parts)


def _call(node: Node, parts: list[_Bound]) -> tuple[float, float]:
    """What a function costs beside its arguments, and the weight of what it returns."""
    inside = sum(part.size for part in parts)
    cost, size = 0.0, inside
    match node.name:
        case "_?_:_":
            size = max(part.size for part in parts[1:])
        case "_==_" | "_!=_":
            cost = _compared(node, parts)
        case "@in":
            plain = node.children[0].holds in _PLAIN or node.children[1].holds is Holds.PLAINS
            each = _FIND_NS if plain else _COMPARE_NS
            cost = each * parts[1].size + _TEXT_NS * parts[0].size
        case "contains":
            cost = parts[0].size * (_SEARCH_NS + _SEARCH_PRODUCT_NS * parts[1].size)
        case "matches":
            cost = _matched(node.children[1]) * (_PATTERN_NS + _MATCH_NS * parts[0].size)
        case "_[_]":
            cost, size = _TEXT_NS * parts[1].size, parts[0].size
        case "_+_":
            cost = (_TEXT_NS if node.holds in _PLAIN else _COPY_NS) * inside
        case name if name.startswith(("_", "-", "!", "@")):
            cost = _TEXT_NS * inside
        case _:
            cost, size = _FUNCTION_NS + _TEXT_NS * inside, 4 * inside + _SCALAR_TEXT
    return cost, size


def _matched(pattern: Node) -> float:
    """How large a pattern's program is; nobody knows if it is put together."""
    return float(pattern_size(pattern.text)) if pattern.kind is Kind.LITERAL else inf


def _compared(node: Node, parts: list[_Bound]) -> float:
    """Comparing goes no further than the smaller side; any side will do as a bound."""
    for holds, each in ((Holds.SCALAR, 0.0), (Holds.TEXT, _TEXT_NS)):
        for child, part in zip(node.children, parts, strict=True):
            if child.holds is holds:
                return each * part.size
    # A loop's variable is often much smaller than what was sent with the request.
    left, right = node.children
    chosen = parts[1] if _reads_context(left) and not _reads_context(right) else parts[0]
    return _COMPARE_NS * chosen.size


def _reads_context(node: Node) -> bool:
    if node.kind is Kind.NAME:
        return node.name == CONTEXT
    return any(map(_reads_context, node.children))


def _loop(node: Node, sizes: Mapping[str, float], given: float, loops: int) -> _Bound:
    """Bound a loop over the items of a list or map.

    The items weigh no more than the list together. A body's cost is a convex function of its
    item's weight, so all of them cost at most as much as one item that weighs everything and others
    that weigh nothing.
    """
    range_, start, condition, step, result = node.children
    over = _bound(range_, sizes, given, loops)
    times = min(over.size / ITEM_WEIGHT, ITERATIONS_MAX)
    grows = start.kind is Kind.LIST

    def body(item: float) -> _Bound:
        inside = {**sizes, node.name: item, _ACCUMULATOR: 0.0}
        parts = [_bound(part, inside, given, loops + 1) for part in (condition, step)]
        growing = _GROW_NS * times if grows else 0.0
        total = _total(parts)
        return total._replace(own=total.own + _LOOP_NS + growing, size=parts[1].size)

    whole = body(over.size)
    if loops < _NESTED_MAX:
        none = body(0.0)
        spent = times * (none.own + none.looped) + whole.own + whole.looped
        grown = times * none.size + whole.size
    else:
        spent = times * (whole.own + whole.looped)
        grown = times * whole.size
    turn = max(whole.own, whole.turn)
    looped = min(spent, ITERATIONS_MAX * turn)
    size = grown if grows else 1.0
    end = _bound(result, {**sizes, _ACCUMULATOR: size}, given, loops)
    return _Bound(
        over.own + end.own + _STEP_NS,
        over.looped + looped + end.looped,
        max(over.turn, turn, end.turn),
        end.size,
    )
