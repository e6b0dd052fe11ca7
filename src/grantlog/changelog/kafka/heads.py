"""Where tenants' logs end: told by the topic, which is quick, and the primary, which is right.

Pure. What comes from the topic only moves a head forward, and only where it continues what is
known; everything else is a doubt, and doubts are settled by the primary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from grantlog.model.change import TenantDeleted, Transaction
from grantlog.model.ids import NOTHING, Revision, TenantId
from grantlog.ports.log import LogHead, Position

_NEVER: Final = 0


@dataclass(frozen=True, slots=True)
class _Known:
    head: LogHead
    moved_at: int


class FeedHeads:
    """The heads that one follower knows, in the order in which they moved last."""

    def __init__(self) -> None:
        self._known: dict[TenantId, _Known] = {}
        self._moves = _NEVER
        self.doubts: set[TenantId] = set()
        """Tenants of which the topic said something that does not fit."""

    @property
    def moves(self) -> int:
        """How many moves there were; a mark for `moved_since`."""
        return self._moves

    def get(self, tenant: TenantId) -> LogHead | None:
        """Where a tenant's log ends, None if that is not known."""
        known = self._known.get(tenant)
        return known.head if known is not None else None

    def moved_since(self, moves: int) -> dict[TenantId, Position]:
        """The heads that moved since `moves` was read."""
        moved: dict[TenantId, Position] = {}
        for tenant in reversed(self._known):
            known = self._known[tenant]
            if known.moved_at <= moves:
                break
            moved[tenant] = known.head.position
        return moved

    def clear(self) -> None:
        """Forget all heads: the primary is going to be asked for every one."""
        self._known.clear()
        self.doubts.clear()

    def keep_only(self, tenants: frozenset[TenantId]) -> list[TenantId]:
        """Forget the others; returns them."""
        gone = [tenant for tenant in self._known if tenant not in tenants]
        for tenant in gone:
            del self._known[tenant]
            self.doubts.discard(tenant)
        return gone

    def follow(self, transaction: Transaction) -> bool:
        """Take a transaction of the topic; False if it must not be used."""
        tenant = transaction.tenant
        known = self.get(tenant)
        at = known.position if known is not None else None
        if at is not None and transaction.epoch < at.epoch:
            return False  # of an earlier life of the log: only the primary knows what survived
        if at is not None and not _fits(at, transaction):
            self.doubts.add(tenant)
            return False
        if at is None or transaction.revision > at.revision:
            begins = begins_of(known)
            if isinstance(transaction.body, TenantDeleted):
                begins = transaction.revision
            position = Position(transaction.epoch, transaction.revision, transaction.digest)
            self._set(tenant, LogHead(position, begins))
        return True

    def lacking(self, heads: Mapping[TenantId, Position]) -> dict[TenantId, Position]:
        """Those of the primary's heads that are beyond what is known here."""
        return {
            tenant: head
            for tenant, head in heads.items()
            if (known := self.get(tenant)) is None or _beyond(head, known.position)
        }

    def settle(self, heads: Mapping[TenantId, Position]) -> None:
        """Take heads of the primary. One that is behind what is known was read earlier."""
        for tenant, head in self.lacking(heads).items():
            self._set(tenant, LogHead(head, begins_of(self.get(tenant))))

    def settle_one(self, tenant: TenantId, head: LogHead) -> None:
        """As `settle`, of one tenant, with the beginning of its life."""
        known = self.get(tenant)
        if known is None or _beyond(head.position, known.position):
            self._set(tenant, head)
        elif known.begins < head.begins:
            self._set(tenant, LogHead(known.position, head.begins))

    def decide(self, tenant: TenantId, head: LogHead | None) -> None:
        """Take a head that was read from the primary after the doubt arose, whatever it says."""
        self.doubts.discard(tenant)
        if head is None:
            self._known.pop(tenant, None)
        else:
            self._set(tenant, head)

    def _set(self, tenant: TenantId, head: LogHead) -> None:
        self._moves += 1
        self._known.pop(tenant, None)
        self._known[tenant] = _Known(head, self._moves)


def _beyond(head: Position, known: Position) -> bool:
    return head.epoch > known.epoch or (
        head.epoch == known.epoch and head.revision > known.revision
    )


def _fits(at: Position, transaction: Transaction) -> bool:
    """Whether a transaction of the topic and a head can be of one history."""
    if transaction.revision == at.revision:
        return transaction.digest == at.digest
    if transaction.revision == at.revision + 1:
        return transaction.previous_digest == at.digest
    return transaction.epoch <= at.epoch or transaction.revision > at.revision


def begins_of(known: LogHead | None) -> Revision:
    """Where the present life of a tenant began, as far as is known."""
    return known.begins if known is not None else NOTHING
