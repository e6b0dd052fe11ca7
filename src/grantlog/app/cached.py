"""Questions answered through the caches: what a node knows already, then the store.

A cached value answers at a revision only if the tenant's clock says that it is the one there; what
is read is kept with the exact revision that it was read at. So nothing here has to know what passed
meanwhile, and an answer is the same with caches and without.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from grantlog.app.under_way import UnderWay
from grantlog.cache.clock import Clock
from grantlog.cache.clocks import Clocks
from grantlog.cache.relations import RelationCache
from grantlog.cache.results import ResultCache
from grantlog.model.ids import Revision, TenantId
from grantlog.ports.facts import FactAnswer, FactKey, FactReader
from grantlog.ports.heads import Head
from grantlog.ports.ring import SharedReads
from grantlog.ports.standing import Source


class CatchesUp(Protocol):
    """Brings clocks forward; see `ClockFollower`."""

    async def reach(self, tenant: TenantId, clock: Clock, at: Revision) -> None:
        """Have a clock see the log up to a revision, if that is soon done."""
        ...


@dataclass(frozen=True, slots=True)
class Caches:
    """What a node keeps of answers and facts.

    Attributes:
        clocks: say what may be used.
        follower: moves them on when a question is ahead of them; None leaves them where they are.
        results: None is no result cache.
        relations: None is no relation cache.
        under_way: the checks that are being decided, where there is a result cache.
        shared: reads what is not kept, with other nodes' help; None reads this node's store alone.
    """

    clocks: Clocks
    follower: CatchesUp | None
    results: ResultCache | None
    relations: RelationCache | None
    under_way: UnderWay = field(default_factory=UnderWay)
    shared: SharedReads | None = None


NO_CACHES: Final = Caches(Clocks(), None, None, None)


class CachedFacts:
    """The facts of one tenant at one revision, from memory where they are known to hold.

    Attributes:
        clock: of the life that the question stands in, where anything is kept for it.
        reads: how often a store was asked.
    """

    def __init__(self, facts: FactReader, caches: Caches, tenant: TenantId, head: Head) -> None:
        self._facts = facts
        self._shared = caches.shared
        self._relations = caches.relations
        self._follower = caches.follower
        self._tenant = tenant
        self._head = head
        self._at = head.revision
        self._epoch = head.epoch
        is_on = caches.relations is not None or caches.results is not None
        self.clock = caches.clocks.at(tenant, head) if is_on else None
        self.reads = 0

    async def fetch(self, keys: Sequence[FactKey]) -> Sequence[FactAnswer]:
        """The answer to every key, in order; errors as FactReader."""
        relations, clock, at = self._relations, self.clock, self._at
        if relations is None or clock is None or not keys:
            return await self._read(keys)
        found = relations.find(clock, at, keys)
        if found.is_ahead and self._follower is not None:
            await self._follower.reach(self._tenant, clock, at)
            found = relations.find(clock, at, keys)
        relations.count(found)
        if not found.missing:
            return found.answers
        asked = [keys[place] for place in found.missing]
        asked += relations.worth_reading(clock, asked)
        read = await self._read(asked)
        relations.keep(clock, at, asked, read)
        for place, answer in zip(found.missing, read, strict=False):
            found.answers[place] = answer
        return found.answers

    async def _read(self, keys: Sequence[FactKey]) -> Sequence[FactAnswer]:
        if self._shared is not None and keys:
            reply = await self._shared.read(self._tenant, self._head, keys)
            self.reads += reply.source is not Source.CACHE
            return reply.answers
        self.reads += 1
        return await self._facts.read(self._tenant, self._at, keys, epoch=self._epoch)
