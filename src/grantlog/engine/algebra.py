"""Union, intersection and exclusion over four outcomes.

An outcome is True (allowed), False (denied), an error, or None (open: not known yet). Errors are
unknowns of Kleene's logic: a definite answer that does not depend on them wins. Of two errors that
matter the left one, the first in source order, is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from grantlog.errors import GrantlogError
from grantlog.schema.compiled import Operator

Decided: TypeAlias = "bool | GrantlogError"
Outcome: TypeAlias = "Decided | None"

UNION: Final = -1
INTERSECTION: Final = -2
EXCLUSION: Final = -3
OPCODES: Final = {
    Operator.UNION: UNION,
    Operator.INTERSECTION: INTERSECTION,
    Operator.EXCLUSION: EXCLUSION,
}
"""Operators in a postfix program; a number from 0 on is the index of an operand."""


def combine(operator: int, left: Outcome, right: Outcome) -> Outcome:
    """The outcome of one operator."""
    if operator == EXCLUSION and (right is True or right is False):
        right = not right
    decisive = operator == UNION  # True decides a union, False an intersection or exclusion
    if left is decisive or right is decisive:
        return decisive
    if left is None or right is None:
        return None
    return right if left is (not decisive) else left


def evaluate(program: Sequence[int], values: Sequence[Outcome]) -> Outcome:
    """The outcome of a postfix program over its operands' outcomes."""
    stack: list[Outcome] = []
    for code in program:
        if code >= 0:
            stack.append(values[code])
        else:
            right = stack.pop()
            stack[-1] = combine(code, stack[-1], right)
    return stack[0]


def open_operands(program: Sequence[int], values: Sequence[Outcome]) -> list[tuple[int, bool]]:
    """The operands that an open program waits for.

    Operands under an operator that is decided already are not among them.

    Returns:
        (index, whether it stands on the right of an exclusion) of each open operand that matters.
    """
    stack: list[tuple[Outcome, list[tuple[int, bool]]]] = []
    for code in program:
        if code >= 0:
            value = values[code]
            stack.append((value, [(code, False)] if value is None else []))
            continue
        right, right_open = stack.pop()
        left, left_open = stack.pop()
        value = combine(code, left, right)
        if value is not None:
            stack.append((value, []))
            continue
        if code == EXCLUSION:
            right_open = [(index, True) for index, _ in right_open]
        left_open.extend(right_open)
        stack.append((None, left_open))
    return stack[0][1]
