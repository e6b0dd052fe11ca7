"""The outbox in the primary: leases of publishers, marks of what is published, rows that are not.

A publisher holds a partition by a lease with an epoch. Taking it raises the epoch; whatever a
publisher marks is marked under its epoch or not at all, so one that was paused and wakes up late
cannot undo what its successor did.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import asyncpg

from grantlog.changelog.parts import Part
from grantlog.changelog.postgres.topic_record import (
    Behind,
    PartitionStatus,
    TopicRecord,
    refuse_other,
)
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.store.postgres.pool import Connection, Pool, acquired
from grantlog.store.postgres.statements import load

_SQL: Final = load("publish", package="grantlog.changelog.postgres")

ROWS_READ_FIRST: Final = 64
"""A publisher that keeps up finds fewer: one statement, and no transaction for a cursor."""

ROWS_PER_TENANT_MAX: Final = 500
"""Parts of one tenant read at once, so that it does not keep the others waiting."""

WHOLE: Final = 2**31 - 1
"""The part of a place that stands behind all parts of its revision."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A partition that a publisher holds."""

    partition: int
    publisher_epoch: int
    acknowledged_offset: int
    """The highest offset that Kafka ever acknowledged; -1 before the first."""


@dataclass(frozen=True, slots=True)
class Place:
    """The last part of a tenant that was sent."""

    revision: Revision
    part: int
    complete: bool
    """Whether it was its transaction's last."""

    @property
    def published(self) -> Revision:
        """The last revision that is on the topic as a whole."""
        return self.revision if self.complete else Revision(self.revision - 1)


@dataclass(slots=True)
class Acknowledged:
    """What Kafka acknowledged, to be marked in one statement."""

    offsets: dict[int, int] = field(default_factory=dict[int, int])
    """The highest one, by partition."""
    through: dict[int, datetime] = field(default_factory=dict[int, datetime])
    """By partition, the time before which everything is on the topic."""
    revisions: dict[TenantId, tuple[int, Revision]] = field(
        default_factory=dict[TenantId, tuple[int, Revision]]
    )
    """By tenant, its partition and the last revision that is there as a whole."""

    def __bool__(self) -> bool:
        """Whether there is anything to mark."""
        return bool(self.offsets or self.through)

    def add(self, later: Acknowledged) -> None:
        """Take in what was acknowledged behind this."""
        for partition, offset in later.offsets.items():
            self.offsets[partition] = max(offset, self.offsets.get(partition, -1))
        self.through |= later.through
        self.revisions |= later.revisions


class Outbox:
    """One publisher's view of the primary."""

    def __init__(self, pool: Pool, *, owner: str) -> None:
        self._pool = pool
        self._owner = owner
        # Two statements of one publisher that update leases could lock them in different orders.
        self._leases = asyncio.Lock()

    async def topic(self) -> TopicRecord | None:
        """The topic that was recorded, None before the first."""
        async with acquired(self._pool, doing="reading the topic's record") as connection:
            row = await connection.fetchrow(_SQL["topic"])
        return TopicRecord(*row.values()) if row is not None else None

    async def record_topic(self, topic: TopicRecord) -> TopicRecord:
        """Record the topic unless one is; returns the one that is recorded afterwards."""
        async with acquired(self._pool, doing="recording the topic") as connection:
            await connection.execute(
                _SQL["record_topic"], topic.name, topic.partitions, topic.cluster_id
            )
            row = await connection.fetchrow(_SQL["topic"])
            assert row is not None
            recorded = TopicRecord(*row.values())
            await connection.execute(_SQL["add_leases"], recorded.partitions)
        return recorded

    async def epoch(self) -> Epoch:
        """The log's epoch."""
        async with acquired(self._pool, doing="reading the epoch") as connection:
            return Epoch(await connection.fetchval(_SQL["epoch"]))

    async def publishers(self) -> dict[int, tuple[Epoch, int]]:
        """By partition, the log's epoch and the epoch of the last publisher that took it."""
        async with acquired(self._pool, doing="reading who publishes") as connection:
            rows = await connection.fetch(_SQL["publishers"])
        return {row["partition"]: (Epoch(row["epoch"]), row["publisher_epoch"]) for row in rows}

    async def hold(self, lease_s: float, *, name: str, partitions: int) -> list[Lease]:
        """Renew what this publisher holds and take what nobody holds; all that it holds now.

        Raises:
            PreconditionError: the log was moved to another topic than `name`.
        """
        async with (
            self._leases,
            acquired(self._pool, doing="renewing the publisher's leases") as connection,
        ):
            row = await connection.fetchrow(_SQL["topic"])
            if row is None:
                return []
            refuse_other(TopicRecord(*row.values()), name=name, partitions=partitions)
            kept = await connection.fetch(_SQL["renew"], self._owner, lease_s)
            taken = await connection.fetch(_SQL["take"], self._owner, lease_s, name, partitions)
        return [Lease(*row.values()) for row in (*kept, *taken)]

    async def release(self) -> None:
        """Let others take this publisher's leases at once."""
        async with (
            self._leases,
            acquired(self._pool, doing="releasing the publisher's leases") as connection,
        ):
            await connection.execute(_SQL["release"], self._owner)

    async def status(self) -> tuple[list[PartitionStatus], Behind]:
        """Every partition, and what is not published yet."""
        async with acquired(self._pool, doing="reading what is published") as connection:
            rows = await connection.fetch(_SQL["status"])
            behind = await connection.fetchrow(_SQL["behind"])
        assert behind is not None
        return [PartitionStatus(*row.values()) for row in rows], Behind(*behind.values())

    async def republish(self) -> None:
        """Have every transaction sent again, from the first: whoever publishes starts over.

        Consumers know what they have already, by tenant and revision.
        """
        async with self._rewriting() as connection:
            await connection.execute(_SQL["forget_published"])
            await connection.execute(_SQL["restart_leases"])

    async def move(self, topic: TopicRecord) -> None:
        """Make another topic the log's and have everything sent there, from the first."""
        async with self._rewriting() as connection:
            await connection.execute(
                _SQL["replace_topic"], topic.name, topic.partitions, topic.cluster_id
            )
            await connection.execute(_SQL["add_leases"], topic.partitions)
            await connection.execute(_SQL["forget_published"])
            await connection.execute(_SQL["restart_leases"])

    @asynccontextmanager
    async def _rewriting(self) -> AsyncGenerator[Connection]:
        """A transaction in which nobody takes, renews or marks."""
        async with (
            self._leases,
            acquired(self._pool, doing="rewriting what is published") as connection,
            connection.transaction(),
        ):
            await connection.fetch(_SQL["lock_leases"])
            yield connection

    async def tell_trouble(self, troubles: Mapping[int, str]) -> None:
        """Note for people why partitions do not publish, "" where they do."""
        async with self._leases, acquired(self._pool, doing="noting trouble") as connection:
            rows = [(self._owner, partition, text) for partition, text in troubles.items()]
            await connection.executemany(_SQL["trouble"], rows)

    async def marks(self, partitions: Collection[int]) -> dict[TenantId, Revision]:
        """The last published revision of every tenant of these partitions that has one."""
        async with acquired(self._pool, doing="reading what is published") as connection:
            rows = await connection.fetch(_SQL["marks"], list(partitions))
        return {TenantId(row["tenant_id"]): Revision(row["revision"]) for row in rows}

    async def acknowledge(self, leases: Mapping[int, Lease], done: Acknowledged) -> set[int]:
        """Mark what is published; returns the partitions whose lease is still held.

        Of the others nothing was marked.
        """
        partitions = sorted({*done.offsets, *done.through})
        marks = list(done.revisions.items())
        async with self._leases, acquired(self._pool, doing="marking as published") as connection:
            rows = await connection.fetch(
                _SQL["acknowledge"],
                partitions,
                [leases[partition].publisher_epoch for partition in partitions],
                [done.offsets.get(partition, -1) for partition in partitions],
                [done.through.get(partition) for partition in partitions],
                [tenant for tenant, _ in marks],
                [partition for _, (partition, _) in marks],
                [revision for _, (_, revision) in marks],
            )
        return {row["partition"] for row in rows}

    async def unpublished(
        self, places: Sequence[tuple[TenantId, Place]], *, bytes_max: int
    ) -> list[Part]:
        """The parts behind these places, each tenant's in order, until they hold `bytes_max`.

        At least one, if there is any; the last may be larger. Not every tenant need be among them.
        """
        wanted = (
            [tenant for tenant, _ in places],
            [place.revision for _, place in places],
            [place.part for _, place in places],
            ROWS_PER_TENANT_MAX,
        )
        async with acquired(self._pool, doing="reading what is not published") as connection:
            rows = await connection.fetch(_SQL["unpublished"], *wanted, ROWS_READ_FIRST)
            if len(rows) < ROWS_READ_FIRST:
                return await _batch(_each(rows), bytes_max)
            async with connection.transaction(isolation="read_committed", readonly=True):
                cursor = connection.cursor(_SQL["unpublished"], *wanted, None, prefetch=50)
                return await _batch(cursor, bytes_max)


async def _each(rows: Sequence[asyncpg.Record]) -> AsyncGenerator[asyncpg.Record]:
    for row in rows:
        yield row


async def _batch(rows: AsyncIterable[asyncpg.Record], bytes_max: int) -> list[Part]:
    """The parts of rows until they hold so much."""
    found: list[Part] = []
    size = 0
    async for row in rows:
        part = Part(*row.values())
        found.append(part)
        size += len(part.payload)
        if size >= bytes_max:
            break
    return found
