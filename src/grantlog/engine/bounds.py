"""Outcomes with what they cost: how lookups know an answer without asking for it.

The value of a step on an entity, for one subject, is

- n >= 0: a check that has a budget of n left here is allowed,
- ~n, below 0: a check that has a budget of n left here is denied,
- None: only the check itself can tell.

The costs are upper bounds, so a value never claims what a check would not say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from grantlog.engine.algebra import EXCLUSION, INTERSECTION, UNION
from grantlog.engine.steps import (
    ArrowStep,
    ExpressionStep,
    RelationStep,
    Step,
    UnionStep,
)

Value: TypeAlias = "int | None"

UNAFFORDABLE: Final = 1 << 40
"""More than any budget: what only a chain without an end would decide."""


def children(step: Step) -> Iterable[Step]:
    """The steps that a step leads to, on the same entity or on others."""
    if isinstance(step, RelationStep):
        return step.usersets.values()
    if isinstance(step, ArrowStep):
        return step.targets.values()
    if isinstance(step, UnionStep | ExpressionStep):
        return step.operands
    return ()


def spent(value: Value, price: int) -> Value:
    """The value one step above: what it takes there, which is `price` more."""
    if value is None:
        return None
    return value + price if value >= 0 else value - price


def combine_values(operator: int, left: Value, right: Value) -> Value:
    """The value of an operator over two operands."""
    if operator == EXCLUSION:
        right = None if right is None else ~right
        operator = INTERSECTION
    if operator == UNION:  # the mirror image of an intersection
        value = _both(None if left is None else ~left, None if right is None else ~right)
        return None if value is None else ~value
    return _both(left, right)


def _both(left: Value, right: Value) -> Value:
    """Allowed if both are, denied if one is."""
    if left is not None and left < 0:
        return max(left, right) if right is not None and right < 0 else left
    if right is not None and right < 0:
        return right
    return None if left is None or right is None else max(left, right)


def value_of(step: UnionStep | ExpressionStep, values: Sequence[Value]) -> Value:
    """The value of a permission over its operands' values, which are `spent` already."""
    if isinstance(step, UnionStep):
        value = values[0]
        for other in values[1:]:
            value = combine_values(UNION, value, other)
        return value
    stack: list[Value] = []
    for code in step.program:
        if code >= 0:
            stack.append(values[code])
        else:
            right = stack.pop()
            stack[-1] = combine_values(code, stack[-1], right)
    return stack[0]


def is_possible(step: UnionStep | ExpressionStep, operands: Sequence[bool]) -> bool:
    """Whether a permission may be allowed where these operands may; a right side may be denied."""
    if isinstance(step, UnionStep):
        return any(operands)
    stack: list[bool] = []
    for code in step.program:
        if code >= 0:
            stack.append(operands[code])
        else:
            right = stack.pop()
            if code == UNION:
                stack[-1] = stack[-1] or right
            elif code == INTERSECTION:
                stack[-1] = stack[-1] and right
    return stack[0]
