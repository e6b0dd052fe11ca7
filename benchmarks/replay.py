"""How fast an empty replica comes up: by folding the log, by copying, with Kafka and without.

    python benchmarks/replay.py [--changes 100000] [--kafka]

Everything real: an own Postgres with primary and replica, fsync on; the follower is a process of
its own, timed from its first row to the head, and verified by digests. The table has changes per
second, the processor seconds of the follower and of Postgres per 100,000, and the follower's peak
of memory, which must not grow with the backlog.

With `--kafka` a broker runs too and the backlog is published while the follower is stopped
(SIGSTOP): when it goes on, it finds the backlog both on the topic and in the primary.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from processes import descendants, machine_busy_s

from grantlog.model.attributes import Attribute, AttributeType, AttributeValue
from grantlog.model.ids import SchemaVersion, TenantId
from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.ports.writer import DataIntent, PutFacts, RemoveFacts
from grantlog.runtime.data_dir import DataDir
from grantlog.runtime.embedded import embedded_postgres, machine_memory_bytes, service_settings
from grantlog.runtime.postgres_binaries import find_binaries
from grantlog.store.postgres.migrate import migrate
from grantlog.store.postgres.pool import Connection, connect, open_pool
from grantlog.store.postgres.primary import open_primary_pool
from grantlog.store.postgres.projection import PostgresProjection
from grantlog.store.postgres.writer import PostgresWriter, open_writer

CLIENTS = 32
BAR = 30_000
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Shape:
    """What the log of a run looks like."""

    name: str
    tenants: int
    changes: int
    """Of one transaction, about."""


SHAPES = (
    Shape("1 change a write, 1 tenant", 1, 1),
    Shape("1 change a write, 200 tenants", 200, 1),
    Shape("10 changes a write, a third of them removals", 8, 10),
    Shape("1,000 changes a write, 1 tenant", 1, 1_000),
)


def steps(shape: Shape, count: int) -> Iterator[tuple[TenantId, PutFacts | RemoveFacts]]:
    """The writes of a shape, about `count` changes."""
    writes = count // shape.changes
    for number in range(writes):
        tenant = TenantId(f"t{number % shape.tenants}")
        if shape.changes == 1:
            yield tenant, PutFacts((_fact(number, 0),))
        elif shape.changes == 10:
            old = number - 40 * shape.tenants
            if number % 3 == 2 and old >= 0:
                yield tenant, RemoveFacts(tuple(_fact(old, n) for n in range(8)))
            else:
                level = AttributeValue(AttributeType.INTEGER, number)
                name = Attribute(Entity("doc", f"d{number % 500}"), "level", level)
                yield tenant, PutFacts(tuple(_fact(number, n) for n in range(8)), (name,))
        else:
            yield tenant, PutFacts(tuple(_fact(number, n) for n in range(shape.changes)))


def _fact(number: int, n: int) -> RelationTuple:
    return RelationTuple(
        Entity("doc", f"d{number * 7919 % 1_000_003}-{n}"), "viewer", Subject("user", f"u{n}")
    )


async def fill(dsn: str, shape: Shape, count: int) -> int:
    """Write a shape's log; the number of changes in it."""
    await migrate(dsn)
    pending = list(steps(shape, count))
    set_: set[object] = set()
    changes = 0
    for tenant, step in pending:
        changes += len(step.tuples)
        for fact in step.attributes if isinstance(step, PutFacts) else ():
            key = (tenant, fact.entity, fact.name)
            changes += 2 if key in set_ else 1  # overwriting is a delete and a create
            set_.add(key)
    queue = iter(pending)

    async def client(writer: PostgresWriter) -> None:
        for tenant, step in queue:
            intent = DataIntent(tenant, (step,), SchemaVersion(""), write_id=os.urandom(16))
            await writer.write(intent)

    async with (
        open_primary_pool(dsn, size_max=8, application_name="bench") as pool,
        open_writer(pool) as writer,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(CLIENTS):
            group.create_task(client(writer))
    return changes


@asynccontextmanager
async def follower(primary: str, replica: str, **settings: str) -> AsyncIterator[int]:
    """The process under test; its pid."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "grantlog_projector",
        env={
            **os.environ,  # noqa: TID251 - a child's environment
            "GRANTLOG_DATABASE_URL": primary,
            "GRANTLOG_REPLICA_URL": replica,
            "GRANTLOG_LOG_LEVEL": "warning",
            **settings,
        },
    )
    try:
        yield process.pid
    finally:
        process.terminate()
        await process.wait()


@dataclass(frozen=True)
class Took:
    """What catching up cost."""

    wall_s: float
    follower_s: float
    others_s: float
    """Of all other processes: Postgres, and whoever else uses the machine."""
    peak_mb: float


async def caught_up(primary: str, replica: str, pid: int) -> Took:
    """Wait until the replica is at the primary's heads."""
    async with connect(primary, application_name="bench") as at_primary:
        rows = await at_primary.fetch("SELECT tenant_id, revision FROM heads WHERE revision > 0")
    heads = sorted((row["tenant_id"], row["revision"]) for row in rows)
    began, cpu, busy = time.perf_counter(), _cpu_s(pid), machine_busy_s()
    async with connect(replica, application_name="bench") as at_replica:
        total = sum(revision for _, revision in heads)
        await until(at_replica, "SELECT coalesce(sum(revision), 0) >= $1::bigint FROM heads", total)
    wall, spent = time.perf_counter() - began, _cpu_s(pid) - cpu
    return Took(wall, spent, machine_busy_s() - busy - spent, _peak_mb(pid))


def _cpu_s(pid: int) -> float:
    total = 0
    for each in descendants(pid):
        for task in Path(f"/proc/{each}/task").glob("*/schedstat"):
            total += int(task.read_text().split()[0])
    return total / 1e9


def _peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line) / 1024


async def equal(primary: str, replica: str) -> bool:
    """Whether every tenant's position and digest are the primary's."""
    async with (
        open_pool(primary, size_max=1, application_name="bench") as ours,
        open_pool(replica, size_max=1, application_name="bench") as theirs,
    ):
        here, there = PostgresProjection(ours), PostgresProjection(theirs)
        tenants = set(await here.positions()) | set(await there.positions())
        return all([await here.digest(t) == await there.digest(t) for t in sorted(tenants)])


class Bench:
    """The databases of a run, one pair for each shape."""

    def __init__(self, server: str, kafka: str | None) -> None:
        self._server = server
        self._kafka = kafka
        self._made = 0

    async def database(self, server: str, *, seed: bool) -> str:
        self._made += 1
        name = f"bench{self._made}"
        async with connect(self._server, application_name="bench") as connection:
            await connection.execute(f"CREATE DATABASE {name}")
        dsn = server.replace("/postgres?", f"/{name}?")
        await migrate(dsn, seed=seed)
        return dsn

    async def run(self, shapes: Sequence[Shape], count: int) -> list[str]:
        """Measure all; the rows that did not reach the bar."""
        print(
            f"{'':<46}{'changes':>9} {'per s':>9} {'follower s/100k':>16} {'others s/100k':>14} "
            f"{'peak MB':>8}"
        )
        missed: list[str] = []
        for shape in shapes:
            primary = await self.database(self._server, seed=True)
            if self._kafka:
                name = f"{shape.name}, Kafka"
                if await self._over_kafka(name, shape, primary, count) < BAR:
                    missed.append(name)
                continue
            changes = await fill(primary, shape, count)
            for how, settings in (
                ("folded", {"GRANTLOG_COPY_REVISIONS_MIN": "1000000000"}),
                ("copied", {"GRANTLOG_COPY_REVISIONS_MIN": "1"}),
            ):
                replica = await self.database(self._server, seed=False)
                async with follower(primary, replica, **settings) as pid:
                    await self._first_sign(replica)
                    took = await caught_up(primary, replica, pid)
                name = f"{shape.name}, {how}"
                if await self._report(name, changes, took, primary, replica) < BAR:
                    missed.append(name)
        return missed

    async def _over_kafka(self, name: str, shape: Shape, primary: str, count: int) -> float:
        replica = await self.database(self._server, seed=False)
        kafka = {
            "GRANTLOG_KAFKA_BOOTSTRAP": self._kafka or "",
            "GRANTLOG_KAFKA_TOPIC": f"bench-{self._made}",
            "GRANTLOG_COPY_REVISIONS_MIN": "1000000000",
        }
        aside = await self.database(self._server, seed=False)
        async with follower(primary, replica, **kafka) as pid:
            await fill(primary, Shape("", 1, 1), 1)
            await caught_up(primary, replica, pid)
            os.kill(pid, signal.SIGSTOP)
            changes = await fill(primary, shape, count)
            # Another one publishes, in a process of its own that ends before the clock starts.
            publishing = {**kafka, "GRANTLOG_KAFKA_PUBLISH": "true", "GRANTLOG_REPLICA_NAME": "b"}
            async with follower(primary, aside, **publishing):
                await _published(primary)
            os.kill(pid, signal.SIGCONT)
            took = await caught_up(primary, replica, pid)
        return await self._report(name, changes, took, primary, replica)

    async def _first_sign(self, replica: str) -> None:
        async with connect(replica, application_name="bench") as connection:
            await until(
                connection, "SELECT EXISTS (SELECT FROM heads) OR EXISTS (SELECT FROM copying)"
            )

    async def _report(
        self, name: str, changes: int, took: Took, primary: str, replica: str
    ) -> float:
        rate, part = changes / took.wall_s, changes / 100_000
        right = "" if await equal(primary, replica) else "  NOT EQUAL"
        print(
            f"{name:<46}{changes:>9,} {rate:>9,.0f} {took.follower_s / part:>16.2f} "
            f"{took.others_s / part:>14.2f} {took.peak_mb:>8.0f}{right}",
            flush=True,
        )
        return 0.0 if right else rate


async def _published(primary: str) -> None:
    async with connect(primary, application_name="bench") as connection:
        await until(
            connection,
            "SELECT NOT EXISTS (SELECT FROM heads LEFT JOIN published USING (tenant_id) "
            "WHERE heads.revision > coalesce(published.revision, 0))",
        )


async def until(connection: Connection, question: str, *arguments: object) -> None:
    """Ask until the answer is true."""
    while True:
        if await connection.fetchval(question, *arguments):
            return
        await asyncio.sleep(0.01)


@asynccontextmanager
async def broker(*, wanted: bool) -> AsyncIterator[str | None]:
    """A Kafka of our own, if one is wanted; its address."""
    if not wanted:
        yield None
        return
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "scripts" / "kafka" / "run.py"), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        yield line.split("=")[1].split(",")[0]
    finally:
        process.terminate()
        await process.wait()


async def run(place: DataDir, count: int, *, kafka: bool, shapes: Sequence[Shape]) -> list[str]:
    settings = service_settings(machine_memory_bytes())
    async with (
        embedded_postgres(place, find_binaries(), settings) as server,
        broker(wanted=kafka) as address,
    ):
        return await Bench(server.dsn("postgres"), address).run(shapes, count)


def main() -> int:
    """Exit status: 0 if every rate reached 30,000 changes/s and every digest was right, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=100_000, help="of each run, about")
    parser.add_argument("--kafka", action="store_true", help="follow over Kafka")
    parser.add_argument("--only", default="", help="shapes whose name has this text")
    options = parser.parse_args()
    shapes = [shape for shape in SHAPES if options.only in shape.name]
    if not shapes:
        names = "; ".join(shape.name for shape in SHAPES)
        parser.error(f"--only {options.only!r} is in no shape's name: {names}")
    least = max(shape.tenants * shape.changes for shape in shapes)
    if options.changes < least:
        parser.error(f"--changes must be at least {least:,}: a write to each tenant")
    with tempfile.TemporaryDirectory(prefix="grantlog-bench-", dir="/tmp") as folder:
        place = DataDir(Path(folder).resolve())
        missed = asyncio.run(run(place, options.changes, kafka=options.kafka, shapes=shapes))
    print(f"bar {BAR:,} changes/s: {'MISSED by ' + '; '.join(missed) if missed else 'met'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
