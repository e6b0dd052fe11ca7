"""Folding a log into a replica on an own Postgres, then reading it without doors or engine.

    python benchmarks/read_micro.py [--docs 50000] [--seconds 3]

Every document has a folder, two viewers and a viewing group: a check of three levels costs three
reads of about seven keys together. The clients share the process with the reader, so what they cost
is in the numbers too.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from pathlib import Path

import uvloop

from grantlog.model.change import Transaction
from grantlog.model.ids import Revision, SchemaVersion, TenantId
from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.ports.facts import DirectKey, FactReader, SubjectPage, SubjectsKey, UsersetsKey
from grantlog.ports.writer import DataIntent, PutFacts
from grantlog.runtime.data_dir import DataDir
from grantlog.runtime.embedded import embedded_postgres, machine_memory_bytes, service_settings
from grantlog.runtime.postgres_binaries import find_binaries
from grantlog.store.memory.tables import MemoryTables
from grantlog.store.memory.writer import MemoryWriter
from grantlog.store.postgres.migrate import migrate
from grantlog.store.postgres.pool import open_pool
from grantlog.store.postgres.projection import PROJECTING, PostgresProjection
from grantlog.store.postgres.reader import open_fact_reader

TENANT = TenantId("bench")
BULK = 1_000
SINGLES = 5_000
SLICE = 10_000
_RANDOM = random.Random(1)


def world(docs: int) -> Iterator[RelationTuple]:
    """The facts, about 4.6 for each document."""
    groups, folders, users = docs // 40 or 1, docs // 10 or 1, docs // 4 or 1

    def group() -> Subject:
        return Subject("group", f"g{_RANDOM.randrange(groups)}", "member")

    def user() -> Subject:
        return Subject("user", f"u{_RANDOM.randrange(users)}")

    for number in range(docs):
        doc = Entity("doc", f"d{number}")
        yield RelationTuple(doc, "parent", Subject("folder", f"f{number % folders}"))
        yield RelationTuple(doc, "viewer", group())
        for _ in range(2):
            yield RelationTuple(doc, "viewer", user())
    for number in range(folders):
        yield RelationTuple(Entity("folder", f"f{number}"), "viewer", group())
    for number in range(users):
        for _ in range(2):
            place = Entity("group", f"g{_RANDOM.randrange(groups)}")
            yield RelationTuple(place, "member", Subject("user", f"u{number}"))


async def log_of(docs: int) -> tuple[list[Transaction], list[Transaction]]:
    """The log of a bulk load, and of single writes behind it."""
    log: list[Transaction] = []
    ticks = count()
    start = datetime(2030, 1, 1, tzinfo=UTC)
    writer = MemoryWriter(
        MemoryTables(),
        log.extend,
        clock=lambda: start + timedelta(seconds=next(ticks)),
        new_salt=lambda: bytes(16),
    )

    async def put(facts: tuple[RelationTuple, ...]) -> None:
        intent = DataIntent(TENANT, (PutFacts(facts),), SchemaVersion(""), write_id=bytes(16))
        await writer.write(intent)

    facts = world(docs)
    while bulk := tuple(islice(facts, BULK)):
        await put(bulk)
    loaded = len(log)
    for number in range(SINGLES):
        await put((RelationTuple(Entity("doc", f"s{number}"), "viewer", Subject("user", "u1")),))
    return log[:loaded], log[loaded:]


async def fold(store: PostgresProjection, log: list[Transaction], slice_: int) -> float:
    """Seconds to fold a log, so many transactions at a time."""
    began = time.perf_counter()
    for start in range(0, len(log), slice_):
        await store.apply(log[start : start + slice_])
    return time.perf_counter() - began


async def check(reader: FactReader, at: Revision, docs: int) -> None:
    """The reads of one check of three levels."""
    doc, user = f"d{_RANDOM.randrange(docs)}", f"u{_RANDOM.randrange(docs // 4 or 1)}"
    first = [
        DirectKey("doc", doc, "viewer", "user", user, ""),
        UsersetsKey("doc", doc, "viewer"),
        SubjectsKey("doc", doc, "parent"),
    ]
    _, groups, parents = await reader.read(TENANT, at, first)
    assert isinstance(groups, SubjectPage)
    assert isinstance(parents, SubjectPage)
    folder = parents.subjects[0].id
    second = [
        DirectKey("folder", folder, "viewer", "user", user, ""),
        UsersetsKey("folder", folder, "viewer"),
        *(DirectKey(*group, "user", user, "") for group in groups.subjects),
    ]
    answers = await reader.read(TENANT, at, second)
    assert isinstance(answers[1], SubjectPage)
    third = [DirectKey(*group, "user", user, "") for group in answers[1].subjects]
    await reader.read(TENANT, at, third)


async def drive(reader: FactReader, at: Revision, docs: int, clients: int, seconds: float) -> None:
    """Print how many checks' reads a number of clients get answered."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def client() -> None:
        while (began := time.perf_counter()) < end:
            await check(reader, at, docs)
            times.append(time.perf_counter() - began)

    began, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    took, busy = time.perf_counter() - began, time.process_time() - cpu
    times.sort()
    p50, p99 = times[len(times) // 2] * 1e3, times[len(times) * 99 // 100] * 1e3
    print(
        f"{clients:4} clients  {len(times) / took:8,.0f} checks/s  {3 * len(times) / took:8,.0f} "
        f"reads/s  p50 {p50:6.2f} ms  p99 {p99:6.2f} ms  this process {busy / took:4.0%} of a core"
    )


async def run(dsn: str, docs: int, seconds: float) -> None:
    bulk, singles = await log_of(docs)
    await migrate(dsn, seed=False)
    async with (
        open_pool(dsn, size_max=3, application_name="bench", settings=PROJECTING) as pool,
        open_fact_reader(pool) as reader,
    ):
        await report_folding(PostgresProjection(pool), bulk, singles)
        await pool.execute("VACUUM ANALYZE")
        at = singles[-1].revision
        for clients in (1, 8, 64, 256):
            await drive(reader, at, docs, clients, seconds)


async def report_folding(
    store: PostgresProjection, bulk: list[Transaction], singles: list[Transaction]
) -> None:
    """Print the rates of folding and of digesting."""
    tuples = sum(1 for _ in facts_of(bulk))
    took = await fold(store, bulk, SLICE // BULK)
    print(f"fold in bulk     {tuples / took:10,.0f} tuples/s  ({tuples:,} tuples)")
    took = await fold(store, singles, 500)
    print(f"fold singles     {len(singles) / took:10,.0f} transactions/s")
    began = time.perf_counter()
    await store.digest(TENANT)
    print(f"digest           {tuples / (time.perf_counter() - began):10,.0f} tuples/s")


def facts_of(log: list[Transaction]) -> Iterator[object]:
    """Every change of a log."""
    for entry in log:
        yield from getattr(entry.body, "changes", ())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    settings = service_settings(machine_memory_bytes())
    with (
        tempfile.TemporaryDirectory(prefix="grantlog-bench-", dir="/tmp") as folder,
        asyncio.Runner(loop_factory=asyncio.new_event_loop) as host,
    ):
        # uvloop starts no processes as another user: the server has a loop of its own.
        stack = AsyncExitStack()
        place = DataDir(Path(folder).resolve())
        server = host.run(
            stack.enter_async_context(embedded_postgres(place, find_binaries(), settings))
        )
        try:
            uvloop.run(run(server.dsn("postgres"), options.docs, options.seconds))
        finally:
            host.run(stack.aclose())


if __name__ == "__main__":
    main()
