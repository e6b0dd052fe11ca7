"""What this process acknowledged: a head that stands behind it is another history."""

from __future__ import annotations

from typing import Final

from cachetools import LRUCache

from grantlog.model.change import Transaction
from grantlog.model.ids import Epoch, TenantId
from grantlog.ports.log import Position
from grantlog.store.postgres.epoch import Seen
from grantlog.store.postgres.writer.tail import LockedHead

TENANTS_MAX: Final = 10_000
"""Tenants remembered, with the digests of what was acknowledged."""


class Acknowledged:
    """The last position acknowledged of each of the tenants written most recently."""

    def __init__(self) -> None:
        self._positions: LRUCache[TenantId, Position] = LRUCache(TENANTS_MAX)

    def note(self, last: Transaction) -> None:
        """Remember a committed transaction."""
        self._positions[last.tenant] = Position(last.epoch, last.revision, last.digest)

    def seen(self) -> dict[TenantId, Seen]:
        """What was acknowledged, for a `Proof`."""
        return {
            tenant: Seen(at.epoch, at.revision, at.digest) for tenant, at in self._positions.items()
        }

    def epoch_if_behind(self, head: LockedHead) -> Epoch | None:
        """The epoch acknowledged, if the head is not at or behind it in the same history.

        A head of a later epoch is fine: whoever opened that recorded what survived.
        """
        known = self._positions.get(head.tenant)
        if known is None or head.epoch > known.epoch:
            return None
        behind = (head.epoch, head.revision) < (known.epoch, known.revision)
        other = head.revision == known.revision and head.digest != known.digest
        return known.epoch if behind or other else None
