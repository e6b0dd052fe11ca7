"""What a follower, a copy and a verification hold in memory does not grow with the backlog."""

from __future__ import annotations

import tracemalloc
from collections.abc import Awaitable, Callable

import pytest

from grantlog.app.copying import Copier
from grantlog.app.project import FollowLimits, Projector
from grantlog.app.replicas import verify
from grantlog.model.ids import TenantId
from grantlog.testing.contracts.places import Primary
from tests.contract.postgres import postgres_primary, postgres_replica

NewDatabase = Callable[..., Awaitable[str]]

FEW, MANY = 4_000, 16_000
"""Changes of two tenants' logs."""
SLICE = 800


async def filled(primary: Primary, tenant: TenantId, count: int) -> None:
    for start in range(0, count, 400):
        await primary.put(
            *(f"doc:{n}#viewer@user:{n}" for n in range(start, start + 400)), tenant=tenant
        )


async def peak_of(work: Callable[[], Awaitable[object]]) -> int:
    """Bytes that were held at most, beyond those at the beginning."""
    await work()  # what is made once (prepared statements, caches) is not what grows
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        await work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("way", ["fold", "copy", "verify"])
async def test_memory_stays_the_same_with_four_times_the_backlog(
    way: str, migrated_database: NewDatabase
) -> None:
    peaks: list[int] = []
    for count in (FEW, MANY):
        async with (
            postgres_primary(await migrated_database()) as primary,
            postgres_replica(await migrated_database(seed=False)) as replica,
        ):
            await filled(primary, TenantId("acme"), count)
            copier = Copier(primary.source, replica.target, rows_max=SLICE)
            limits = FollowLimits(
                changes_max=SLICE, copy_revisions_min=1 if way == "copy" else 1_000_000
            )

            async def catch_up(primary=primary, replica=replica, copier=copier, limits=limits):
                await replica.projection.clear()
                projector = Projector(primary.log, replica.projection, limits, copier)
                await projector.start()
                await projector.round()
                while projector.status.behind:
                    await projector.round()

            async def compare(primary=primary, replica=replica):
                assert all(
                    verdict.equal
                    for verdict in await verify(primary.log, primary.projection, replica.projection)
                )

            await catch_up()
            await compare()
            peaks.append(await peak_of(compare if way == "verify" else catch_up))
    few, many = peaks
    assert many < 1.5 * few + 200_000
