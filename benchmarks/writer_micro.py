"""Writes into an own Postgres without doors: one tuple each from many clients, and bulks.

    python benchmarks/writer_micro.py [--clients 64] [--seconds 5]

fsync is on, as in service. The client tasks share the process with the writer, so what they cost is
in the numbers too.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from grantlog.model.ids import SchemaVersion, TenantId
from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.ports.facts import TupleFilter
from grantlog.ports.writer import DataIntent, PutFacts, RemoveWhere
from grantlog.runtime.data_dir import DataDir
from grantlog.runtime.embedded import embedded_postgres, machine_memory_bytes, service_settings
from grantlog.runtime.postgres_binaries import find_binaries
from grantlog.store.postgres.migrate import migrate
from grantlog.store.postgres.primary import open_primary_pool
from grantlog.store.postgres.signal import open_signal
from grantlog.store.postgres.writer import PostgresWriter, open_writer

BULK = 1_000

Client = Callable[[PostgresWriter, int, int], Awaitable[object]]


def _fact(name: str, number: int) -> RelationTuple:
    return RelationTuple(Entity("doc", name), "viewer", Subject("user", str(number)))


def _intent(tenant: str, step: PutFacts | RemoveWhere) -> DataIntent:
    return DataIntent(TenantId(tenant), (step,), SchemaVersion(""), write_id=os.urandom(16))


def _one(tenants: int) -> Client:
    def write(writer: PostgresWriter, client: int, turn: int) -> Awaitable[object]:
        fact = _fact(f"{tenants}-{client}-{turn}", turn)
        return writer.write(_intent(f"one{tenants}-{client % tenants}", PutFacts((fact,))))

    return write


async def _put_and_remove(writer: PostgresWriter, client: int, turn: int) -> None:
    fact = _fact(f"{client}-{turn}", client)
    await writer.write(_intent("churn", PutFacts((fact,))))
    where = TupleFilter(entity_type="doc", entity_ids=(fact.entity.id,), relation="viewer")
    await writer.write(_intent("churn", RemoveWhere(where)))


async def _bulk(writer: PostgresWriter, client: int, turn: int) -> None:
    facts = tuple(_fact(f"{client}-{turn}-{n}", n) for n in range(BULK))
    await writer.write(_intent("bulk", PutFacts(facts)))


async def _measure(writer: PostgresWriter, run: Client, clients: int, seconds: float) -> str:
    times: list[float] = []
    deadline = time.perf_counter() + seconds

    async def client(number: int) -> None:
        turn = 0
        while (begin := time.perf_counter()) < deadline:
            await run(writer, number, turn)
            times.append(time.perf_counter() - begin)
            turn += 1

    begin, spent = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(client(number))
    wall, spent = time.perf_counter() - begin, time.process_time() - spent
    times.sort()
    p50, p99 = times[len(times) // 2] * 1e3, times[len(times) * 99 // 100] * 1e3
    return f"{len(times) / wall:>9,.0f} {p50:>8.2f} {p99:>8.2f} {spent / wall:>8.0%}"


async def _main(clients: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory(prefix="grantlog-bench-") as folder:
        settings = service_settings(machine_memory_bytes())
        async with embedded_postgres(DataDir(Path(folder)), find_binaries(), settings) as server:
            dsn = server.dsn("postgres")
            await migrate(dsn)
            async with (
                open_primary_pool(dsn, size_max=8, application_name="bench") as pool,
                open_signal(dsn) as signal,
                open_writer(pool, changed=signal.changed) as writer,
            ):
                print(f"{'':<44}{'calls/s':>9} {'p50 ms':>8} {'p99 ms':>8} {'our CPU':>8}")
                for name, run, number in (
                    (f"one tuple a write, 1 tenant, {clients} clients", _one(1), clients),
                    (f"one tuple a write, 8 tenants, {clients} clients", _one(8), clients),
                    ("one tuple a write, 1 tenant, 1 client", _one(1), 1),
                    (f"put, then remove by filter, {clients} clients", _put_and_remove, clients),
                    (f"{BULK} tuples a write, 1 client", _bulk, 1),
                    (f"{BULK} tuples a write, 4 clients", _bulk, 4),
                ):
                    print(f"{name:<44}{await _measure(writer, run, number, seconds)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    asyncio.run(_main(options.clients, options.seconds))
