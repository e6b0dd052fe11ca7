"""ChangeLog on the primary's own table of transactions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from typing import Final, TypeAlias

import asyncpg
from asyncpg.cursor import Cursor

from grantlog.changelog.parts import assembled
from grantlog.changelog.postgres.listener import Listener
from grantlog.changelog.postgres.mark import Mark, decode_mark, next_mark
from grantlog.errors import CorruptionError
from grantlog.model.change import TenantDeleted, Transaction
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.ports.log import HeadsMoved, LogHead, Position
from grantlog.store.postgres.pool import Pool, acquired
from grantlog.store.postgres.statements import load

_SQL: Final = load("log", package="grantlog.changelog.postgres")
_LIFE: Final = _SQL["life"]
_WRITERS: Final = _SQL["writers"]
_MOVED: Final = _SQL["moved"]
_HEADS_OF: Final = _SQL["heads_of"]
_READ: Final = _SQL["read"]
_READ_SEVERAL: Final = _SQL["read_several"]

ROWS_FETCHED_FIRST: Final = 64
ROWS_FETCHED_MAX: Final = 1_000
BYTES_FETCHED: Final = 1024 * 1024
"""Parts of transactions are fetched 64 at first, then about a mebibyte at a time by the size of
those seen: each has at most 512 KiB, and most have a few hundred bytes."""


THROUGH_EVERY_S: Final = 0.05
"""For a follower that looks at heads many times a second: a time is promised no more often."""


_Rows: TypeAlias = "AsyncGenerator[Sequence[asyncpg.Record]]"
"""Of `_READ`: tenant, revision and payload of each part, in order."""


class PostgresChangeLog:
    """Reads the log from the primary; see the port. `wait` serves one follower.

    Args:
        pool: connections to the primary.
        listener: hears of commits.
        through_every_s: between two looks at what `through` rests on; 0 looks each time.
    """

    def __init__(self, pool: Pool, listener: Listener, *, through_every_s: float = 0.0) -> None:
        self._pool = pool
        self._listener = listener
        self._through_every_s = through_every_s
        self._look_at = 0.0

    async def heads_moved(self, mark: str | None) -> HeadsMoved:
        """Heads that moved since `mark`; all if the server was restarted or replaced since."""
        last = decode_mark(mark) if mark else None
        now = asyncio.get_running_loop().time()
        if last is not None and now < self._look_at:
            return await self._moved_since(last)
        self._look_at = now + self._through_every_s
        # Statements of their own, in this order: the promise of `through` rests on it (mark.py).
        async with acquired(self._pool, doing="reading heads") as connection:
            clock = await connection.fetchrow(_LIFE)
            assert clock is not None
            writers = [row["writer"] for row in await connection.fetch(_WRITERS)]
            if last is not None and last.life != clock["life"]:
                last = None
            rows = await connection.fetch(_MOVED, last.xmin if last else "0")
        following = next_mark(
            last, life=clock["life"], xmin=rows[0]["xmin"], now=clock["now"], writers=writers
        )
        return HeadsMoved(_heads(rows), following.encode(), following.through)

    async def _moved_since(self, last: Mark) -> HeadsMoved:
        """Heads that moved since the mark, if the server is still the mark's.

        If it is not, the next look tells: the mark keeps the life of the one before.
        """
        async with acquired(self._pool, doing="reading heads") as connection:
            rows = await connection.fetch(_MOVED, last.xmin)
        following = replace(last, xmin=rows[0]["xmin"])
        return HeadsMoved(_heads(rows), following.encode(), last.through)

    async def heads_of(
        self, tenants: Collection[TenantId], *, now: bool = False
    ) -> dict[TenantId, LogHead]:
        """Where these tenants' logs end."""
        del now  # always
        if not tenants:
            return {}
        async with acquired(self._pool, doing="reading heads") as connection:
            rows = await connection.fetch(_HEADS_OF, list(tenants))
        return {
            TenantId(row["tenant_id"]): LogHead(
                Position(Epoch(row["epoch"]), Revision(row["revision"]), row["digest"]),
                Revision(row["begins_rev"]),
            )
            for row in rows
        }

    async def read(
        self, tenant: TenantId, *, after: Revision, changes_max: int
    ) -> Sequence[Transaction]:
        """Whole transactions behind `after`, in order; at least one if there is any."""
        return await self._read(_READ, {tenant: after}, (tenant, after), changes_max)

    async def read_several(
        self, places: Mapping[TenantId, Revision], *, changes_max: int
    ) -> Sequence[Transaction]:
        """As `read`, of several tenants in one go."""
        if not places:
            return ()
        wanted = (list(places), list(places.values()))
        return await self._read(_READ_SEVERAL, places, wanted, changes_max)

    async def _read(
        self,
        statement: str,
        places: Mapping[TenantId, Revision],
        wanted: tuple[object, object],
        changes_max: int,
    ) -> Sequence[Transaction]:
        page = _Page(places, changes_max)
        async with acquired(self._pool, doing="reading the log") as connection:
            # Most readers stand near the end: one statement, and no transaction for a cursor.
            rows = await connection.fetch(statement, *wanted, ROWS_FETCHED_FIRST)
            if len(rows) == ROWS_FETCHED_FIRST:
                async with connection.transaction(isolation="read_committed", readonly=True):
                    cursor = await connection.cursor(statement, *wanted, None)
                    return await page.filled(_fetched(cursor))
        return await page.filled(_given(rows))

    async def wait(self, timeout_s: float) -> None:
        """Return when something may have been committed, at the latest after `timeout_s`."""
        await self._listener.wait(timeout_s)


def _heads(rows: Sequence[asyncpg.Record]) -> dict[TenantId, Position]:
    """The heads of `_MOVED`."""
    return {
        TenantId(row["tenant_id"]): Position(
            Epoch(row["epoch"]), Revision(row["revision"]), row["digest"]
        )
        for row in rows
        if row["tenant_id"] is not None
    }


async def _given(rows: Sequence[asyncpg.Record]) -> _Rows:
    yield rows


async def _fetched(cursor: Cursor) -> _Rows:
    """Rows as they come, about a mebibyte at a time."""
    wanted = ROWS_FETCHED_FIRST
    while rows := await cursor.fetch(wanted):
        yield rows
        if len(rows) < wanted:
            return
        size = sum(len(payload) for _, _, payload in rows)
        wanted = min(max(BYTES_FETCHED * len(rows) // max(size, 1), 1), ROWS_FETCHED_MAX)


class _Page:
    """The transactions that parts make, up to so many changes; at least one if there is any.

    Args:
        places: by tenant, behind which revision the first one must come.
        changes_max: of all of them.
    """

    def __init__(self, places: Mapping[TenantId, Revision], changes_max: int) -> None:
        self._told = dict(places)
        self._room = changes_max
        self._transactions: list[Transaction] = []
        self._tenant: TenantId = TenantId("")
        self._revision: Revision = Revision(0)
        self._parts: list[bytes] = []
        """Of the transaction at `_revision`."""

    async def filled(self, rows: _Rows) -> Sequence[Transaction]:
        """The page, from rows that hold each tenant's parts in order."""
        async with aclosing(rows):
            async for some in rows:
                for tenant, revision, payload in some:
                    if revision != self._revision or tenant != self._tenant:
                        if self._parts and not await self._add():
                            return self._transactions
                        self._tenant, self._revision = tenant, revision
                    self._parts.append(payload)
        if self._parts:
            await self._add()
        return self._transactions

    async def _add(self) -> bool:
        """Take the transaction whose parts are here; False if it has no room.

        Raises:
            CorruptionError: revisions are missing that no deletion of the tenant made go away.
        """
        parts, self._parts = self._parts, []
        tenant, revision = self._tenant, self._revision
        transaction = await assembled(tenant, revision, parts)
        told = self._told[tenant]
        if revision != told + 1 and not isinstance(transaction.body, TenantDeleted):
            raise CorruptionError(f"revisions {told + 1} to {revision - 1} are missing in the log")
        self._told[tenant] = revision
        self._room -= transaction.size
        if self._transactions and self._room < 0:
            return False
        self._transactions.append(transaction)
        return True


@asynccontextmanager
async def open_change_log(
    pool: Pool, *, listen_dsn: str, through_every_s: float = 0.0
) -> AsyncGenerator[PostgresChangeLog]:
    """A change log for the block.

    Args:
        pool: connections to the primary; reading takes one at a time.
        listen_dsn: leads to the primary itself, not through a transaction pooler.
        through_every_s: as of `PostgresChangeLog`.
    """
    async with AsyncExitStack() as stack:
        listener = Listener(listen_dsn, stack)
        yield PostgresChangeLog(pool, listener, through_every_s=through_every_s)
