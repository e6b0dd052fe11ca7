"""Folding a slice of one tenant's log: a few pieces, one read while the one before is applied."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Final

from grantlog.background import background_tasks
from grantlog.errors import CorruptionError, GrantlogError
from grantlog.model.change import Transaction
from grantlog.model.ids import Revision, TenantId
from grantlog.ports.log import ChangeLog, ProjectionStore

PIECES: Final = 4
"""A slice is read and applied in so many pieces: one is read while the one before is applied."""


async def fold_slice(
    log: ChangeLog,
    store: ProjectionStore,
    tenant: TenantId,
    behind: tuple[Revision, Revision],
    changes_max: int,
) -> AsyncGenerator[Sequence[Transaction]]:
    """Fold what stands behind a revision, and tell each piece when it is folded.

    Args:
        log: what is read.
        store: the replica.
        tenant: whose log.
        behind: where the replica stands, and where the log is known to end; it may go on meanwhile.
        changes_max: changes of the whole slice, about.

    Raises:
        CorruptionError: the log ends where the replica stands, or the store refuses what it holds.
    """
    after, through = behind
    changes_max = max(changes_max // PIECES, 1)
    piece = await log.read(tenant, after=after, changes_max=changes_max)
    if not piece:
        raise CorruptionError(f"the log ends at revision {after}, its head is at {through}")
    for pieces_left in reversed(range(PIECES)):
        following: Sequence[Transaction] = ()
        if pieces_left and piece[-1].revision < through:
            following = await _apply_while_reading(log, store, piece, changes_max)
        else:
            await store.apply(piece)
        yield piece
        if not following:
            return
        piece = following


async def _apply_while_reading(
    log: ChangeLog, store: ProjectionStore, piece: Sequence[Transaction], changes_max: int
) -> Sequence[Transaction]:
    """Apply a piece; the next one, empty if it could not be read: it is read again then.

    The two wait for different databases; one after the other they take twice as long.
    """
    last = piece[-1]

    async def read() -> Sequence[Transaction]:
        try:
            return await log.read(last.tenant, after=last.revision, changes_max=changes_max)
        except GrantlogError:
            return ()

    async with background_tasks() as group:
        reading = group.create_task(read(), name="read ahead")
        await store.apply(piece)
    return reading.result()
