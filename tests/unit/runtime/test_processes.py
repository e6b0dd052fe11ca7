from __future__ import annotations

from itertools import pairwise
from random import Random

from grantlog.runtime.processes import backoff_s


def test_failures_in_a_row_are_further_and_further_apart_up_to_a_bound():
    rng = Random(1)
    waits = [backoff_s(failures, rng) for failures in range(1, 12)]
    assert waits[0] < 0.2
    assert all(later > earlier * 1.2 for earlier, later in pairwise(waits[:6]))
    assert max(waits) <= 6.0
