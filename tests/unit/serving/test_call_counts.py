"""How calls end and how long they take, as it is counted."""

from __future__ import annotations

from grantlog.serving.call_counts import BOUNDS_S, CallCounts
from grantlog.wire.status import Code


def test_ends_are_counted_from_zero_and_by_code():
    counts = CallCounts(["Check", "Write"], ["Watch"])
    assert counts.ends == {("Check", Code.OK): 0, ("Write", Code.OK): 0, ("Watch", Code.OK): 0}
    counts.answered("Check", 0.001)
    counts.answered("Check", 60.0)
    counts.ended("Check", Code.NOT_FOUND)
    counts.ended("Watch", Code.OK)
    assert counts.ends == {
        ("Check", Code.OK): 2,
        ("Check", Code.NOT_FOUND): 1,
        ("Write", Code.OK): 0,
        ("Watch", Code.OK): 1,
    }


def test_a_duration_is_in_the_bucket_that_ends_with_it_and_long_ones_in_the_last():
    counts = CallCounts(["Check", "Write"], [])
    for seconds in (BOUNDS_S[0], BOUNDS_S[1], BOUNDS_S[1] * 1.01, BOUNDS_S[-1] + 1):
        counts.answered("Check", seconds)
    (took,) = counts.durations.values()
    assert (took.counts[:3], took.counts[-1], sum(took.counts)) == ((1, 1, 1), 1, 4)
    assert took.total == sum((BOUNDS_S[0], BOUNDS_S[1], BOUNDS_S[1] * 1.01, BOUNDS_S[-1] + 1))
