"""The change log in memory: ChangeLog over what a writer in the same process recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from grantlog.errors import CorruptionError
from grantlog.model.change import TenantDeleted, Transaction
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.ports.log import HeadsMoved, LogHead, Position
from grantlog.waiting import set_within


class MemoryChangeLog:
    """Keeps every transaction; used from one event loop."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._tenants: dict[TenantId, list[Transaction]] = {}
        self._order: list[TenantId] = []
        self._recorded = asyncio.Event()
        self._epoch = Epoch(0)

    def record(self, transactions: Sequence[Transaction]) -> None:
        """Append transactions as they commit; the writer calls it."""
        for transaction in transactions:
            held = self._tenants.setdefault(transaction.tenant, [])
            if transaction.revision != len(held) + 1:
                raise CorruptionError(f"revision {transaction.revision} is out of its order")
            held.append(transaction)
            self._order.append(transaction.tenant)
        self._recorded.set()

    def heads_changed(self, epoch: Epoch) -> None:
        """A new epoch opened: every head moved to it, without a transaction."""
        self._epoch = epoch
        self._order.extend(self._tenants)
        self._recorded.set()

    async def heads_moved(self, mark: str | None) -> HeadsMoved:
        """Heads that moved since `mark`; the mark is a count of transactions."""
        self._recorded.clear()
        moved = set(self._order[int(mark or 0) :])
        heads = {tenant: self._end(tenant) for tenant in moved}
        return HeadsMoved(heads, str(len(self._order)), self._clock())

    async def heads_of(
        self, tenants: Collection[TenantId], *, now: bool = False
    ) -> dict[TenantId, LogHead]:
        """Where these tenants' logs end."""
        del now  # always
        self._recorded.clear()
        return {
            tenant: LogHead(self._end(tenant), self._begins(tenant))
            for tenant in tenants
            if tenant in self._tenants
        }

    def _end(self, tenant: TenantId) -> Position:
        last = self._tenants[tenant][-1]
        return Position(Epoch(max(last.epoch, self._epoch)), last.revision, last.digest)

    def _begins(self, tenant: TenantId) -> Revision:
        ends = (t.revision for t in self._tenants[tenant] if isinstance(t.body, TenantDeleted))
        return max(ends, default=Revision(0))

    def digest_at(self, tenant: TenantId, revision: Revision) -> bytes | None:
        """The digest of a transaction, None if it is not in the log."""
        held = self._tenants.get(tenant, [])
        return held[revision - 1].digest if 0 < revision <= len(held) else None

    async def read(
        self, tenant: TenantId, *, after: Revision, changes_max: int
    ) -> Sequence[Transaction]:
        """Whole transactions behind `after`, in order; at least one if there is any."""
        page: list[Transaction] = []
        changes = 0
        held = self._tenants.get(tenant, [])
        begins = self._begins(tenant) if held else 0
        for transaction in held[max(after, begins - 1) :]:
            changes += transaction.size
            if page and changes > changes_max:
                break
            page.append(transaction)
        return page

    async def read_several(
        self, places: Mapping[TenantId, Revision], *, changes_max: int
    ) -> Sequence[Transaction]:
        """As `read`, of several tenants in one go."""
        found: list[Transaction] = []
        for tenant, after in places.items():
            if changes_max <= 0:
                break
            page = await self.read(tenant, after=after, changes_max=changes_max)
            changes_max -= sum(transaction.size for transaction in page)
            found += page
        return found

    def ever(self, tenant: TenantId) -> Sequence[Transaction]:
        """All that was ever recorded of a tenant, ended lives included."""
        return tuple(self._tenants.get(tenant, ()))

    async def wait(self, timeout_s: float) -> None:
        """Return when something was recorded since heads were last looked at."""
        await set_within(self._recorded, timeout_s)
