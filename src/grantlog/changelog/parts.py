"""What both the outbox and the topic call a part, and the transaction that parts make."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from grantlog.errors import CorruptionError
from grantlog.model.change import Transaction
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.wire.event import decode_transaction

BYTES_ON_LOOP_MAX: Final = 32 * 1024
"""Transactions with more take longer to decode than the event loop may stand still."""

BYTES_BETWEEN_OTHERS_MAX: Final = 2 * 1024
"""Behind a transaction with more, other tasks go on first: they come by the dozen."""


@dataclass(frozen=True, slots=True)
class Part:
    """A row of the log: one part of one transaction."""

    tenant: TenantId
    revision: Revision
    part: int
    parts: int
    epoch: Epoch
    payload: bytes

    @property
    def is_last(self) -> bool:
        """Whether its transaction is complete with it."""
        return self.part == self.parts - 1


async def assembled(tenant: TenantId, revision: Revision, parts: Sequence[bytes]) -> Transaction:
    """The transaction of these parts; large ones are decoded off the event loop.

    Raises:
        CorruptionError: they are not that transaction's, or not all, or of an unknown kind.
    """
    size = sum(map(len, parts))
    if size > BYTES_ON_LOOP_MAX:
        transaction = await asyncio.to_thread(decode_transaction, tuple(parts))
    else:
        transaction = decode_transaction(parts)
        if size > BYTES_BETWEEN_OTHERS_MAX:
            await asyncio.sleep(0)
    if (transaction.tenant, transaction.revision) != (tenant, revision):
        raise CorruptionError(f"what stands as revision {revision} is another transaction")
    return transaction
