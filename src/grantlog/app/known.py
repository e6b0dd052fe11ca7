"""What this process knows of each tenant's head: the floor below which it never answers again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from cachetools import LRUCache

from grantlog.model.ids import NOTHING, Revision, TenantId
from grantlog.ports.heads import Head
from grantlog.ports.writer import Committed

TENANTS_MAX: Final = 100_000

LifeBegan: TypeAlias = "Callable[[TenantId, Revision], None]"
"""Told a tenant and the deletion that began its present life."""


def _nobody(tenant: TenantId, begins: Revision) -> None:
    """Nothing is kept of tenants' lives."""
    del tenant, begins


def head_of(committed: Committed) -> Head:
    """The head that a write made, or met."""
    return Head(committed.epoch, committed.revision, committed.schema_version, committed.begins)


class KnownHeads:
    """The newest head of each tenant that this process read, acknowledged or answered at.

    Used from the event loop's thread alone. A tenant that is evicted is asked for again, from the
    primary, so eviction never makes an answer older.
    """

    def __init__(self, life_began: LifeBegan = _nobody, tenants_max: int = TENANTS_MAX) -> None:
        """`life_began` is told when a head shows that a tenant was deleted since it was known."""
        self._life_began = life_began
        self._heads: LRUCache[TenantId, Head] = LRUCache(tenants_max)

    def get(self, tenant: TenantId) -> Head | None:
        """The newest head known, None if there is none."""
        return self._heads.get(tenant)

    def learn(self, tenant: TenantId, head: Head) -> Head:
        """Keep the newer of `head` and what is known, and return it."""
        known = self._heads.get(tenant)
        if known is not None and (known.epoch, known.revision) >= (head.epoch, head.revision):
            return known
        self._heads[tenant] = head
        if head.begins > (known.begins if known is not None else NOTHING):
            self._life_began(tenant, head.begins)
        return head

    def forget(self, tenant: TenantId) -> None:
        """Ask the primary the next time."""
        self._heads.pop(tenant, None)
