"""What messages of a hundred checks and writes of a thousand tuples cost a node, by pieces.

    python benchmarks/bulk_pieces.py [--rounds 20]

Checks go from bytes to bytes, with warm relations and facts in this process (engine_pieces.py);
writes up to what the database is sent. Figures are microseconds an item or tuple, the tenth part of
the rounds being faster: on a machine with other work, what it would be without.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, TypeVar

import structlog
from engine_pieces import BULK, MANY, TENANT, VERSION, Node, queries_of
from grantlog_api.handlers.permission import PermissionHandlers
from world import World

from grantlog.api.v1 import service_pb2
from grantlog.app.terms import NO_TERMS
from grantlog.cache.results import ResultCache
from grantlog.engine.question import CheckQuery
from grantlog.model.ids import Epoch, Revision
from grantlog.model.tuples import Entity, Subject
from grantlog.ports.standing import follow_standing
from grantlog.ports.writer import DataIntent, PutFacts
from grantlog.projection.fold import fold
from grantlog.serving.calls import Calls
from grantlog.store.postgres.rows import created_tuples
from grantlog.store.postgres.writer.overlay import StoredFacts
from grantlog.store.postgres.writer.plan import plan_data
from grantlog.store.postgres.writer.tail import LockedHead, Tail
from grantlog.wire.at_once import read_bulk, read_data
from grantlog.wire.event import encode_transaction

TUPLES = 1_000
T = TypeVar("T")


class Times:
    """Seconds of each piece, by its name."""

    def __init__(self) -> None:
        self._rounds: defaultdict[str, list[float]] = defaultdict(list)

    def of(self, name: str, do: Callable[..., T], *args: Any, **named: Any) -> T:
        begun = perf_counter()
        done = do(*args, **named)
        self.note(name, begun)
        return done

    def note(self, name: str, begun: float) -> None:
        self._rounds[name].append(perf_counter() - begun)

    def show(self, per: int) -> None:
        for name, times in self._rounds.items():
            print(f"{name:40}{sorted(times)[len(times) // 10] / per * 1e6:8.2f}")


def bulk_of(queries: list[CheckQuery]) -> bytes:
    message = service_pb2.PermissionBulkCheckRequest(tenant_id=TENANT)
    message.metadata.depth = 20
    for (type_, id_), permission, subject, *_ in queries:
        item = message.items.add(permission=permission)
        item.entity.type, item.entity.id = type_, id_
        item.subject.type, item.subject.id = subject.type, subject.id
    return message.SerializeToString()


async def show_checks(rounds: int) -> None:
    world = World(10_000)
    node = Node(world)
    follow_standing()
    for number in range(3 * world.docs):
        user = Subject("user", f"u{number * 7 % world.users}")
        doc = Entity("doc", f"d{number % world.docs}")
        await node.check(TENANT, CheckQuery(doc, "view", user), NO_TERMS)
    queries = queries_of(world, 50 * BULK)
    chunks = [queries[start : start + BULK] for start in range(0, len(queries), BULK)]
    parse = service_pb2.PermissionBulkCheckRequest.FromString
    times, nobody = Times(), None
    for _ in range(rounds):
        node.results = ResultCache(MANY)
        handlers = PermissionHandlers(node.check, node.bulk, nobody, nobody)  # type: ignore[arg-type]
        calls = Calls({"/base.v1.Permission/BulkCheck": handlers.bulk_check}, timeout_s=30)
        for chunk in chunks:
            raw = bulk_of(chunk)
            begun = perf_counter()
            answer = await calls.unary("/base.v1.Permission/BulkCheck", parse(raw))
            answer.SerializeToString()
            times.note("bulk check, from bytes to bytes", begun)
            times.of("  validating and reading", read_bulk, parse(raw))
        node.results = ResultCache(MANY)
        bulk = node.bulk
        for chunk in chunks:
            begun = perf_counter()
            await bulk(TENANT, chunk, NO_TERMS)
            times.note("  the use case", begun)
    times.show(BULK)


def show_writes(rounds: int) -> None:
    now, times = datetime(2026, 1, 1, tzinfo=UTC), Times()
    head = LockedHead(
        TENANT, 1, Epoch(1), Revision(5), b"d" * 16, b"s" * 16, now, Revision(0), VERSION, now
    )
    for number in range(rounds):
        message = service_pb2.DataWriteRequest(tenant_id=TENANT, metadata={})
        for place in range(TUPLES):
            fact = message.tuples.add(relation="folder")
            fact.entity.type, fact.entity.id = "doc", f"b{number}-{place}"
            fact.subject.type, fact.subject.id = "folder", f"f{place}"
        tuples = times.of("write, validating and reading", read_data, message).tuples
        intent = DataIntent(TENANT, (PutFacts(tuple(tuples)),), VERSION, write_id=b"0" * 16)
        tail = Tail(head)
        times.of("  planning, digest", plan_data, tail, StoredFacts(), [intent], changes_max=MANY)
        times.of("  event", encode_transaction, tail.transactions[0])
        rows = times.of("  fold", fold, tail.transactions)
        times.of("  columns", created_tuples, 1, rows)
    times.show(TUPLES)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    info = structlog.make_filtering_bound_logger(logging.INFO)
    structlog.configure(wrapper_class=info)
    gc.freeze()
    asyncio.run(show_checks(options.rounds))
    show_writes(options.rounds)
