"""Checks of three levels without doors: with no cache, relation-warm and result-warm.

    python benchmarks/cache_micro.py [--docs 20000] [--seconds 3]

The world is that of read_micro.py on an own Postgres. Every question is about another document and
another user, but those of `result-warm`, which are asked again; a quarter of all is allowed. The
clients share the process with what they ask, so what they cost is in the numbers too.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import cycle
from pathlib import Path

import uvloop
from read_micro import BULK, SLICE, TENANT, log_of

from grantlog.app.cached import CachedFacts, Caches
from grantlog.app.cached_checks import CachedChecks
from grantlog.app.schema_cache import LoadedSchema
from grantlog.cache.clocks import Clocks
from grantlog.cache.relations import RelationCache
from grantlog.cache.results import ResultCache
from grantlog.engine.plan import build_plan
from grantlog.engine.question import CheckQuery
from grantlog.model.ids import Epoch, Revision, SchemaVersion
from grantlog.model.tuples import Entity, Subject
from grantlog.ports.facts import FactReader
from grantlog.ports.heads import Head
from grantlog.runtime.data_dir import DataDir
from grantlog.runtime.embedded import embedded_postgres, machine_memory_bytes, service_settings
from grantlog.runtime.postgres_binaries import find_binaries
from grantlog.schema.compile import compile_schema
from grantlog.store.postgres.migrate import migrate
from grantlog.store.postgres.pool import INDEX_PLANS, open_pool
from grantlog.store.postgres.projection import PROJECTING, PostgresProjection
from grantlog.store.postgres.reader import open_fact_reader

SCHEMA = """
entity user {}
entity group { relation member @user }
entity folder {
  relation viewer @user @group#member
  permission view = viewer
}
entity doc {
  relation parent @folder
  relation viewer @user @group#member
  permission view = viewer or parent.view
}
"""
MANY = 1 << 30


class Asking:
    """Clients that ask checks of one place."""

    def __init__(self, facts: FactReader, at: Revision, docs: int) -> None:
        schema = compile_schema(SCHEMA)
        version = SchemaVersion("0" * 20)
        self.loaded = LoadedSchema(version, Revision(1), schema, build_plan(schema))
        self.facts, self.docs = facts, docs
        self.head = Head(Epoch(1), at, version)
        self.random = random.Random(2)

    def question(self) -> CheckQuery:
        doc, user = self.random.randrange(self.docs), self.random.randrange(self.docs // 4)
        return CheckQuery(Entity("doc", f"d{doc}"), "view", Subject("user", f"u{user}"))

    async def ask(self, caches: Caches, query: CheckQuery) -> bool:
        facts = CachedFacts(self.facts, caches, TENANT, self.head)
        checks = CachedChecks(caches, TENANT, self.head, self.loaded, facts)
        return (await checks.check(query)).allowed

    async def warm(self, caches: Caches) -> None:
        """Have every relation of the world be asked for twice."""
        for _ in range(3):
            for number in range(self.docs):
                user = Subject("user", f"u{self.random.randrange(self.docs // 4)}")
                await self.ask(caches, CheckQuery(Entity("doc", f"d{number}"), "view", user))

    async def drive(
        self, name: str, caches: Caches, queries: Iterator[CheckQuery], seconds: float
    ) -> None:
        times: list[float] = []
        end = time.perf_counter() + seconds

        async def client() -> None:
            while (began := time.perf_counter()) < end:
                await self.ask(caches, next(queries))
                times.append(time.perf_counter() - began)
                if len(times) % 50 == 0:
                    await asyncio.sleep(0)

        began, cpu = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as group:
            for _ in range(64):
                group.create_task(client())
        took, busy = time.perf_counter() - began, time.process_time() - cpu
        states = {
            kind: f"{each.state.hits} hits, {each.state.misses}, {each.state.bytes >> 10} KiB"
            for kind, each in (("results", caches.results), ("relations", caches.relations))
            if each is not None
        }
        print(
            f"{name:14} {len(times) / took:8,.0f} checks/s  CPU of this process "
            f"{busy / len(times) * 1e6:6.1f} us a check, {busy / took:4.0%} of a core  {states}"
        )


async def run(dsn: str, docs: int, seconds: float, *, profile: bool) -> None:
    bulk, singles = await log_of(docs)
    await migrate(dsn, seed=False)
    async with open_pool(dsn, size_max=1, application_name="bench", settings=PROJECTING) as pool:
        store = PostgresProjection(pool)
        for log in (bulk, singles):
            for start in range(0, len(log), SLICE // BULK):
                await store.apply(log[start : start + SLICE // BULK])
        await pool.execute("VACUUM ANALYZE")
    async with (
        open_pool(dsn, size_max=2, application_name="bench", settings=INDEX_PLANS) as pool,
        open_fact_reader(pool) as reader,
    ):
        asking = Asking(reader, singles[-1].revision, docs)
        clocks = Clocks()
        fresh = iter(asking.question, None)
        await asking.drive("no cache", Caches(clocks, None, None, None), fresh, seconds)
        relations = RelationCache(MANY)
        both = Caches(clocks, None, ResultCache(MANY), RelationCache(MANY))
        await asking.drive("cold, both", both, fresh, seconds)
        warm = Caches(clocks, None, None, relations)
        await asking.warm(warm)
        await asking.drive("relation-warm", warm, fresh, seconds)
        filling = Caches(clocks, None, ResultCache(MANY), relations)
        await asking.drive("  and filling", filling, fresh, seconds)
        some = [asking.question() for _ in range(10_000)]
        for query in some:
            await asking.ask(filling, query)
        await asking.drive("result-warm", filling, cycle(some), seconds)
        if profile:
            for name, caches, queries in (
                ("relation-warm", warm, fresh),
                ("result-warm", filling, cycle(some)),
            ):
                profiler = cProfile.Profile()
                profiler.enable()
                for _ in range(20_000):
                    await asking.ask(caches, next(queries))
                profiler.disable()
                print(name)
                pstats.Stats(profiler).sort_stats("tottime").print_stats(18)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--profile", action="store_true")
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
            dsn = server.dsn("postgres")
            uvloop.run(run(dsn, options.docs, options.seconds, profile=options.profile))
        finally:
            host.run(stack.aclose())


if __name__ == "__main__":
    main()
