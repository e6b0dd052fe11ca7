"""Collecting history: what no read inside the window can see. Live rows are never touched.

The floor moves first, the rows go afterwards: a read below the floor is refused from the moment a
row that it needs may be missing. Where deletes stopped halfway, the next pass goes on.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from grantlog.model.ids import Revision, TenantId
from grantlog.store.postgres.pool import Connection, Pool, acquired
from grantlog.store.postgres.statements import load

_SQL: Final = load("collect")
_DOING: Final = "collecting history"

ROWS_PER_BATCH_MAX: Final = 1_000
TENANTS_PER_PAGE_MAX: Final = 200

REPLICA_SILENCE_MAX: Final = timedelta(days=1)
"""A replica that has not beaten for so long no longer holds history back. It loses no answer that
it could give: what it lacks it is refused, and what it folds comes from the log."""


async def collect_before(
    pool: Pool, tenant: TenantId, floor: Revision, *, rows_max: int = ROWS_PER_BATCH_MAX
) -> int:
    """Raise a tenant's floor and delete the history that only reads below it could see.

    A floor beyond the tenant's revision here is not taken over. Returns the rows deleted.

    Raises:
        UnavailableError: the database does not answer; calling again goes on.
    """
    async with acquired(pool, doing=_DOING) as connection:
        await connection.execute(_SQL["raise_floor"], tenant, floor)
        head = await connection.fetchrow(_SQL["floor_of"], tenant)
    if head is None:
        return 0
    deleted = 0
    for statement in (_SQL["collect_tuples"], _SQL["collect_attributes"]):
        deleted += await delete_in_batches(
            pool, statement, head["tenant_key"], head["floor_rev"], rows_max=rows_max
        )
    return deleted


async def delete_in_batches(pool: Pool, statement: str, *key: int | str, rows_max: int) -> int:
    """Run a deletion of at most `rows_max` rows, its last parameter, until nothing is left."""
    deleted = 0
    while True:
        async with acquired(pool, doing=_DOING) as connection:
            status = await connection.execute(statement, *key, rows_max)
        gone = int(status.rpartition(" ")[2])
        deleted += gone
        if gone < rows_max:
            return deleted


async def collect_window(pool: Pool, window: timedelta) -> int:
    """Collect, in a primary, the history that is older than the window; returns rows deleted.

    A replica that follows holds back what it has not applied, a hold everything, and where the log
    goes to a topic, what is not there yet stays too.

    Raises:
        UnavailableError: the database does not answer; calling again goes on.
    """
    async with acquired(pool, doing=_DOING) as connection:
        horizon = await connection.fetchval(_SQL["horizon"], window, REPLICA_SILENCE_MAX)
    deleted = 0
    after = ""
    while True:
        async with acquired(pool, doing=_DOING) as connection:
            page = await connection.fetch(_SQL["collectable"], after, TENANTS_PER_PAGE_MAX)
            floors = [
                (tenant, await _revision_at(connection, tenant, floor, head, horizon))
                for tenant, floor, head in page
            ]
        for tenant, floor in floors:
            deleted += await collect_before(pool, tenant, floor)
        if len(page) < TENANTS_PER_PAGE_MAX:
            return deleted
        after = page[-1]["tenant_id"]


async def _revision_at(
    connection: Connection, tenant: TenantId, floor: int, head: int, time: datetime
) -> Revision:
    """The last revision committed at or before a time, at least `floor`.

    Commit times increase with revisions, so halving finds it by the log's primary key.
    """
    while floor < head:
        middle = (floor + head + 1) // 2
        committed = await connection.fetchval(_SQL["commit_time"], tenant, middle)
        if committed is not None and committed <= time:
            floor = middle
        else:
            head = middle - 1
    return Revision(floor)


async def copy_floors(primary: Pool, replica: Pool) -> int:
    """Collect in a replica what its primary has collected; returns rows deleted."""
    deleted = 0
    after = ""
    while True:
        async with acquired(primary, doing=_DOING) as connection:
            page = await connection.fetch(_SQL["floors"], after, TENANTS_PER_PAGE_MAX)
        tenants, floors = [row["tenant_id"] for row in page], [row["floor_rev"] for row in page]
        async with acquired(replica, doing=_DOING) as connection:
            behind = await connection.fetch(_SQL["behind_floors"], tenants, floors)
        for tenant, floor in behind:
            deleted += await collect_before(replica, tenant, floor)
        if len(page) < TENANTS_PER_PAGE_MAX:
            return deleted
        after = tenants[-1]
