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
    ("what", 24), ("tuples", 9), ("in flight", 9), ("calls/s", 9), ("p50 ms", 8), ("p99 ms", 8),
    ("errors", 6), ("api s/1k", 8), ("db s/1k", 8), ("generator", 9), ("others", 6),
    ("baseline", 8),
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One run."""

    what: str
    size: int
    in_flight: int
    result: Result
    cpu_per_1000: Mapping[str, float]
    """Processor seconds per 1,000 calls, by role of the server's processes."""
    others: float
    """Processor time that other programs took meanwhile, in cores: near 0 on a quiet machine."""

    @property
    def key(self) -> str:
        """What makes two rows of different runs comparable."""
        return f"{self.what}/{self.size}/{self.in_flight}"


def header() -> str:
    """The table's first two lines."""
    names = " | ".join(name.rjust(width) for name, width in _COLUMNS)
    rules = "-|-".join("-" * width for _, width in _COLUMNS)
    return f"| {names} |\n|-{rules}-|"


def line(row: Row, baseline: Mapping[str, float]) -> str:
    """A row of the table; the last column is its rate against the baseline's."""
    result = row.result
    before = baseline.get(row.key)
    cells = (
        row.what,
        f"{row.size:,}",
        str(row.in_flight),
        f"{result.rate:,.0f}",
        f"{result.p50_ms:.2f}",
        f"{result.p99_ms:.2f}",
        str(result.errors),
        f"{row.cpu_per_1000['api']:.3f}",
        f"{row.cpu_per_1000['database']:.3f}",
        f"{result.cpu_share:.0%}",
        f"{row.others:.0%}",
        f"{result.rate / before:.2f}x" if before else "-",
    )
    padded = (cell.rjust(width) for cell, (_, width) in zip(cells, _COLUMNS, strict=True))
    return f"| {' | '.join(padded)} |"


def machine() -> dict[str, Any]:
    """Where it was measured."""
    model = "unknown"
    for text in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if text.startswith("model name"):
            model = text.partition(":")[2].strip()
    cores = len(os.sched_getaffinity(0))
    return {"cpu": model, "cores": cores, "python": platform.python_version()}


def save(path: Path, rows: Sequence[Row], notes: Mapping[str, Any]) -> dict[str, Any]:
    """Write everything as JSON; what was written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = {"machine": machine(), "notes": dict(notes), "rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def load_rates(path: Path) -> dict[str, float]:
    """Rates of an earlier run by row key; none if there is no such file."""
    if not path.exists():
        return {}
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return {f"{r['what']}/{r['size']}/{r['in_flight']}": r["result"]["rate"] for r in rows}
