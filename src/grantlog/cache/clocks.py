"""The validity clocks of all tenants that are asked about, each of one life of its tenant."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import count
from typing import Final

from grantlog.cache.clock import KIND_SLOTS, SLOT_BYTES, SLOTS_MIN, Clock
from grantlog.model.change import TenantDeleted, Transaction
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.ports.heads import Head

SLOTS_MAX: Final = 65_536
"""Of one clock."""

SLOT_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of all clocks together; with more, they do not grow."""

TENANTS_MAX: Final = 10_000
"""Clocks that are kept; the one that nobody asked for longest goes."""


class Clocks:
    """The clocks of the tenants that are asked about; for the event loop's thread alone.

    Args:
        slots_min, slots_max: of a clock, powers of two.
        slot_bytes_max: of all clocks together.
        tenants_max: clocks that are kept.
    """

    def __init__(
        self,
        *,
        slots_min: int = SLOTS_MIN,
        slots_max: int = SLOTS_MAX,
        slot_bytes_max: int = SLOT_BYTES_MAX,
        tenants_max: int = TENANTS_MAX,
    ) -> None:
        self._slots_min = slots_min
        self._slots_max = slots_max
        self._slot_bytes_max = slot_bytes_max
        self._tenants_max = tenants_max
        self._clocks: OrderedDict[TenantId, Clock] = OrderedDict()
        self._asked: dict[TenantId, Clock] = {}
        self._numbers = count(1)
        self._slot_bytes = 0

    def __len__(self) -> int:
        return len(self._clocks)

    @property
    def slot_bytes(self) -> int:
        """Of all clocks' slots."""
        return self._slot_bytes

    def find(self, tenant: TenantId) -> Clock | None:
        """The tenant's clock, None if there is none."""
        return self._clocks.get(tenant)

    def at(self, tenant: TenantId, head: Head) -> Clock | None:
        """The clock of the life that a question stands in.

        None if the tenant is known to have begun another life since: nothing is cached for such a
        question. A clock that begins here begins at the question's own head, whatever that is: of
        an empty interval everything is known.
        """
        clock = self._clocks.get(tenant)
        if clock is None or clock.epoch != head.epoch or clock.begins != head.begins:
            if clock is not None and (clock.epoch, clock.begins) > (head.epoch, head.begins):
                return None
            clock = self._begin(tenant, head)
        else:
            self._clocks.move_to_end(tenant)
        self._asked[tenant] = clock
        return clock

    def _begin(self, tenant: TenantId, head: Head) -> Clock:
        self.forget(tenant)
        if len(self._clocks) >= self._tenants_max:
            self.forget(next(iter(self._clocks)))
        clock = Clock(next(self._numbers), head, slots=self._slots_min)
        self._clocks[tenant] = clock
        self._slot_bytes += SLOT_BYTES * (clock.slots + KIND_SLOTS)
        return clock

    def forget(self, tenant: TenantId) -> None:
        """Drop a tenant's clock; what was cached under it is never found again."""
        clock = self._clocks.pop(tenant, None)
        self._asked.pop(tenant, None)
        if clock is not None:
            self._slot_bytes -= SLOT_BYTES * (clock.slots + KIND_SLOTS)

    def forget_all(self) -> None:
        """Drop all clocks: what they saw may not be the log's."""
        for tenant in list(self._clocks):
            self.forget(tenant)

    def places(self) -> dict[TenantId, tuple[Epoch, Revision, bytes | None]]:
        """Up to where each tenant's log was seen; see `Clock.place`."""
        return {tenant: clock.place for tenant, clock in self._clocks.items()}

    def forget_before(self, epoch: Epoch) -> None:
        """Drop the clocks of earlier epochs: what they saw may have been lost."""
        for tenant in [t for t, clock in self._clocks.items() if clock.epoch < epoch]:
            self.forget(tenant)

    def take_asked(self) -> dict[TenantId, Clock]:
        """The clocks that questions were put to since the last time."""
        asked, self._asked = self._asked, {}
        return asked

    def follow(self, transactions: Sequence[Transaction]) -> bool:
        """Take transactions of one tenant in, in order; False if they do not continue its clock.

        The end of a life, or a new epoch, ends its clock. A clock that does not fit stays as it
        is, unless its history turns out to be another one than the log's.
        """
        for transaction in transactions:
            clock = self._clocks.get(transaction.tenant)
            if clock is None:
                return True
            if transaction.epoch < clock.epoch:
                continue  # a late message about a history that is over
            if transaction.epoch > clock.epoch or (
                isinstance(transaction.body, TenantDeleted) and transaction.revision > clock.begins
            ):
                self.forget(transaction.tenant)
                return True
            if not clock.follow(transaction):
                if transaction.revision == clock.seen + 1:
                    self.forget(transaction.tenant)
                return False
            if clock.wants_slots:
                self._grow(clock)
        return True

    def _grow(self, clock: Clock) -> None:
        more = SLOT_BYTES * clock.slots
        if clock.slots < self._slots_max and self._slot_bytes + more <= self._slot_bytes_max:
            clock.grow()
            self._slot_bytes += more
