"""What a check of three levels costs a node without its doors, by pieces, with warm relations.

    python benchmarks/engine_pieces.py [--size 10000] [--rounds 5000] [--profile]

The world is that of `make bench` (world.py), its facts are in this process, and every question is
about another document and another user. Figures are CPU time in microseconds, the least of five
runs. `the use case` is everything between a door's handler and its answer; the pieces below it are
timed one by one, so they miss what lies between them.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from time import process_time
from typing import Any, TypeVar

from world import SCHEMA, World

from grantlog.app.ask_many import BulkCheck
from grantlog.app.cached import CachedFacts, Caches
from grantlog.app.cached_checks import CachedChecks
from grantlog.app.check import Check
from grantlog.app.known import KnownHeads
from grantlog.app.places import Places
from grantlog.app.resolve import Resolver
from grantlog.app.resolve_schema import resolve_with_schema
from grantlog.app.schema_cache import LoadedSchema, SchemaCache
from grantlog.app.terms import NO_TERMS, Consistency
from grantlog.cache.clocks import Clocks
from grantlog.cache.recall import Recall
from grantlog.cache.relations import RelationCache
from grantlog.cache.results import KeptResult, ResultCache, result_key
from grantlog.engine.check import decide
from grantlog.engine.plan import build_plan
from grantlog.engine.question import CheckQuery, CheckResult
from grantlog.model.ids import ANY_EPOCH, Epoch, Revision, SchemaVersion, TenantId
from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.ports.facts import FactAnswer, FactKey
from grantlog.ports.heads import Head
from grantlog.ports.standing import follow_standing
from grantlog.schema.compile import compile_schema
from grantlog.testing.fact_table import FactTable

TENANT = TenantId("bench")
AT = Revision(7)
VERSION = SchemaVersion("0" * 20)
MANY = 1 << 30
BULK = 100
T = TypeVar("T")


class Facts:
    """A world's facts in this process."""

    def __init__(self, world: World) -> None:
        facts = (
            RelationTuple(Entity(f[0], f[1]), f[2], Subject(f[3], f[4], f[5]))
            for f in world.facts()
        )
        self._table = FactTable(facts)

    async def read(
        self, tenant: TenantId, revision: Revision, keys: Sequence[FactKey],
        *, epoch: Epoch = ANY_EPOCH,
    ) -> Sequence[FactAnswer]:  # fmt: skip
        del tenant, revision, epoch
        return [self._table.answer(key) for key in keys]


class Node:
    """What answers checks, as the wiring of the API puts it together."""

    def __init__(self, world: World) -> None:
        nobody: Any = None
        self.known = KnownHeads()
        self.head = Head(Epoch(1), AT, VERSION, Revision(0))
        self.known.learn(TENANT, self.head, 0.0)
        self.resolver = Resolver(nobody, nobody, self.known, Consistency.NODE)
        self.schemas = SchemaCache(nobody)
        schema = compile_schema(SCHEMA)
        self.loaded = LoadedSchema(VERSION, Revision(1), schema, build_plan(schema))
        self.schemas.keep(TENANT, self.loaded)
        self.facts, self.clocks = Facts(world), Clocks()
        self.relations = RelationCache(MANY)
        self.results = ResultCache(MANY)

    @property
    def caches(self) -> Caches:
        return Caches(self.clocks, None, self.results, self.relations)

    @property
    def check(self) -> Check:
        return Check(self.resolver, self.schemas, self.facts, self.caches)

    @property
    def bulk(self) -> BulkCheck:
        places: Any = Places(self.resolver, self.schemas, self.facts, None, self.caches)  # type: ignore[arg-type]
        return BulkCheck(places)


def queries_of(world: World, count: int) -> list[CheckQuery]:
    """Every second one is allowed."""
    rng = Random(3)
    queries: list[CheckQuery] = []
    for number in range(count):
        doc, user = rng.randrange(world.docs), rng.randrange(world.users)
        if number % 2:
            user = rng.choice(world.members(rng.choice(world.viewers(world.folder(doc)))))
        queries.append(CheckQuery(Entity("doc", f"d{doc}"), "view", Subject("user", f"u{user}")))
    return queries


async def least(name: str, per: int, run: Callable[[], Awaitable[object]]) -> None:
    """Print the least CPU time of a run, in microseconds for one of the `per` things it does."""
    times: list[float] = []
    for _ in range(5):
        began = process_time()
        await run()
        times.append(process_time() - began)
    print(f"{name:58}{min(times) / per * 1e6:8.1f}")


def each(items: Sequence[T], do: Callable[[T], object]) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        for item in items:
            do(item)

    return run


async def show_whole(node: Node, queries: Sequence[CheckQuery]) -> None:
    async def ask() -> None:
        check = node.check
        for query in queries:
            await check(TENANT, query, NO_TERMS)

    async def ask_anew() -> None:
        node.results = ResultCache(MANY)
        await ask()

    async def bulk() -> None:
        node.results = ResultCache(MANY)
        for start in range(0, len(queries), BULK):
            await node.bulk(TENANT, queries[start : start + BULK], NO_TERMS)

    count = len(queries)
    await least("the use case, relation-warm, answers kept", count, ask_anew)
    await least("the use case, result-warm", count, ask)
    await least(f"bulk check of {BULK} users and documents, an item", count, bulk)


async def show_pieces(node: Node, queries: Sequence[CheckQuery]) -> None:
    caches, head, loaded = node.caches, node.head, node.loaded
    clock = node.clocks.at(TENANT, head)
    assert clock is not None
    count = len(queries)

    async def resolve() -> None:
        for _ in queries:
            await resolve_with_schema(node.resolver, node.schemas, TENANT, NO_TERMS)

    def make(_: CheckQuery) -> object:
        facts = CachedFacts(node.facts, caches, TENANT, head)
        return CachedChecks(caches, TENANT, head, loaded, facts)

    def recall(query: CheckQuery) -> object:
        step = loaded.plan.find(query.entity.type, query.permission, query.arguments)
        found = Recall(node.relations, clock, AT, query.subject, None)
        return found.decide(step, query.entity.id, query.depth)

    async def evaluate() -> None:
        for query in queries:
            facts = CachedFacts(node.facts, caches, TENANT, head)
            await decide(loaded.plan, query, facts.fetch)

    keys: Any = [result_key(clock, VERSION, query) for query in queries]
    answers: Any = [recall(query) for query in queries]
    result = CheckResult(allowed=True, check_count=6)

    async def keep() -> None:
        results = ResultCache(MANY)
        for key, answer in zip(keys, answers, strict=True):
            results.keep_recalled(key, KeptResult(result, answer.depth), AT, answer.reads)

    results = ResultCache(MANY)
    await least("  revision and schema", count, resolve)
    await least("  clock, objects of the request", count, each(queries, make))
    await least(
        "  key of the result", count, each(queries, lambda q: result_key(clock, VERSION, q))
    )
    await least(
        "  result that is not there", count, each(keys, lambda k: results.find(clock, k, AT, 50))
    )
    await least("  decision from memory", count, each(queries, recall))
    await least("  keeping it", count, keep)
    await least("the engine's own evaluation instead, relation-warm", count, evaluate)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5_000)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    world = World(options.size)
    node = Node(world)
    follow_standing()
    for number in range(3 * world.docs):
        user = Subject("user", f"u{number * 7 % world.users}")
        query = CheckQuery(Entity("doc", f"d{number % world.docs}"), "view", user)
        await node.check(TENANT, query, NO_TERMS)
    queries = queries_of(world, options.rounds)
    await show_whole(node, queries)
    await show_pieces(node, queries)
    if options.profile:
        node.results = ResultCache(MANY)
        check = node.check
        with cProfile.Profile() as profiler:
            for query in queries:
                await check(TENANT, query, NO_TERMS)
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    asyncio.run(main())
