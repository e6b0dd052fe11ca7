"""How many calls ended how, and how long the answered ones took."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from grantlog.serving.metrics import Distribution
from grantlog.wire.status import Code

BOUNDS_S: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Seconds, each the upper end of a bucket."""


class CallCounts:
    """Counts by method; it is paid for by every call, so it does little.

    Attributes:
        streams_open: streams that are being answered now.
    """

    def __init__(self, methods: Iterable[str], streams: Iterable[str]) -> None:
        """Count calls of `methods`, which have one answer, and `streams`, from 0 on."""
        self.streams_open = 0
        self._answers = {method: [0] * (len(BOUNDS_S) + 1) for method in methods}
        self._seconds = dict.fromkeys(self._answers, 0.0)
        self._others = Counter({(method, Code.OK): 0 for method in streams})

    def answered(self, method: str, seconds: float) -> None:
        """A call with one answer got it."""
        self._answers[method][bisect_left(BOUNDS_S, seconds)] += 1
        self._seconds[method] += seconds

    def ended(self, method: str, code: Code) -> None:
        """A call got no answer, or a stream ended."""
        self._others[method, code] += 1

    @property
    def ends(self) -> Mapping[tuple[str, Code], int]:
        """Calls by method and by the status that they ended with."""
        ends = Counter(self._others)
        for method, buckets in self._answers.items():
            ends[method, Code.OK] += sum(buckets)
        return ends

    @property
    def durations(self) -> Mapping[str, Distribution]:
        """Seconds that answers took, by method, of those that were called."""
        return {
            method: Distribution(BOUNDS_S, tuple(buckets), self._seconds[method])
            for method, buckets in self._answers.items()
            if any(buckets)
        }
