"""What this process knows of each tenant's head: the floor below which it never answers again."""

from __future__ import annotations

from typing import Final

from cachetools import LRUCache

from grantlog.model.ids import TenantId
from grantlog.ports.heads import Head
from grantlog.ports.writer import Committed

TENANTS_MAX: Final = 100_000


def head_of(committed: Committed) -> Head:
    """The head that a write made, or met."""
    return Head(committed.epoch, committed.revision, committed.schema_version, committed.begins)


class KnownHeads:
    """The newest head of each tenant that this process read, acknowledged or answered at.

    Used from the event loop's thread alone. A tenant that is evicted is asked for again, from the
    primary, so eviction never makes an answer older.
    """

    def __init__(self, tenants_max: int = TENANTS_MAX) -> None:
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
        return head

    def forget(self, tenant: TenantId) -> None:
        """Ask the primary the next time."""
        self._heads.pop(tenant, None)
