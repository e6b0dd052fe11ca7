"""Purging the rows of lives that ended: deletion of a tenant only gives it another key."""

from __future__ import annotations

from typing import Final

from grantlog.store.postgres.collect import ROWS_PER_BATCH_MAX, delete_in_batches
from grantlog.store.postgres.pool import Pool, acquired
from grantlog.store.postgres.statements import load

_SQL: Final = load("collect")
_DOING: Final = "purging deleted tenants"
_BY_KEY: Final = (
    _SQL["purge_tuples"],
    _SQL["purge_tuples_history"],
    _SQL["purge_attributes"],
    _SQL["purge_attributes_history"],
    _SQL["purge_schemas"],
    _SQL["purge_bundles"],
)

LIVES_PER_PASS_MAX: Final = 100

LOG_ROWS_PER_BATCH_MAX: Final = 100
"""Each may be half a megabyte, in hundreds of rows of the table that holds long values."""


async def purge_dead_lives(pool: Pool, *, rows_max: int = ROWS_PER_BATCH_MAX) -> int:
    """Delete the rows of ended lives, in batches, of a primary or a replica; returns how many.

    Of a tenant only its head row and the deletion in the log are left, and where its log stood when
    epochs opened. Nobody reads or writes what goes: reads find a tenant's key in its head row,
    and its log begins at the deletion. A life is forgotten when its last row is gone, so that a
    pass that was interrupted goes on.

    Args:
        pool: the database.
        rows_max: rows that one statement deletes.

    Raises:
        UnavailableError: the database does not answer; calling again goes on.
    """
    async with acquired(pool, doing=_DOING) as connection:
        lives = await connection.fetch(_SQL["dead_lives"], LIVES_PER_PASS_MAX)
    purged = 0
    for tenant_key, tenant, died in lives:
        for statement in _BY_KEY:
            purged += await delete_in_batches(pool, statement, tenant_key, rows_max=rows_max)
        purged += await delete_in_batches(
            pool, _SQL["purge_log"], tenant, died, rows_max=min(rows_max, LOG_ROWS_PER_BATCH_MAX)
        )
        async with acquired(pool, doing=_DOING) as connection:
            await connection.execute(_SQL["forget_life"], tenant_key)
    return purged
