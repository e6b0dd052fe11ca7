"""Rows of what was measured: a table for people, JSON to compare with."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from drive import Result

_COLUMNS: Final = (
    ("what", 38), ("tuples", 10), ("flight", 6), ("calls/s", 8), ("offered", 8), ("achieved", 8),
    ("p50 ms", 7), ("p99 ms", 7), ("errors", 6), ("api us", 7), ("db us", 7), ("gen us", 6),
    ("api MB", 6), ("db MB", 6), ("hits", 5), ("others", 6), ("before", 7),
)  # fmt: skip
_KEPT: Final = 0.02
"""An achieved rate within this of the offered one is equal to it."""


@dataclass(frozen=True)
class Row:
    """One case in one world."""

    what: str
    size: int
    in_flight: int
    result: Result
    """With so many calls in flight: what the server takes."""
    us: Mapping[str, float]
    """Processor time a call in microseconds, by role of the server's processes."""
    others: float
    """Processor time that other programs took meanwhile, in cores: near 0 on a quiet machine."""
    hits: Mapping[str, float]
    """Hits a call by cache."""
    memory_mb: Mapping[str, float]
    """By role."""
    half: Result | None = None
    """At half the rate, offered at fixed times."""

    @property
    def key(self) -> str:
        """What makes two rows of different runs comparable."""
        return f"{self.what}/{self.size}/{self.in_flight}"

    @property
    def errors(self) -> int:
        """Calls that failed or were answered wrongly."""
        return self.result.errors + (self.half.errors if self.half else 0)

    @property
    def generator_us(self) -> float:
        """Processor time of the load generator a call."""
        return self.result.cpu_share / self.result.rate * 1e6 if self.result.rate else 0.0

    @property
    def kept(self) -> bool:
        """Whether the achieved rate is the offered one."""
        return not self.half or is_kept(self.half)


def is_kept(result: Result) -> bool:
    """Whether as many calls were answered as were offered."""
    return abs(result.rate / result.offered - 1) <= _KEPT


def header() -> str:
    """The table's first two lines."""
    names = " | ".join(name.rjust(width) for name, width in _COLUMNS)
    rules = "-|-".join("-" * width for _, width in _COLUMNS)
    return f"| {names} |\n|-{rules}-|"


def line(row: Row, baseline: Mapping[str, float]) -> str:
    """A row of the table; the last column is its rate against the baseline's."""
    result, half = row.result, row.half
    timed = half or result
    before = baseline.get(row.key)
    cells = (
        row.what,
        f"{row.size:,}",
        str(row.in_flight),
        f"{result.rate:,.0f}",
        f"{half.offered:,.0f}" if half else "-",
        f"{half.rate:,.0f}" + ("" if row.kept else "!") if half else "-",
        f"{timed.p50_ms:.2f}",
        f"{timed.p99_ms:.2f}",
        str(row.errors),
        f"{row.us['api']:.0f}",
        f"{row.us['database']:.0f}",
        f"{row.generator_us:.1f}",
        f"{row.memory_mb['api']:.0f}",
        f"{row.memory_mb['database']:.0f}",
        f"{row.hits['result']:.0%}",
        f"{row.others:.0%}",
        f"{result.rate / before:.2f}x" if before else "-",
    )
    padded = (cell.rjust(width) for cell, (_, width) in zip(cells, _COLUMNS, strict=True))
    return f"| {' | '.join(padded)} |"


def writes_line(row: Row) -> str:
    """What stands below a row of checks with writes between them; "" where there are none."""
    timed = row.half or row.result
    if not timed.write_p99_ms:
        return ""
    return (
        f"  of its checks p50 {timed.p50_ms:.2f} ms, p99 {timed.p99_ms:.2f} ms; "
        f"of its writes p50 {timed.write_p50_ms:.2f} ms, p99 {timed.write_p99_ms:.2f} ms"
    )


def machine() -> dict[str, Any]:
    """Where it was measured."""
    model = "unknown"
    for text in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if text.startswith("model name"):
            model = text.partition(":")[2].strip()
    cores = len(os.sched_getaffinity(0))
    load = [round(average, 2) for average in os.getloadavg()]
    return {"cpu": model, "cores": cores, "python": platform.python_version(), "load": load}


def save(
    path: Path, rows: Sequence[Row], notes: Mapping[str, Any], *, add: bool = False
) -> dict[str, Any]:
    """Write everything as JSON; what was written.

    With `add`, what the file has of other rows and notes stays; of these, the file gets the new.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = [asdict(row) for row in rows]
    kept: dict[str, Any] = {"rows": [], "notes": {}}
    if add and path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
    keys = {_key(row) for row in fresh}
    found = {
        "machine": machine(),
        "notes": kept["notes"] | {name: note for name, note in notes.items() if note},
        "rows": [row for row in kept["rows"] if _key(row) not in keys] + fresh,
    }
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def _key(row: Mapping[str, Any]) -> str:
    return f"{row['what']}/{row['size']}/{row['in_flight']}"


def load_rates(path: Path) -> dict[str, float]:
    """Rates of an earlier run by row key; none if there is no such file."""
    if not path.exists():
        return {}
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return {_key(row): row["result"]["rate"] for row in rows}
