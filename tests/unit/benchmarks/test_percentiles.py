"""Percentiles by the nearest rank."""

import pytest
from percentiles import percentile


@pytest.mark.parametrize(
    ("ordered", "per_cent", "expected"),
    [
        ([], 50, 0.0),
        ([7], 99, 7),
        ([1, 2, 3, 4], 50, 2),
        ([1, 2, 3, 4, 5], 50, 3),
        (range(1, 101), 99, 99),
        (range(1, 102), 99, 100),
        (range(1, 1001), 99.9, 999),
        ([1, 2], 100, 2),
        ([1, 2], 0.1, 1),
    ],
)
def test_so_many_per_cent_are_no_larger_than_the_percentile(ordered, per_cent, expected):
    assert percentile(ordered, per_cent) == expected
