"""ChangeLog on the primary's own table of transactions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from grantlog.changelog.parts import assembled
from grantlog.changelog.postgres.listener import Listener
from grantlog.changelog.postgres.mark import decode_mark, next_mark
from grantlog.errors import CorruptionError
from grantlog.model.change import TenantDeleted, Transaction
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.ports.log import HeadsMoved, LogHead, Position
from grantlog.store.postgres.pool import Connection, Pool, acquired
from grantlog.store.postgres.statements import load

_SQL: Final = load("log", package="grantlog.changelog.postgres")
_LIFE: Final = _SQL["life"]
_WRITERS: Final = _SQL["writers"]
_MOVED: Final = _SQL["moved"]
_HEADS_OF: Final = _SQL["heads_of"]
_READ: Final = _SQL["read"]

ROWS_FETCHED_FIRST: Final = 64
ROWS_FETCHED_MAX: Final = 1_000
BYTES_FETCHED: Final = 1024 * 1024
"""Parts of transactions are fetched 64 at first, then about a mebibyte at a time by the size of
those seen: each has at most 512 KiB, and most have a few hundred bytes."""


class PostgresChangeLog:
    """Reads the log from the primary; see the port. `wait` serves one follower."""

    def __init__(self, pool: Pool, listener: Listener) -> None:
        self._pool = pool
        self._listener = listener

    async def heads_moved(self, mark: str | None) -> HeadsMoved:
        """Heads that moved since `mark`; all if the server was restarted or replaced since."""
        last = decode_mark(mark) if mark else None
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
        heads = {
            TenantId(row["tenant_id"]): Position(
                Epoch(row["epoch"]), Revision(row["revision"]), row["digest"]
            )
            for row in rows
            if row["tenant_id"] is not None
        }
        return HeadsMoved(heads, following.encode(), following.through)

    async def heads_of(
        self, tenants: Collection[TenantId], *, now: bool = False
    ) -> dict[TenantId, LogHead]:
        """Where these tenants' logs end."""
        del now  # always
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
        page: list[Transaction] = []
        changes = 0
        async with (
            acquired(self._pool, doing="reading the log") as connection,
            connection.transaction(isolation="read_committed", readonly=True),
        ):
            async for transaction in _transactions(connection, tenant, after):
                changes += transaction.size
                if page and changes > changes_max:
                    break
                page.append(transaction)
        return page

    async def wait(self, timeout_s: float) -> None:
        """Return when something may have been committed, at the latest after `timeout_s`."""
        await self._listener.wait(timeout_s)


async def _transactions(
    connection: Connection, tenant: TenantId, after: Revision
) -> AsyncIterator[Transaction]:
    """Transactions as their last part arrives."""
    parts: list[bytes] = []
    told, revision = after, after
    cursor = await connection.cursor(_READ, tenant, after)
    wanted = ROWS_FETCHED_FIRST
    while rows := await cursor.fetch(wanted):
        size = 0
        for row_revision, payload in rows:
            if parts and row_revision != revision:
                yield _following(told, await assembled(tenant, revision, parts))
                told, parts = revision, []
            revision = Revision(row_revision)
            parts.append(payload)
            size += len(payload)
        if len(rows) < wanted:
            break
        wanted = min(max(BYTES_FETCHED * len(rows) // max(size, 1), 1), ROWS_FETCHED_MAX)
    if parts:
        yield _following(told, await assembled(tenant, revision, parts))


def _following(told: Revision, transaction: Transaction) -> Transaction:
    """The transaction, if it may come behind what was told.

    Raises:
        CorruptionError: revisions are missing that no deletion of the tenant made go away.
    """
    revision = transaction.revision
    if revision != told + 1 and not isinstance(transaction.body, TenantDeleted):
        raise CorruptionError(f"revisions {told + 1} to {revision - 1} are missing in the log")
    return transaction


@asynccontextmanager
async def open_change_log(pool: Pool, *, listen_dsn: str) -> AsyncGenerator[PostgresChangeLog]:
    """A change log for the block.

    Args:
        pool: connections to the primary; reading takes one at a time.
        listen_dsn: leads to the primary itself, not through a transaction pooler.
    """
    async with AsyncExitStack() as stack:
        yield PostgresChangeLog(pool, Listener(listen_dsn, stack))
