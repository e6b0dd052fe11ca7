#!/usr/bin/env python3
"""What is faster and what is slower than in an earlier run.

    benchmarks/compare.py results/baseline.json results/latest.json

`run.py --compare` prints the same behind its own table.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

_NEAR: Final = 1.25
"""Within this, up or down, two runs on this kind of machine are the same."""


class Number(NamedTuple):
    """One result: a rate per second, where more is better, or milliseconds."""

    value: float
    is_rate: bool


def numbers(run: dict[str, Any]) -> dict[str, Number]:
    """The results of a run by name."""
    found: dict[str, Number] = {}
    for row in run["rows"]:
        name = f"{row['what']}, {row['size']:,} tuples, {row['in_flight']} in flight, calls/s"
        found[name] = Number(row["result"]["rate"], is_rate=True)
        if row["half"]:
            name = f"{row['what']}, {row['size']:,} tuples, at half the rate, p99 ms"
            found[name] = Number(row["half"]["p99_ms"], is_rate=False)
            if writes := row["half"].get("write_p99_ms"):  # runs of earlier versions have none
                found[f"{name}, of its writes"] = Number(writes, is_rate=False)
    for warmth, growth in run["notes"].get("growth_p50", {}).items():
        for size, p50 in growth.items():
            name = f"3-level check alone, {warmth}, {int(size):,} tuples, p50 ms"
            found[name] = Number(p50, is_rate=False)
    for row in run["notes"].get("lookups", []):
        for part, what in (("first_ms", "first 100"), ("all_ms", "all"), ("paged_ms", "by 100")):
            name = f"{row['what']}, {row['size']:,} documents, {what}, ms"
            found[name] = Number(row[part], is_rate=False)
    return found


def compare(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """A table of the results that both runs have."""
    old, new = numbers(before), numbers(now)
    yield f"{'against the baseline':<66} {'before':>10} {'now':>10} {'now/before':>10}"
    for name, number in new.items():
        if name in old and old[name].value:
            times = number.value / old[name].value
            gain = times if number.is_rate else 1 / times if times else _NEAR
            word = "better" if gain > _NEAR else "WORSE" if gain < 1 / _NEAR else ""
            values = f"{old[name].value:>10,.1f} {number.value:>10,.1f}"
            yield f"{name:<66} {values} {times:>9.2f}x {word}"
    for which, run in (("before", before), ("now", now)):
        yield f"- {which}: {run['machine']['cpu']}, {run['machine']['cores']} cores"


def main() -> int:
    """Print the table of two files."""
    before, now = (json.loads(Path(name).read_text(encoding="utf-8")) for name in sys.argv[1:3])
    for line in compare(before, now):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
