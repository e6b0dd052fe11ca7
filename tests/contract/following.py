"""A follower, what it follows and what it folds into, as tests disturb and watch them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from grantlog.app.project import FollowLimits, Projector
from grantlog.errors import UnavailableError
from grantlog.model.chain import transaction_digest
from grantlog.model.change import Transaction
from grantlog.model.ids import Revision, TenantId
from grantlog.ports.log import ChangeLog, HeadsMoved, Position, ProjectionStore
from grantlog.testing.contracts.places import ACME, Copy, Primary
from tests.waiting import until

SMALL = FollowLimits(changes_max=3, poll_s=0.02, backoff_s_min=0.01, look_again_s=0.0)


class TamperedLog:
    """A log whose reads a test can disturb."""

    def __init__(self, log: ChangeLog) -> None:
        self.log = log
        self.failures = 0
        self.forged: set[tuple[TenantId, Revision]] = set()
        self.reads: list[TenantId] = []

    async def heads_moved(self, mark: str | None) -> HeadsMoved:
        return await self.log.heads_moved(mark)

    async def read(
        self, tenant: TenantId, *, after: Revision, changes_max: int
    ) -> Sequence[Transaction]:
        if self.failures:
            self.failures -= 1
            raise UnavailableError("a test cut the line")
        self.reads.append(tenant)
        return self._forged(await self.log.read(tenant, after=after, changes_max=changes_max))

    async def read_several(
        self, places: Mapping[TenantId, Revision], *, changes_max: int
    ) -> Sequence[Transaction]:
        self.reads += places
        return self._forged(await self.log.read_several(places, changes_max=changes_max))

    def _forged(self, page: Sequence[Transaction]) -> list[Transaction]:
        return [
            replace(entry, previous_digest=b"forged" * 2)
            if (entry.tenant, entry.revision) in self.forged
            else entry
            for entry in page
        ]

    async def wait(self, timeout_s: float) -> None:
        await self.log.wait(timeout_s)


async def equal(primary: Primary, replica: Copy, tenant: TenantId = ACME) -> bool:
    ours = await primary.projection.digest(tenant)
    return ours == await replica.projection.digest(tenant)


def rewritten(history: Sequence[Transaction]) -> list[Transaction]:
    """Another history of as many revisions, that was committed a second later each."""
    other: list[Transaction] = []
    digest = history[0].previous_digest
    for entry in history:
        later = entry.commit_time + timedelta(seconds=1)
        previous, digest = (
            digest,
            transaction_digest(
                digest,
                tenant=entry.tenant,
                epoch=entry.epoch,
                revision=entry.revision,
                commit_time=later,
                body=entry.body,
                salt=entry.salt,
            ),
        )
        other.append(replace(entry, commit_time=later, previous_digest=previous, digest=digest))
    return other


async def followed(projector: Projector, condition) -> None:
    """Run a follower until a condition holds."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(projector.run(stop))
        try:
            await until(condition)
        finally:
            stop.set()


class CountedStore:
    """A store that notes how often it was asked where its tenants stand, and what it folded."""

    def __init__(self, store: ProjectionStore) -> None:
        self.store = store
        self.asked = 0
        self.applied: list[set[TenantId]] = []

    async def apply(self, transactions: Sequence[Transaction]) -> None:
        await self.store.apply(transactions)
        self.applied.append({each.tenant for each in transactions})

    async def positions(self) -> dict[TenantId, Position]:
        self.asked += 1
        return await self.store.positions()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)
