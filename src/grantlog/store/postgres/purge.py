"""Purging the rows of lives that ended: deletion of a tenant only gives it another key."""

from __future__ import annotations

from typing import Final

from grantlog.store.postgres.collect import ROWS_PER_BATCH_MAX, delete_in_batches
from grantlog.store.postgres.pool import Pool, acquired
from grantlog.store.postgres.statements import load

_SQL: Final = load("collect")
_DOING: Final = "purging deleted tenants"
_FACTS: Final = (
    _SQL["purge_tuples"],
    _SQL["purge_tuples_history"],
    _SQL["purge_attributes"],
    _SQL["purge_attributes_history"],
)

LIVES_PER_PASS_MAX: Final = 100


async def purge_dead_lives(pool: Pool, *, rows_max: int = ROWS_PER_BATCH_MAX) -> int:
    """Delete the rows of ended lives, in batches, of a primary or a replica; returns how many.

    Nobody reads or writes them: reads find a tenant's key in its head row. A life is forgotten
    when its last row is gone, so that a pass that was interrupted goes on.

    Raises:
        UnavailableError: the database does not answer; calling again goes on.
    """
    async with acquired(pool, doing=_DOING) as connection:
        lives = await connection.fetch(_SQL["dead_lives"], LIVES_PER_PASS_MAX)
    purged = 0
    for (tenant_key,) in lives:
        for statement in _FACTS:
            purged += await delete_in_batches(pool, statement, tenant_key, rows_max=rows_max)
        async with acquired(pool, doing=_DOING) as connection:
            await connection.execute(_SQL["purge_schemas"], tenant_key)
            await connection.execute(_SQL["purge_bundles"], tenant_key)
            await connection.execute(_SQL["forget_life"], tenant_key)
    return purged
