from __future__ import annotations

import pytest

from grantlog.engine.algebra import EXCLUSION, INTERSECTION, UNION, combine, evaluate, open_operands
from grantlog.errors import DepthExceededError, RuleFailedError

FIRST, SECOND = DepthExceededError("first"), RuleFailedError("second")
OPEN = None


@pytest.mark.parametrize(
    ("left", "right", "outcome"),
    [
        (True, False, True),
        (False, True, True),
        (False, False, False),
        (FIRST, True, True),
        (True, FIRST, True),
        (FIRST, False, FIRST),
        (False, FIRST, FIRST),
        (FIRST, SECOND, FIRST),
        (OPEN, True, True),
        (OPEN, FIRST, OPEN),
        (FIRST, OPEN, OPEN),
        (OPEN, False, OPEN),
    ],
)
def test_a_union_is_allowed_by_any_side_before_errors_count(left, right, outcome):
    assert combine(UNION, left, right) is outcome


@pytest.mark.parametrize(
    ("left", "right", "outcome"),
    [
        (True, True, True),
        (True, False, False),
        (False, True, False),
        (FIRST, False, False),
        (False, FIRST, False),
        (FIRST, True, FIRST),
        (True, FIRST, FIRST),
        (FIRST, SECOND, FIRST),
        (OPEN, False, False),
        (OPEN, FIRST, OPEN),
        (OPEN, True, OPEN),
    ],
)
def test_an_intersection_is_denied_by_any_side_before_errors_count(left, right, outcome):
    assert combine(INTERSECTION, left, right) is outcome


@pytest.mark.parametrize(
    ("left", "right", "outcome"),
    [
        (True, False, True),
        (True, True, False),
        (False, False, False),
        (False, FIRST, False),
        (FIRST, True, False),
        (FIRST, False, FIRST),
        (True, FIRST, FIRST),
        (FIRST, SECOND, FIRST),
        (OPEN, True, False),
        (False, OPEN, False),
        (FIRST, OPEN, OPEN),
        (OPEN, FIRST, OPEN),
        (True, OPEN, OPEN),
    ],
)
def test_an_exclusion_is_denied_by_either_side_before_errors_count(left, right, outcome):
    assert combine(EXCLUSION, left, right) is outcome


def test_a_program_runs_in_postfix_order():
    # (0 or 1) not (2 and 0)
    program = (0, 1, UNION, 2, 0, INTERSECTION, EXCLUSION)
    assert evaluate(program, [True, False, False]) is True
    assert evaluate(program, [True, False, True]) is False


def test_an_open_program_waits_only_for_operands_that_can_still_matter():
    # (0 and 1) or (2 not 3): 1 is denied, so 0 no longer matters
    program = (0, 1, INTERSECTION, 2, 3, EXCLUSION, UNION)
    assert open_operands(program, [OPEN, False, True, OPEN]) == [(3, True)]
    assert open_operands(program, [OPEN, True, OPEN, OPEN]) == [(0, False), (2, False), (3, True)]


def test_the_right_side_of_a_not_marks_everything_below_it():
    program = (0, 1, 2, UNION, EXCLUSION)
    assert open_operands(program, [True, OPEN, OPEN]) == [(1, True), (2, True)]


def test_a_program_that_is_thousands_of_operators_deep_does_not_recurse():
    program = (0, *(code for _ in range(5000) for code in (1, UNION)))
    assert evaluate(program, [False, True]) is True
    assert open_operands(program, [OPEN, False]) == [(0, False)]
