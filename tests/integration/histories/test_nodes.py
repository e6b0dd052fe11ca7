"""Two whole API nodes over one Postgres keep every promise of design §5 to concurrent clients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from random import Random

import pytest

from grantlog.model.change import Transaction
from grantlog.model.ids import TenantId
from grantlog.store.postgres.pool import open_pool
from grantlog.testing.histories import Act, Attributes, Checks, Entities, Tuples, violations
from tests.history_client import Notes
from tests.history_load import Load, whole_log, working
from tests.waiting import until
from tests.whole_api import whole_api

TENANTS = [TenantId("one"), TenantId("two")]
WRITES, ANSWERS, DELETIONS = 60, 200, 3


def acts(notes: Notes) -> Counter[Act]:
    """What was written, by kind."""
    return Counter(write.act for write in notes.history.writes)


@pytest.mark.parametrize("grpc_server", ["grpcio", "native"])
async def test_two_nodes_keep_every_promise(
    migrated_database: Callable[..., Awaitable[str]], grpc_server: str
):
    dsn = await migrated_database()

    async def log_of(tenant: TenantId) -> Sequence[Transaction]:
        async with open_pool(dsn, size_max=1, application_name="test") as pool:
            return await whole_log(pool, tenant)  # nobody purges ended lives here

    settings = {"grpc_server": grpc_server, "watch_heartbeat_s": 0.5}
    async with whole_api(dsn, **settings) as a, whole_api(dsn, **settings) as b:
        addresses = {"a": a.grpc_address, "b": b.grpc_address}
        seed = str(Random().random())
        load = Load(addresses, log_of, seed, TENANTS, pace=20, reborn=TENANTS[-1])
        notes = load.notes
        async with working(load):
            await until(
                lambda: (
                    len(notes.history.writes) >= WRITES
                    and len(notes.history.answers) >= ANSWERS
                    and acts(notes)[Act.DELETION] >= DELETIONS
                )
            )
    logs = {tenant: await log_of(tenant) for tenant in TENANTS}
    assert violations(notes.history, logs) == [], f"seed {seed}"
    assert not notes.odd
    assert not notes.failed
    assert {answer.node for answer in notes.history.answers} == {"a", "b"}
    asked = Counter(type(answer.question) for answer in notes.history.answers)
    assert asked.keys() == {Checks, Entities, Tuples, Attributes}
    assert any(told.deleted for watched in notes.history.watched for told in watched.told)
    assert {bool(answer.sent) for answer in notes.history.answers} == {True, False}
