#!/usr/bin/env python3
"""Measure how soon a commit is told to a watcher, and how soon a replica has it, over Kafka.

`run.py` measures it too; alone: `benchmarks/lag.py [--rate 500] [--seconds 20]`.

Processes of their own: API, follower (which publishes and keeps a replica), watch service, Kafka,
and Postgres. Writes are due at fixed times, whatever became of those before (an open loop), so that
a pause of anything is seen by every write that was due in it. Both times begin at the commit time
that the log names, which is taken before the commit itself: they include that. A watcher was told
when the bytes of its message were read. The replica is looked at every 10 ms, so its lag may be as
much too large. The generator shares the machine with what it measures: `lag_traffic.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import asyncpg
import uvloop
from deployment import Place, deployment, missing
from lag_traffic import Traffic, connected, write_request
from processes import cpu_seconds, machine_busy_s, on_cpu_s
from server import HOST

from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.model.token import SnapToken, encode_token

_now: Final = time.time  # noqa: TID251 - compared with the database's clock
_SCHEMA: Final = "entity user {}\nentity doc { relation viewer @user }"
RATE: Final = 500.0
SECONDS: Final = 20.0
WARMUP_S: Final = 5.0
_TENANTS: Final = 8
_POLL_S: Final = 0.01
"""Between looks at the replica: what its lag may be too large by."""
_SETTLE_S: Final = 10.0
_BARS_MS: Final = {"subscriber": 50.0, "replica": 100.0}


@dataclass(frozen=True)
class Lag:
    """What a run showed; milliseconds."""

    offered: float
    """Writes that were due a second."""
    achieved: float
    """Writes a second from the first that was due to the last answer."""
    writes: int
    write_p50: float
    """From when a write was due to its acknowledgement."""
    write_p99: float
    subscriber_p50: float
    """From the commit time to the watcher having the message."""
    subscriber_p99: float
    replica_p50: float
    """From the commit time to the replica having been seen to hold it."""
    replica_p99: float
    cores: dict[str, float]
    """Processor time meanwhile, in cores, by role; `machine` is all of it, strangers included."""

    def verdicts(self) -> Generator[str]:
        """How it stands against the bars."""
        kept = abs(self.achieved / self.offered - 1) < 0.02
        yield (
            f"offered {self.offered:,.0f} writes/s, achieved {self.achieved:,.0f}/s: "
            f"{'equal' if kept else 'NOT EQUAL'}; a write takes {self.write_p50:.1f} ms, "
            f"p99 {self.write_p99:.1f} ms"
        )
        shares = ", ".join(f"{role} {cores:.2f}" for role, cores in self.cores.items())
        yield f"cores used meanwhile: {shares}"
        for what, p50, p99 in (
            ("subscriber", self.subscriber_p50, self.subscriber_p99),
            ("replica", self.replica_p50, self.replica_p99),
        ):
            met = "met" if p99 <= _BARS_MS[what] else "MISSED"
            yield (
                f"commit to {what}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, "
                f"bar {_BARS_MS[what]:.0f} ms: {met}"
            )


@dataclass
class Seen:
    """When things happened, in seconds since the epoch."""

    due: dict[str, float] = field(default_factory=dict[str, float])
    """By token."""
    acknowledged: dict[str, float] = field(default_factory=dict[str, float])
    told: dict[str, float] = field(default_factory=dict[str, float])
    applied: dict[str, list[tuple[float, int]]] = field(
        default_factory=dict[str, list[tuple[float, int]]]
    )
    """By tenant: when the replica was first seen at a revision."""


def measure(rate: float, seconds: float, warmup_s: float) -> Lag:
    """Start everything, offer the writes, and stop it again.

    Raises:
        ServerFailedError: something did not start.
    """
    with deployment() as place, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measured(place, rate, seconds, warmup_s))


async def _measured(place: Place, rate: float, seconds: float, warmup_s: float) -> Lag:
    tenants = [f"lag-{number}" for number in range(_TENANTS)]
    for tenant in tenants:
        place.server.post(f"/v1/tenants/{tenant}/schemas/write", {"schema": _SCHEMA})
    seen = Seen()
    warming = _requests(tenants, int(rate * warmup_s), "warmup")
    requests = _requests(tenants, int(rate * seconds), "doc")
    gc.collect()
    gc.disable()  # a collection would show as a pause of everything; nothing here makes cycles
    async with _traffic(place) as traffic, _replica_polled(place.replica, seen):
        await traffic.watch(tenants)
        await traffic.offer(warming, rate)
        traffic.take_answers()
        before, begun = _clocks(place), _now()
        await traffic.offer(requests, rate)
        elapsed = _now() - begun
        cores = {role: (s - before[role]) / elapsed for role, s in _clocks(place).items()}
        for token, (due, at) in traffic.take_answers().items():
            seen.due[token], seen.acknowledged[token] = due, at
        commits = await _commits(place.primary, begun)
        last = {tenant: revision for tenant, revision, _, _ in commits}
        await _settled(traffic, seen, last)
    first, ended = min(seen.due.values()), max(seen.acknowledged.values())
    return summary(seen, commits, rate, (len(seen.due) - 1) / (ended - first), cores)


def _clocks(place: Place) -> dict[str, float]:
    """Processor seconds so far, by role."""
    spent = cpu_seconds(place.server.pid)
    spent |= {role: on_cpu_s(pid) for role, pid in place.pids.items()}
    return spent | {"generator": time.process_time(), "machine": machine_busy_s()}


@asynccontextmanager
async def _traffic(place: Place) -> AsyncGenerator[Traffic]:
    traffic = await connected(HOST, place.server.grpc_port)
    try:
        yield traffic
    finally:
        traffic.close()


def _requests(tenants: list[str], number: int, name: str) -> list[bytes]:
    """So many writes of new tuples, to each tenant in turn."""
    return [write_request(tenants[n % len(tenants)], f"{name}{n}") for n in range(number)]


@asynccontextmanager
async def _replica_polled(dsn: str, seen: Seen) -> AsyncGenerator[None]:
    """For the block, note when the replica is at a revision."""
    connection = await asyncpg.connect(dsn)

    async def poll() -> None:
        statement = await connection.prepare("SELECT tenant_id, revision FROM heads")
        while True:
            rows = await statement.fetch()
            now = _now()
            for tenant, revision in rows:
                found = seen.applied.setdefault(tenant, [])
                if not found or found[-1][1] < revision:
                    found.append((now, revision))
            await asyncio.sleep(_POLL_S)

    async with asyncio.TaskGroup() as group:
        polling = group.create_task(poll())
        try:
            yield
        finally:
            polling.cancel()
    await connection.close()


async def _commits(dsn: str, since: float) -> list[tuple[str, int, float, str]]:
    """Tenant, revision, commit time and token of every data write since then."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "SELECT tenant_id, revision, epoch, extract(epoch FROM commit_time)::float8 AS at "
            "FROM transactions WHERE commit_time >= to_timestamp($1) AND tenant_id LIKE 'lag-%' "
            "ORDER BY tenant_id, revision",
            since,
        )
    finally:
        await connection.close()
    return [(row["tenant_id"], row["revision"], row["at"], _token(row)) for row in rows]


def _token(row: Any) -> str:
    return encode_token(
        TenantId(row["tenant_id"]), SnapToken(Epoch(row["epoch"]), Revision(row["revision"]))
    )


async def _settled(traffic: Traffic, seen: Seen, last: dict[str, int]) -> None:
    """Wait until everything is told and applied."""
    async with asyncio.timeout(_SETTLE_S):
        while True:
            seen.told = traffic.told()
            applied = (seen.applied[tenant][-1][1] >= end for tenant, end in last.items())
            if seen.told.keys() >= seen.due.keys() and all(applied):
                return
            await asyncio.sleep(0.05)


def summary(
    seen: Seen,
    commits: list[tuple[str, int, float, str]],
    offered: float,
    achieved: float,
    cores: dict[str, float],
) -> Lag:
    told, applied = list[float](), list[float]()
    for tenant, revision, at, token in commits:
        if token in seen.due:
            told.append(seen.told[token] - at)
            applied.append(next(t for t, r in seen.applied[tenant] if r >= revision) - at)
    written = [seen.acknowledged[token] - due for token, due in seen.due.items()]
    return Lag(
        offered, achieved, len(written),
        *_percentiles(written), *_percentiles(told), *_percentiles(applied), cores,
    )  # fmt: skip


def _percentiles(seconds: list[float]) -> tuple[float, float]:
    ordered = sorted(seconds)
    return 1000 * ordered[len(ordered) // 2], 1000 * ordered[len(ordered) * 99 // 100]


def main() -> int:
    """Exit status: 0, or 2 if nothing could run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=RATE, help="writes a second")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--warmup", type=float, default=WARMUP_S, help="seconds before it")
    options = parser.parse_args()
    if lacking := missing():
        print(f"lag: not run: {lacking}", file=sys.stderr)
        return 2
    lag = measure(options.rate, options.seconds, options.warmup)
    for verdict in lag.verdicts():
        print(f"- {verdict}")
    print(asdict(lag))
    return 0


if __name__ == "__main__":
    sys.exit(main())
