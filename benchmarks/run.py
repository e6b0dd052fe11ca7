#!/usr/bin/env python3
"""Measure a server of its own: checks, lookups and writes over gRPC and REST, and what they cost.

Prints a table and writes it as JSON. `make bench` runs it; see README.md for how to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import bars
import lag
import lookups
import peer
from bench import API_CORE, OTHERS_CORE, Bench, Spans, environment_of
from cases import CASES, Case, Chosen, chosen, mistakes
from compare import compare
from report import Row, header, line, load_rates, save, writes_line
from server import ServerFailedError, running_server

_HERE: Final = Path(__file__).resolve().parent
_WIDE: Final = 1_000
"""Groups of each user in the wide world."""
_QUICK: Final = {
    "sizes": [10_000],
    "seconds": 1.0,
    "warmup": 0.5,
    "huge": 10_000,
    "replay": 0,
    "lookups": [10_000],
}
_QUICK_REPLAY: Final = 20_000
"""Changes to replay in a quick run that is asked for it by name."""
_GROWTH: Final = "growth of p50, 3-level, {}"


class Run:
    """Everything that was chosen, measured one after the other."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._chosen: Chosen = options.chosen
        self._baseline = load_rates(options.baseline)
        self._pinned = len(os.sched_getaffinity(0)) > 1
        self._spans = Spans(options.warmup, options.seconds)
        self.rows: list[Row] = []
        self.looked: list[lookups.Looked] = []
        self.notes: dict[str, Any] = {"growth_p50": {}, "lookups": []}

    def measure(self, data: Path) -> None:
        """Load the worlds, then every row with a server started for it, on the same data."""
        rows = [(case, size) for case in CASES for size in self._sizes(case)]
        grows = [warmth for warmth in ("relation", "cold") if self._grows(warmth)]
        load = ", ".join(f"{average:.2f}" for average in os.getloadavg())
        print(f"load average of the machine before: {load}")
        if rows:
            print(header(), flush=True)
        self._load(data, rows, grows=bool(grows))
        for case, size in rows:
            with self._bench(data, case.warmth) as bench:
                self._keep(bench.measure(case, size))
        for warmth in grows:
            with self._bench(data, warmth) as bench:
                self._grow(bench, warmth)
        if self._chosen.takes("lookups"):
            with self._bench(data, "") as bench:
                self.looked = lookups.show(lookups.measure(bench.server, self._options.lookups))
            self.notes["lookups"] = [asdict(row) for row in self.looked]

    @contextmanager
    def _bench(self, data: Path, warmth: str) -> Generator[Bench]:
        """A server that has just begun, set for a warmth."""
        with running_server(self._options.serve, environment_of(warmth), data=data) as server:
            if self._pinned:
                server.pin(api=API_CORE, others=OTHERS_CORE)
            yield Bench(server, self._spans, pinned=self._pinned)

    def _sizes(self, case: Case) -> Iterator[int]:
        """In which worlds a case is measured."""
        sizes = _sizes(case, self._options)
        return (size for size in sizes if self._chosen.takes(f"{case.name} {size}"))

    def _grows(self, warmth: str) -> bool:
        several = len(self._options.sizes) > 1
        return several and self._chosen.takes(_GROWTH.format(warmth))

    def _load(self, data: Path, rows: list[tuple[Case, int]], *, grows: bool) -> None:
        """Write the worlds that are asked about."""
        worlds = {(case.shape, size) for case, size in rows}
        worlds |= {("regular", size) for size in self._options.sizes if grows}
        note = data / "worlds.json"
        kept = {tuple(world) for world in json.loads(note.read_text())} if note.exists() else set()
        if not worlds - kept:
            return
        with self._bench(data, "") as bench:
            for shape, size in sorted(worlds - kept, key=lambda world: world[1]):
                self._keep(bench.load(shape, size))
            bench.settle()
        note.write_text(json.dumps(sorted(worlds | kept)))

    def _keep(self, row: Row) -> None:
        self.rows.append(row)
        print(line(row, self._baseline), flush=True)
        if beside := writes_line(row):
            print(beside, flush=True)
        error = row.result.first_error or (row.half.first_error if row.half else "")
        if error:
            print(f"  {row.errors} errors, the first: {error}", file=sys.stderr)

    def _grow(self, bench: Bench, warmth: str) -> None:
        growth = bench.growth(warmth, self._options.sizes)
        self.notes["growth_p50"][warmth] = growth
        smallest = growth[str(self._options.sizes[0])]
        for size, p50 in growth.items():
            what = f"{_GROWTH.format(warmth)}, {int(size):,} tuples"
            print(f"  {what}: {p50:.3f} ms, {p50 / smallest:.2f}x", flush=True)


def _sizes(case: Case, options: argparse.Namespace) -> list[int]:
    """The worlds that a case could be measured in."""
    sizes: list[int] = options.sizes
    if case.shape != "regular":
        return [_WIDE if case.shape == "wide" else options.huge]
    return sizes[:1] if case.sized == "small" else sizes


def _names(options: argparse.Namespace) -> list[str]:
    """All that `--only` could take."""
    rows = [f"{case.name} {size}" for case in CASES for size in _sizes(case, options)]
    several = len(options.sizes) > 1
    grows = [_GROWTH.format(warmth) for warmth in ("relation", "cold") if several]
    replay = ["replay"] if options.replay else []
    return [*rows, *grows, *replay, "lookups", "lag"]


def _whole(text: str) -> list[int]:
    """Numbers with commas between them.

    Raises:
        argparse.ArgumentTypeError: something else, or none above 0.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not as 10000,1000000")
    return [int(part) for part in parts]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", action="append", default=[], metavar="WORDS",
        help="measure rows whose name has all these words, as in 'grpc 3-level relation'; "
        "also: lookups, lag, replay, growth; may be given again",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="small worlds, short runs")
    parser.add_argument("--sizes", type=_whole, help="tuples of each world (10000,1000000)")
    parser.add_argument("--ten-million", action="store_true", help="a world of that many, too")
    parser.add_argument("--huge", type=int, help="members of the huge group (1000000)")
    parser.add_argument(
        "--lookups", type=_whole, help="documents of lookups' worlds (10000,300000)"
    )
    parser.add_argument(
        "--data", type=Path, help="keep the data in this folder, and use worlds that are there"
    )
    parser.add_argument("--seconds", type=float, help="of each run (3; of lag 20)")
    parser.add_argument("--warmup", type=float, help="seconds before each run (1)")
    parser.add_argument("--output", type=Path, default=_HERE / "results" / "latest.json")
    parser.add_argument("--add", action="store_true", help="keep other rows of the output file")
    parser.add_argument("--baseline", type=Path, default=_HERE / "results" / "baseline.json")
    parser.add_argument("--replay", type=int, help="changes to replay; 0: none (100000)")
    parser.add_argument("--compare", action="store_true", help="show what the baseline had")
    parser.add_argument("--peer", choices=("spicedb",), help="ask another service the same")
    parser.add_argument("serve", nargs="*", help="flags for grantlog serve, behind --")
    options = parser.parse_args()
    options.lag_seconds = options.seconds or lag.SECONDS
    full = {"sizes": [10_000, 1_000_000], "seconds": 3.0, "warmup": 1.0, "huge": 1_000_000,
            "replay": 100_000, "lookups": list(lookups.SIZES)}  # fmt: skip
    if options.quick and options.only and options.replay is None:
        options.replay = _QUICK_REPLAY
    for name, value in (_QUICK if options.quick else full).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.ten_million:
        options.sizes = [*options.sizes, 10_000_000]
    if options.serve and not options.serve[0].startswith("-"):
        parser.error(
            f"{options.serve[0]!r} is no flag of grantlog serve; --only takes one argument: "
            "make bench ARGS=\"--only 'grpc 3-level'\""
        )
    if wrong := "; ".join(mistakes(options.only, _names(options))):
        sizes = ", ".join(map(str, options.sizes))
        parser.error(f"{wrong} (worlds of this run: {sizes}; growth needs two)")
    if options.compare and not options.baseline.exists():
        parser.error(f"--compare: there is no file {options.baseline}")
    options.chosen = chosen(options.only)
    return options


def _beside(run: Run, options: argparse.Namespace) -> Iterator[str]:
    """How lookups went; and what has processes of its own: lag, replay, the peer."""
    for row in run.looked:
        yield from (f"{row.size:,} documents: {verdict}" for verdict in row.verdicts())
    quick = options.quick and not options.only
    if options.chosen.takes("lag") and not quick:
        lagged = None if lag.missing() else lag.measure(lag.RATE, options.lag_seconds, lag.WARMUP_S)
        run.notes["lag"] = asdict(lagged) if lagged else None
        yield from lagged.verdicts() if lagged else [f"lag: not run: {lag.missing()}"]
    if options.chosen.takes("replay") and options.replay:
        command = [sys.executable, str(_HERE / "replay.py"), "--changes", str(options.replay)]
        subprocess.run(command, check=False)
    if options.peer:
        asked = peer.measure(options.sizes[0], options.seconds, options.warmup)
        run.notes["peer"] = [asdict(row) for row in asked]
        yield from peer.ratios(asked, run.rows)


def main() -> int:
    """Exit status: 0, or 1 if a call failed or was answered wrongly, or 2 if nothing could run."""
    options = _options()
    run = Run(options)
    try:
        with tempfile.TemporaryDirectory(prefix="grantlog-bench-") as data:
            run.measure(options.data or Path(data))
        beside = list(_beside(run, options))
    except (ServerFailedError, peer.PeerMissingError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    for verdict in (*bars.verdicts(run.rows, run.notes), *beside):
        print(f"- {verdict}")
    saved = save(options.output, run.rows, run.notes, add=options.add)
    if options.compare:
        for text in compare(json.loads(options.baseline.read_text(encoding="utf-8")), saved):
            print(text)
    print(f"kept in {options.output}; benchmarks/README.md says how to read it")
    return 1 if any(row.errors for row in run.rows) else 0


if __name__ == "__main__":
    sys.exit(main())
