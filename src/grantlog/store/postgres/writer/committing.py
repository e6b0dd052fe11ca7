"""Commit a group in one database transaction, and find out the truth where COMMIT got lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import asyncpg

from grantlog.errors import ConflictError, CorruptionError, GrantlogError, UnavailableError
from grantlog.model.change import Transaction
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.store.postgres.driver_errors import DRIVER_ERRORS, breaks_connection
from grantlog.store.postgres.epoch import open_epoch_on
from grantlog.store.postgres.pool import Connection, Pool, acquired, discard
from grantlog.store.postgres.statements import load
from grantlog.store.postgres.writer.acknowledged import Acknowledged
from grantlog.store.postgres.writer.intents import Intent, Outcome
from grantlog.store.postgres.writer.limits import WriterLimits
from grantlog.store.postgres.writer.novelty import HeldError, Novelty
from grantlog.store.postgres.writer.preparing import NewBytes, Prepared, lock_head, prepare
from grantlog.store.postgres.writer.tail import LockedHead

_SQL: Final = load("write")
_BEGIN: Final = _SQL["begin"]
_COMMIT: Final = _SQL["commit"]
_ROLLBACK: Final = _SQL["rollback"]
_OUTCOME: Final = _SQL["outcome"]

ATTEMPTS_MAX: Final = 3
"""Of a group: a lost connection or a deadlock is tried again, then told."""

_DOING: Final = "writing (nothing was committed)"

TellCommitted: TypeAlias = "Callable[[Sequence[Transaction]], object]"
"""Told the transactions of a group, in order, before their writers are; it must not block."""


def tell_nobody(transactions: Sequence[Transaction]) -> None:
    """Nobody in this process follows what it writes."""
    del transactions


class _LostCommitError(Exception):
    """COMMIT was sent and no answer came."""

    def __init__(self, prepared: Prepared) -> None:
        super().__init__()
        self.prepared = prepared


class _HeadBehindError(Exception):
    """The head stands behind what this process acknowledged, or its history is another."""

    def __init__(self, epoch: Epoch) -> None:
        super().__init__()
        self.epoch = epoch


class Committer:
    """Commits groups of intents of one tenant.

    Args:
        pool: connections to the primary, `open_primary_pool`.
        limits: the writer's bounds.
        new_bytes: random bytes, for the salt of a new tenant.
        acknowledged: what this process acknowledged; its own if None.
        committed: told what was committed.
    """

    def __init__(
        self,
        pool: Pool,
        limits: WriterLimits,
        new_bytes: NewBytes,
        acknowledged: Acknowledged | None = None,
        committed: TellCommitted = tell_nobody,
    ) -> None:
        self._pool = pool
        self._committed = committed
        self._limits = limits
        self._new_bytes = new_bytes
        self._acknowledged = acknowledged or Acknowledged()
        self._novelty = Novelty()

    async def commit(self, group: Sequence[Intent]) -> list[Outcome]:
        """One outcome for each intent, in order; several intents are all data writes.

        If the group cannot be committed, each of its writes is tried alone: nobody pays for what
        another one got wrong.
        """
        try:
            return await self._commit_together(group)
        except UnavailableError as error:
            return [error] * len(group)
        except GrantlogError as error:
            if len(group) == 1:
                return [error]
        except Exception:  # a bug that one write triggers must not fail the others either
            if len(group) == 1:
                raise
        return [outcome for intent in group for outcome in await self.commit([intent])]

    async def _commit_together(self, group: Sequence[Intent]) -> list[Outcome]:
        for attempt in range(1, ATTEMPTS_MAX + 1):
            last = attempt == ATTEMPTS_MAX
            try:
                return await self._attempt(group)
            except _LostCommitError as lost:
                if await self._was_committed(lost.prepared):
                    return self._acknowledge(lost.prepared)
                if last:
                    raise UnavailableError(f"{_DOING}: the connection broke at COMMIT") from lost
            except _HeadBehindError as behind:
                await self._open_epoch_behind(behind.epoch)
            except (UnavailableError, ConflictError) as error:
                if last or not error.retriable or not _is_transient(error):
                    raise
        raise UnavailableError(f"{_DOING}: the log's epoch keeps changing")

    async def _attempt(self, group: Sequence[Intent]) -> list[Outcome]:
        if self._novelty.expects(group):
            try:
                return await self._write(group, as_new=True)
            except HeldError:
                self._novelty.refuted(group[0].tenant)
        return await self._write(group, as_new=False)

    async def _write(self, group: Sequence[Intent], *, as_new: bool) -> list[Outcome]:
        async with acquired(self._pool, doing=_DOING) as connection:
            await connection.execute(_BEGIN)
            try:
                head = await lock_head(connection, group[0].tenant, self._new_bytes)
                self._require_not_behind(head)
                prepared = await prepare(connection, head, group, self._limits, as_new=as_new)
            except (GrantlogError, HeldError, asyncpg.PostgresError):
                await _roll_back(connection)
                raise
            except BaseException:
                discard(connection)  # it may not answer any more
                raise
            if not prepared.transactions:
                await _roll_back(connection)
                return prepared.outcomes
            await _commit(connection, prepared)
        return self._acknowledge(prepared)

    def _acknowledge(self, prepared: Prepared) -> list[Outcome]:
        last = prepared.transactions[-1]
        self._acknowledged.note(last)
        self._committed(prepared.transactions)
        return prepared.outcomes

    def _require_not_behind(self, head: LockedHead) -> None:
        epoch = self._acknowledged.epoch_if_behind(head)
        if epoch is not None:
            raise _HeadBehindError(epoch)

    async def _open_epoch_behind(self, epoch: Epoch) -> None:
        """Open an epoch that is later than all that this process acknowledged."""
        async with acquired(self._pool, doing="opening an epoch") as connection:
            reason = "the head stood behind what a node had acknowledged (restore?)"
            await open_epoch_on(connection, reason=reason, past=epoch)

    async def _was_committed(self, prepared: Prepared) -> bool:
        """Whether a lost COMMIT took effect.

        Raises:
            UnavailableError: that cannot be known: the primary does not answer in time.
        """
        pause_s = 0.02
        first = prepared.transactions[0]
        try:
            async with asyncio.timeout(self._limits.outcome_wait_s_max):
                while True:
                    try:
                        return await self._look_up(
                            prepared.head.tenant, first.revision, (first.write_id, first.digest)
                        )
                    except (UnavailableError, ConflictError):
                        await asyncio.sleep(pause_s)
                        pause_s = min(pause_s * 2, 1.0)
        except TimeoutError as error:
            raise UnavailableError(
                "the connection broke at COMMIT and the primary does not answer: the outcome of "
                "the write is unknown; repeating it is safe, writes are idempotent"
            ) from error

    async def _look_up(
        self, tenant: TenantId, revision: Revision, identity: tuple[bytes, bytes]
    ) -> bool:
        """Whether the log holds the transaction.

        The head's lock comes first: as long as the server has not ended the lost transaction, it
        holds that lock, so behind it the answer cannot change any more.
        """
        async with acquired(self._pool, doing="looking a write up") as connection:
            try:
                await connection.execute(_BEGIN)
                await lock_head(connection, tenant, self._new_bytes)
                row = await connection.fetchrow(_OUTCOME, tenant, revision)
                await connection.execute(_ROLLBACK)
            except BaseException:
                discard(connection)  # a polite end would wait for the lock too
                raise
        return row is not None and (row["write_id"], row["digest"]) == identity


def _is_transient(error: GrantlogError) -> bool:
    """Whether a second try at once can help: other transactions, or a connection that was gone."""
    cause = error.__cause__
    if isinstance(error, ConflictError):
        return isinstance(cause, DRIVER_ERRORS)
    return cause is not None and breaks_connection(cause) and not isinstance(cause, TimeoutError)


async def _commit(connection: Connection, prepared: Prepared) -> None:
    try:
        status = await connection.execute(_COMMIT)
    except BaseException as error:
        # Whatever state it is in, nobody else may use this connection.
        discard(connection)
        if isinstance(error, DRIVER_ERRORS):
            raise _LostCommitError(prepared) from error
        raise
    if status != "COMMIT":
        raise CorruptionError("the database rolled back what it was told to commit")


async def _roll_back(connection: Connection) -> None:
    """End a transaction without a trace; a connection that cannot is ended itself."""
    try:
        await connection.execute(_ROLLBACK)
    except DRIVER_ERRORS:
        discard(connection)
