"""Percentiles of what was measured."""

from __future__ import annotations

from collections.abc import Sequence


def percentile(ordered: Sequence[float], per_cent: float) -> float:
    """The least value that so many per cent of all are no larger than; 0 of none.

    Args:
        ordered: ascending.
        per_cent: above 0, up to 100.
    """
    if not ordered:
        return 0.0
    rank = -(-len(ordered) * per_cent // 100)
    return ordered[max(1, int(rank)) - 1]
