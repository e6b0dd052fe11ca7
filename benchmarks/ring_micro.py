"""What a fact costs from another node that holds it, and from Postgres, without doors or engine.

    python benchmarks/ring_micro.py [--docs 20000] [--seconds 3]

The owner is a process of its own, and so is Postgres; the clients share the asker's process. Each
read is of one key that the asker does not hold. The last columns are processor time for a thousand
reads, of the asker and of whoever answers it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import uvloop
from processes import cpu_seconds
from read_micro import TENANT, log_of

from grantlog.app.answering import AnswerFacts
from grantlog.app.cached import Caches
from grantlog.background import background_tasks
from grantlog.cache.clocks import Clocks
from grantlog.cache.relations import RelationCache
from grantlog.cluster.answering import AnswerLimits, AnswerService, answering
from grantlog.cluster.counts import RingCounts
from grantlog.cluster.opening import Credentials
from grantlog.cluster.points import HashRing
from grantlog.cluster.sharing import RingReads, View
from grantlog.cluster.stream import OwnerStream, StreamLimits
from grantlog.model.ids import Epoch, Revision, SchemaVersion
from grantlog.ports.facts import DirectKey, FactReader
from grantlog.ports.heads import Head
from grantlog.ports.ring import SharedReads
from grantlog.runtime.data_dir import DataDir
from grantlog.runtime.embedded import embedded_postgres, machine_memory_bytes, service_settings
from grantlog.runtime.postgres_binaries import find_binaries
from grantlog.store.postgres.migrate import migrate
from grantlog.store.postgres.pool import INDEX_PLANS, open_pool
from grantlog.store.postgres.projection import PROJECTING, PostgresProjection
from grantlog.store.postgres.reader import open_fact_reader

HOST = "127.0.0.1"
CREDENTIALS = Credentials(b"bench", lambda: "1/2/3/4", random.Random(1).randbytes)


@asynccontextmanager
async def store(dsn: str) -> AsyncIterator[FactReader]:
    """Facts of a database, read as an API node does."""
    async with (
        open_pool(dsn, size_max=2, application_name="bench", settings=INDEX_PLANS) as pool,
        open_fact_reader(pool) as reader,
    ):
        yield reader


async def own(dsn: str) -> None:
    """Answer another process from a cache, until this one is killed; prints the port."""
    async with store(dsn) as facts:
        caches = Caches(Clocks(), None, None, RelationCache(1 << 30))
        answer = AnswerFacts(facts, caches)
        service = AnswerService(answer, CREDENTIALS, RingCounts(), AnswerLimits())
        async with answering(service, HOST, 0) as port:
            print(port, flush=True)
            await asyncio.Event().wait()


async def drive(
    name: str, reads: SharedReads, head: Head, docs: int, clients: int, seconds: float, pid: int
) -> None:
    """Print how many reads of one key a number of clients get answered."""
    times: list[float] = []
    rng = random.Random(clients)
    end = time.perf_counter() + seconds

    async def client() -> None:
        while (began := time.perf_counter()) < end:
            key = DirectKey("doc", f"d{rng.randrange(docs)}", "viewer", "user", "u1", "")
            await reads.read(TENANT, head, [key])
            times.append(time.perf_counter() - began)

    answerer = sum(cpu_seconds(pid).values())
    began, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    took, busy = time.perf_counter() - began, time.process_time() - cpu
    answerer = sum(cpu_seconds(pid).values()) - answerer
    times.sort()
    p50, p99 = times[len(times) // 2] * 1e3, times[len(times) * 99 // 100] * 1e3
    print(
        f"{name:9} {clients:4} clients {len(times) / took:8,.0f} reads/s  p50 {p50:5.2f} ms  "
        f"p99 {p99:5.2f} ms  asker {busy / len(times) * 1e6:5.0f} ms  "
        f"answerer {answerer / len(times) * 1e6:5.0f} ms"
    )


async def run(dsn: str, postgres: int, docs: int, seconds: float) -> None:
    bulk, _ = await log_of(docs)
    await migrate(dsn, seed=False)
    async with open_pool(dsn, size_max=3, application_name="bench", settings=PROJECTING) as pool:
        projection = PostgresProjection(pool)
        for start in range(0, len(bulk), 10):
            await projection.apply(bulk[start : start + 10])
        await pool.execute("VACUUM ANALYZE")
    head = Head(Epoch(bulk[-1].epoch), Revision(bulk[-1].revision), SchemaVersion(""))
    owner = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--owner-of", dsn, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert owner.stdout is not None
        address = f"{HOST}:{(await owner.stdout.readline()).decode().strip()}"
        async with store(dsn) as facts, background_tasks() as group:
            clock = asyncio.get_running_loop().time
            stream = OwnerStream(address, CREDENTIALS, random.Random(1), StreamLimits(), clock)
            running = group.create_task(stream.run())
            alone = View(HashRing(["own"]), "own", lambda _: None)
            asking = View(HashRing(["other", "another"]), "own", lambda _: stream)
            local = RingReads(facts, lambda: alone, RingCounts())
            counts = RingCounts()
            remote = RingReads(facts, lambda: asking, counts, hedge_s=1.0)
            while not stream.may_be_asked:  # noqa: ASYNC110 - it has no event for those who ask
                await asyncio.sleep(0.01)
            for number in range(docs):  # twice: then the owner holds the relation whole
                key = DirectKey("doc", f"d{number}", "viewer", "user", "u1", "")
                await remote.read(TENANT, head, [key, key])
            for clients in (1, 8, 64):
                await drive("Postgres", local, head, docs, clients, seconds, postgres)
                await drive("the owner", remote, head, docs, clients, seconds, owner.pid)
            assert counts.keys_told == counts.keys_asked, counts
            running.cancel()
    finally:
        owner.kill()
        await owner.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--owner-of", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.owner_of:
        uvloop.run(own(options.owner_of))
        return
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
            pid = int((place.postgres / "postmaster.pid").read_text().split()[0])
            uvloop.run(run(server.dsn("postgres"), pid, options.docs, options.seconds))
        finally:
            host.run(stack.aclose())


if __name__ == "__main__":
    main()
