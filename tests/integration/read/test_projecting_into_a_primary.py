"""A projection never folds into a primary, whether the tenant has a row there or not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from grantlog.errors import PreconditionError
from grantlog.store.postgres.pool import open_pool
from grantlog.store.postgres.projection import PostgresProjection
from grantlog.testing.contracts.places import ACME, OTHER
from tests.contract.postgres import postgres_primary


async def test_a_primary_is_refused_with_and_without_a_row_of_the_tenant(
    migrated_database: Callable[..., Awaitable[str]],
) -> None:
    dsn, elsewhere = await migrated_database(), await migrated_database()
    async with (
        postgres_primary(elsewhere) as source,
        postgres_primary(dsn) as target,
        open_pool(dsn, size_max=1, application_name="test") as pool,
    ):
        await target.put("doc:1#viewer@user:1", tenant=OTHER)
        projection = PostgresProjection(pool)
        before = await projection.positions()
        for tenant in (ACME, OTHER):
            for number in (2, 3):
                await source.put(f"doc:{number}#viewer@user:1", tenant=tenant)
            log = await source.history(tenant)
            for run in (log, log[1:]):
                with pytest.raises(PreconditionError, match="is a primary's database"):
                    await projection.apply(run)
        assert await projection.positions() == before
