"""A server under measurement: worlds are loaded into it, and rows measured."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from secrets import token_hex
from statistics import median
from typing import Final

import asyncpg
from calls import ITEMS_PER_BULK
from cases import NO_CACHES, RESULT_WARM, Case
from drive import Plan, Result
from processes import cpu_seconds, machine_busy_s, memory_mb
from report import Row
from server import HOST, Server, ServerFailedError
from world import SCHEMA

from grantlog.cli.databases import PRIMARY

_HERE: Final = Path(__file__).resolve().parent
API_CORE: Final = 0
OTHERS_CORE: Final = 1
_HITS: Final = "grantlog_cache_hits_total"
_GROWTH_ROUNDS: Final = 3


@dataclass(frozen=True)
class Spans:
    """How long a run warms up and is measured, in seconds."""

    warmup_s: float
    seconds: float

    @property
    def whole_s(self) -> float:
        """Both."""
        return self.warmup_s + self.seconds


class Meter:
    """Processor time and cache hits from its creation to its reading."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._spent, self._strangers = self._clocks()
        self._hits = cache_hits(server.get("/metrics"))
        self._begun = time.perf_counter()

    def _clocks(self) -> tuple[dict[str, float], float]:
        spent = cpu_seconds(self._server.pid)
        children = getrusage(RUSAGE_CHILDREN)
        generator = children.ru_utime + children.ru_stime
        return spent, machine_busy_s() - sum(spent.values()) - generator

    def read(self, calls: int) -> tuple[dict[str, float], float, dict[str, float]]:
        """Microseconds a call by role of the server's processes; the strangers' share of a core;
        hits a call by cache."""
        spent, strangers = self._clocks()
        elapsed = time.perf_counter() - self._begun
        calls = max(calls, 1)
        us = {role: (s - self._spent[role]) / calls * 1e6 for role, s in spent.items()}
        hits = cache_hits(self._server.get("/metrics"))
        per_call = {cache: (number - self._hits[cache]) / calls for cache, number in hits.items()}
        return us, max(0.0, (strangers - self._strangers) / elapsed), per_call


def cache_hits(metrics: str) -> dict[str, float]:
    """Hits so far by cache, from the text of /metrics; 0 where the server has no such cache."""
    found = {"result": 0.0, "relation": 0.0}
    for line in metrics.splitlines():
        name, _, rest = line.partition("{")
        labels, _, value = rest.partition("}")
        if name == _HITS:
            for cache in found:
                found[cache] += float(value) if f'"{cache}"' in labels else 0.0
    return found


class Bench:
    """Rows are measured against the server that is `server` at the moment."""

    def __init__(self, server: Server, spans: Spans, *, pinned: bool) -> None:
        self.server = server
        self._spans = spans
        self._pinned = pinned
        self._seed = 0

    def load(self, shape: str, size: int) -> Row:
        """Write a world; how that went."""
        tenant = tenant_of(shape, size)
        self.server.post(f"/v1/tenants/{tenant}/schemas/write", {"schema": SCHEMA})
        case = Case("load", "", "load", shape=shape, in_flight=4, connections=4)
        return self._row(case, size, self._plan(case, size))

    def settle(self) -> None:
        """Let the database tidy up after loading, now and not in the middle of a row."""

        async def vacuum() -> None:
            connection = await asyncpg.connect(self.server.dsn(PRIMARY))
            try:
                await connection.execute("VACUUM ANALYZE")
                await connection.execute("CHECKPOINT")
            finally:
                await connection.close()

        asyncio.run(vacuum())

    def measure(self, case: Case, size: int) -> Row:
        """What the server takes, and the latency at half of that."""
        plan = self._plan(case, size)
        self.warm(case, plan)
        row = self._row(case, size, plan)
        rate = row.result.rate / 2
        if case.kind in ("write", "bulk") or row.result.errors or not rate:
            return row
        asked = row.result.calls_total * (ITEMS_PER_BULK if case.kind == "bulkcheck" else 1)
        skip = 0 if case.warmth == "result" else asked
        half = replace(plan, rate=rate, skip=skip, fresh=token_hex(4))
        return replace(row, half=self.drive(half))

    def warm(self, case: Case, plan: Plan) -> None:
        """Have the caches know what the case says they know before the plan is run."""
        if case.warmth not in ("relation", "result"):
            return
        plan = replace(
            plan, kind="warm", protocol="grpc", port=self.server.grpc_port,
            connections=8, in_flight=64, distinct=RESULT_WARM if case.warmth == "result" else 0,
        )  # fmt: skip
        done = self.drive(plan)
        if done.errors:
            raise ServerFailedError(f"{case.name}: warming: {done.first_error}")

    def growth(self, warmth: str, sizes: list[int]) -> dict[str, float]:
        """p50 in ms of a lone caller by size, in rounds over all sizes so that noise hits all."""
        case = Case("check 3-level", warmth, "check", "3-level", in_flight=1, connections=1)
        seen: dict[int, list[float]] = {size: [] for size in sizes}
        for size in sizes:
            self.warm(case, self._plan(case, size))
        for _ in range(_GROWTH_ROUNDS):
            for size in sizes:
                seen[size].append(self.drive(self._plan(case, size)).p50_ms)
        return {str(size): median(values) for size, values in seen.items()}

    def _row(self, case: Case, size: int, plan: Plan) -> Row:
        meter = Meter(self.server)
        result = self.drive(plan)
        us, others, hits = meter.read(result.calls_total)
        return Row(case.name, size, case.in_flight, result, us, others, hits,
                   memory_mb(self.server.pid))  # fmt: skip

    def _plan(self, case: Case, size: int) -> Plan:
        self._seed += 1
        return Plan(
            kind=case.kind,
            protocol=case.protocol,
            host=HOST,
            port=self.server.grpc_port if case.protocol == "grpc" else self.server.http_port,
            tenant=tenant_of(case.shape, size),
            size=size,
            seed=self._seed,
            connections=case.connections,
            in_flight=case.in_flight,
            warmup_s=self._spans.warmup_s,
            seconds=self._spans.seconds,
            core=OTHERS_CORE if self._pinned else None,
            shape=case.shape,
            question=case.question,
            docs=case.docs,
            fresh=token_hex(4),
            distinct=case.distinct(self._spans.whole_s),
        )

    def drive(self, plan: Plan) -> Result:
        """Run the load generator in a process of its own."""
        command = [sys.executable, _HERE / "drive.py", json.dumps(asdict(plan))]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        return Result(**json.loads(done.stdout))


def tenant_of(shape: str, size: int) -> str:
    """The tenant that holds a world."""
    return f"bench-{shape}-{size}"


def environment_of(warmth: str) -> Mapping[str, str]:
    """How the server must be set for rows of a warmth."""
    return NO_CACHES if warmth == "cold" else {}
