"""Two whole API nodes over one Postgres keep every promise of design §5 to concurrent clients."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from random import Random

import pytest

from grantlog.changelog.postgres.log import open_change_log
from grantlog.model.change import Transaction
from grantlog.model.ids import Revision, TenantId
from grantlog.store.postgres.pool import open_pool
from grantlog.testing.histories import violations
from tests.history_load import Load, working
from tests.waiting import until
from tests.whole_api import whole_api

TENANTS = [TenantId("one"), TenantId("two")]
WRITES, ANSWERS = 60, 200


@pytest.mark.parametrize("grpc_server", ["grpcio", "native"])
async def test_two_nodes_keep_every_promise(
    migrated_database: Callable[..., Awaitable[str]], grpc_server: str
):
    dsn = await migrated_database()

    async def log_of(tenant: TenantId) -> Sequence[Transaction]:
        async with (
            open_pool(dsn, size_max=1, application_name="test") as pool,
            open_change_log(pool, listen_dsn=dsn) as log,
        ):
            return await log.read(tenant, after=Revision(0), changes_max=1_000_000)

    settings = {"grpc_server": grpc_server, "watch_heartbeat_s": 0.5}
    async with whole_api(dsn, **settings) as a, whole_api(dsn, **settings) as b:
        addresses = {"a": a.grpc_address, "b": b.grpc_address}
        seed = str(Random().random())
        load = Load(addresses, log_of, seed, TENANTS, pace=20)
        notes = load.notes
        async with working(load):
            await until(
                lambda: (
                    len(notes.history.writes) >= WRITES and len(notes.history.answers) >= ANSWERS
                )
            )
    logs = {tenant: await log_of(tenant) for tenant in TENANTS}
    assert violations(notes.history, logs) == [], f"seed {seed}"
    assert not notes.odd
    assert not notes.failed
    assert {answer.node for answer in notes.history.answers} == {"a", "b"}
    assert {bool(answer.sent) for answer in notes.history.answers} == {True, False}
