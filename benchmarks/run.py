#!/usr/bin/env python3
"""Measure a server of its own: checks and writes over gRPC and REST, and growth with the data.

Prints a table and writes it as JSON. `make bench` runs it; see README.md for how to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median
from typing import Any, Final

import lag
import lookups
from compare import compare
from drive import Plan, Result
from processes import cpu_seconds, machine_busy_s, memory_mb
from report import Row, header, line, load_rates, save
from server import HOST, Server, ServerFailedError, running_server
from world import SCHEMA

_HERE: Final = Path(__file__).resolve().parent
_GROWTH_ROUNDS: Final = 3
_API_CORE: Final = 0
_GENERATOR_CORE: Final = 1
_OTHERS_MAX: Final = 0.15
_BARS: Final = (("grpc check", 64, 2000), ("grpc write", 64, 1000))


@dataclass(frozen=True)
class Load:
    """A kind of load on the middle world."""

    kind: str
    protocol: str
    in_flight: int
    connections: int

    @property
    def name(self) -> str:
        """As the table shows it."""
        return f"{self.protocol} {self.kind}"


_LOADS: Final = (
    Load("check", "grpc", 1, 1),
    Load("check", "grpc", 8, 8),
    Load("check", "grpc", 64, 8),
    Load("check", "rest", 1, 1),
    Load("check", "rest", 64, 64),
    Load("write", "grpc", 1, 1),
    Load("write", "grpc", 64, 64),
    Load("write", "rest", 64, 64),
    Load("bulk", "grpc", 4, 4),
)


class Meter:
    """Processor time from its creation to its reading: the server's, and that of strangers."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._server, self._strangers = self._clocks()
        self._begun = time.perf_counter()

    def _clocks(self) -> tuple[dict[str, float], float]:
        server = cpu_seconds(self._pid)
        generator = getrusage(RUSAGE_CHILDREN)
        ours = sum(server.values()) + generator.ru_utime + generator.ru_stime
        return server, machine_busy_s() - ours

    def read(self) -> tuple[dict[str, float], float]:
        """Seconds by role of the server's processes, and the strangers' share in cores."""
        server, strangers = self._clocks()
        spent = {role: seconds - self._server[role] for role, seconds in server.items()}
        elapsed = time.perf_counter() - self._begun
        return spent, max(0.0, (strangers - self._strangers) / elapsed)


class Bench:
    """A server under measurement."""

    def __init__(self, server: Server, options: argparse.Namespace) -> None:
        self._server = server
        self._options = options
        self._baseline = load_rates(options.baseline)
        self._seed = 0
        self._cores = len(os.sched_getaffinity(0))
        self.rows: list[Row] = []

    def run(self) -> dict[str, Any]:
        """Measure everything; what is not in the rows."""
        if self._cores > 1:
            self._server.pin_api(_API_CORE)
        sizes: list[int] = self._options.sizes
        print(header())
        for size in sizes:
            self._load(size)
        for load in _LOADS:
            self._measure(load, sizes[len(sizes) // 2])
        growth = self._growth(sizes) if len(sizes) > 1 else {}
        return {"growth_p50": growth, "memory_mb": memory_mb(self._server.pid)}

    def _load(self, size: int) -> None:
        """Write a world's schema and tuples."""
        self._server.post(f"/v1/tenants/{_tenant(size)}/schemas/write", {"schema": SCHEMA})
        self._measure(Load("load", "grpc", 4, 4), size)

    def _measure(self, load: Load, size: int) -> Result:
        """Run a load, and keep and print its row."""
        meter = Meter(self._server.pid)
        result = self._drive(load, size)
        spent, others = meter.read()
        calls = max(result.calls_total, 1)
        per_1000 = {role: seconds / calls * 1000 for role, seconds in spent.items()}
        row = Row(load.name, size, load.in_flight, result, per_1000, others)
        self.rows.append(row)
        print(line(row, self._baseline), flush=True)
        if result.errors:
            print(f"  {result.errors} errors, the first: {result.first_error}", file=sys.stderr)
        return result

    def _drive(self, load: Load, size: int) -> Result:
        """Run the load generator in a process of its own."""
        self._seed += 1
        plan = Plan(
            kind=load.kind,
            protocol=load.protocol,
            host=HOST,
            port=self._server.grpc_port if load.protocol == "grpc" else self._server.http_port,
            tenant=_tenant(size),
            size=size,
            seed=self._seed,
            connections=load.connections,
            in_flight=load.in_flight,
            warmup_s=self._options.warmup,
            seconds=self._options.seconds,
            core=_GENERATOR_CORE if self._cores > 1 else None,
        )
        command = [sys.executable, _HERE / "drive.py", json.dumps(asdict(plan))]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        return Result(**json.loads(done.stdout))

    def _growth(self, sizes: list[int]) -> dict[str, float]:
        """p50 of a lone caller by size, in rounds over all sizes so that noise hits all alike."""
        lone = Load("check", "grpc", 1, 1)
        seen: dict[int, list[float]] = {size: [] for size in sizes}
        for _ in range(_GROWTH_ROUNDS):
            for size in sizes:
                seen[size].append(self._drive(lone, size).p50_ms)
        growth = {str(size): median(values) for size, values in seen.items()}
        smallest = growth[str(sizes[0])]
        print(
            f"{'check of three levels, one caller':<34} {'tuples':>9} {'p50 ms':>8} {'growth':>7}"
        )
        for size, p50 in growth.items():
            print(f"{'':<34} {int(size):>9,} {p50:>8.2f} {p50 / smallest:>6.2f}x")
        return growth


def _tenant(size: int) -> str:
    return f"bench-{size}"


def _verdicts(rows: list[Row], notes: dict[str, Any]) -> Iterator[str]:
    """How the run stands against the bars that the project set itself."""
    for what, in_flight, bar in _BARS:
        for row in rows:
            if row.what == what and row.in_flight == in_flight:
                met = "met" if row.result.rate >= bar else "MISSED"
                yield f"{what}, {row.size:,} tuples: {row.result.rate:,.0f}/s, bar {bar:,}/s: {met}"
    growth = list(notes["growth_p50"].items())
    if growth:
        (small, before), (large, after) = growth[0], growth[-1]
        times = after / before
        met = "met" if times < 1.5 else "MISSED"
        yield (
            f"growth of p50 from {int(small):,} to {int(large):,} tuples: {before:.2f} to "
            f"{after:.2f} ms, {times:.2f} times, bar 1.5: {met}"
        )
    busiest = max(rows, key=lambda row: row.result.cpu_share)
    yield (
        f"the load generator used at most {busiest.result.cpu_share:.0%} of its core "
        f"({busiest.what}): below 80% it is not what was measured"
    )
    disturbed = max(rows, key=lambda row: row.others)
    if disturbed.others > _OTHERS_MAX:
        yield (
            f"other programs took up to {disturbed.others:.0%} of a core meanwhile "
            f"({disturbed.what}): the machine was not quiet, rates are too low"
        )
    memory = ", ".join(f"{role} {mb:,.0f} MB" for role, mb in notes["memory_mb"].items() if mb)
    yield f"memory at the end: {memory}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="10000,100000,1000000", help="tuples of each world")
    parser.add_argument(
        "--lookups",
        default=",".join(map(str, lookups.SIZES)),
        help="documents of lookups' worlds; with 1000000 it takes half an hour longer",
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="of each run")
    parser.add_argument("--warmup", type=float, default=1.0, help="seconds before each run")
    parser.add_argument("--output", type=Path, default=_HERE / "results" / "latest.json")
    parser.add_argument("--baseline", type=Path, default=_HERE / "results" / "baseline.json")
    parser.add_argument("--replay", type=int, default=100_000, help="changes to replay; 0: none")
    parser.add_argument("--compare", action="store_true", help="show what the baseline had")
    parser.add_argument("serve", nargs="*", help="flags for grantlog serve, behind --")
    options = parser.parse_args()
    options.sizes = [int(size) for size in options.sizes.split(",")]
    options.lookups = [int(size) for size in options.lookups.split(",") if size]
    return options


def main() -> int:
    """Exit status: 0, or 1 if a call failed or was answered wrongly, or 2 if nothing could run."""
    options = _options()
    try:
        with running_server(options.serve) as server:
            bench = Bench(server, options)
            notes = bench.run()
            looked = lookups.show(lookups.measure(server, options.lookups))
        lagged = None if lag.missing() else lag.measure(lag.RATE, lag.SECONDS, lag.WARMUP_S)
    except ServerFailedError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    if options.replay:
        subprocess.run(
            [sys.executable, str(_HERE / "replay.py"), "--changes", str(options.replay)],
            check=False,
        )
    for verdict in _verdicts(bench.rows, notes):
        print(f"- {verdict}")
    for row in looked:
        for verdict in row.verdicts():
            print(f"- {row.size:,} documents: {verdict}")
    for verdict in lagged.verdicts() if lagged else [f"lag: not run: {lag.missing()}"]:
        print(f"- {verdict}")
    notes["lag"] = asdict(lagged) if lagged else None
    notes["lookups"] = [asdict(row) for row in looked]
    run = save(options.output, bench.rows, notes)
    if options.compare:
        for text in compare(json.loads(options.baseline.read_text(encoding="utf-8")), run):
            print(text)
    return 1 if any(row.result.errors for row in bench.rows) else 0


if __name__ == "__main__":
    sys.exit(main())
