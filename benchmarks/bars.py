"""How a run stands against the bars that the project set itself, for 2 cores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from report import Row

_OTHERS_MAX: Final = 0.15
_GENERATOR_MAX: Final = 0.8
_GROWTH_MAX: Final = 1.3
_HALF_P99_MS: Final = 5.0


@dataclass(frozen=True)
class Bar:
    """The least rate of a row."""

    what: str
    least: float
    """A second."""
    times: int = 1
    """Items of a call."""
    size: int = 0
    """Of the world; 0: any."""


BARS: Final = (
    Bar("grpc check 3-level, result-warm", 18_000),
    Bar("grpc check 3-level, relation-warm", 9_000),
    Bar("grpc check 3-level, cold", 3_000, size=1_000_000),
    Bar("grpc 99% check 1% write, result-warm", 8_000),
    Bar("rest check 3-level, result-warm", 8_000),
    Bar("grpc bulk check of 100, relation-warm", 40_000, times=100),
    Bar("grpc write of 1", 3_000),
    Bar("grpc write of 1,000", 30_000, times=1_000),
)


def verdicts(rows: Sequence[Row], notes: Mapping[str, Any]) -> Iterator[str]:
    """A line for each bar that was measured, and for what stood in the way of measuring."""
    for bar in BARS:
        for row in rows:
            if row.what == bar.what and bar.size in (0, row.size):
                rate = row.result.rate * bar.times
                yield (
                    f"{row.what}, {row.size:,} tuples: {rate:,.0f}/s, bar {bar.least:,.0f}/s: "
                    f"{_word(met=rate >= bar.least)}"
                )
    yield from _half_rate(rows)
    for warmth, growth in notes["growth_p50"].items():
        (small, before), *_, (large, after) = growth.items()
        times = after / before
        yield (
            f"p50 of a 3-level check, {warmth}, from {int(small):,} to {int(large):,} tuples: "
            f"{before:.3f} to {after:.3f} ms, {times:.2f} times, bar {_GROWTH_MAX}: "
            f"{_word(met=times < _GROWTH_MAX)}"
        )
    yield from _doubts(rows)


def _half_rate(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        if row.what == BARS[0].what and row.half:
            p99 = row.half.p99_ms
            yield (
                f"{row.what}, {row.size:,} tuples, at {row.half.offered:,.0f}/s: p99 {p99:.2f} ms, "
                f"bar {_HALF_P99_MS:.0f} ms: {_word(met=p99 <= _HALF_P99_MS)}"
            )


def _doubts(rows: Sequence[Row]) -> Iterator[str]:
    """What makes a run less than it seems."""
    if not rows:
        return
    late = [row for row in rows if not row.kept]
    for row in late:
        yield f"{row.what}, {row.size:,} tuples: achieved is NOT the offered rate"
    busiest = max(rows, key=lambda row: row.result.cpu_share)
    share = busiest.result.cpu_share
    if share > _GENERATOR_MAX:
        yield f"the load generator used {share:.0%} of its core ({busiest.what}): it was measured"
    disturbed = max(rows, key=lambda row: row.others)
    if disturbed.others > _OTHERS_MAX:
        yield (
            f"other programs took up to {disturbed.others:.0%} of a core meanwhile "
            f"({disturbed.what}): the machine was not quiet, rates are too low"
        )


def _word(*, met: bool) -> str:
    return "met" if met else "MISSED"
