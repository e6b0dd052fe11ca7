"""Reading what a node does not know: from the nodes that own it, and else from its own store.

The owner of an entity is asked because it holds what others asked, or because several who ask it
share one read. It answers for exactly the place asked, or not at all; whoever is asked decides
that for itself, so nothing here depends on nodes seeing the same ring. What an owner does not
answer soon is read here: no failure of another node is ever a failed answer.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from grantlog.cluster.counts import RingCounts
from grantlog.cluster.points import HashRing, place_of
from grantlog.model.ids import TenantId
from grantlog.ports.facts import FactAnswer, FactKey, FactReader
from grantlog.ports.heads import Head
from grantlog.ports.ring import FactQuestion, FactReply, Refusal
from grantlog.ports.standing import Source, note_source, source_noted

HEDGE_S: Final = 0.02
"""So long an owner is waited for: about ten times what a hop and a read take. ADR 0030."""

KEYS_SHARED_MAX: Final = 256
"""A read of more keys fills statements by itself: it is not divided among owners."""


class Owner(Protocol):
    """Another node, as far as it can be asked now."""

    @property
    def may_be_asked(self) -> bool:
        """Whether a stream to it stands on which answers come."""
        ...

    def ask(self, question: FactQuestion) -> asyncio.Future[FactReply | Refusal]:
        """Ask; the future is done when the node has answered or cannot any more."""
        ...


@dataclass(frozen=True, slots=True)
class View:
    """The nodes as this one sees them now.

    Attributes:
        ring: all of them.
        own: this node's name among them.
        owner: finds another one; None where it is not connected.
    """

    ring: HashRing
    own: str
    owner: Callable[[str], Owner | None]


class RingReads:
    """The port `SharedReads` over other nodes and this node's own store.

    Args:
        facts: this node's own store.
        view: the nodes as they are now.
        counts: what is counted.
        hedge_s: so long owners are waited for.
    """

    def __init__(
        self,
        facts: FactReader,
        view: Callable[[], View],
        counts: RingCounts,
        *,
        hedge_s: float = HEDGE_S,
    ) -> None:
        self._facts = facts
        self._view = view
        self._counts = counts
        self._hedge_s = hedge_s
        self._loads: Counter[str] = Counter()

    async def read(self, tenant: TenantId, head: Head, keys: Sequence[FactKey]) -> FactReply:
        """As `SharedReads.read`."""
        view = self._view()
        if len(view.ring.nodes) == 1 or len(keys) > KEYS_SHARED_MAX:
            self._counts.keys_own += len(keys)
            read = await self._facts.read(tenant, head.revision, keys, epoch=head.epoch)
            return FactReply(read, _store_read())
        answers: list[FactAnswer] = [None] * len(keys)
        own, divided = self._divided(view, tenant, keys)
        patience = asyncio.get_running_loop().time() + self._hedge_s
        asked = [
            (self._ask(owner, name, FactQuestion(tenant, head, [keys[n] for n in places])), places)
            for name, (owner, places) in divided.items()
        ]
        self._counts.keys_own += len(own)
        try:
            sources = await self._fill(tenant, head, keys, own, answers)
        finally:
            self._unload(view.own, len(own))
        unanswered: list[int] = []
        for reply, places in asked:
            told = await _within(reply, patience)
            if isinstance(told, Refusal):
                self._counts.fallbacks[told.value] += 1
                unanswered += places
                continue
            self._counts.keys_told += len(places)
            sources.add(told.source)
            for place, answer in zip(places, told.answers, strict=True):
                answers[place] = answer
        sources |= await self._fill(tenant, head, keys, unanswered, answers)
        if Source.REPLICA in sources:
            note_source(Source.REPLICA)
        return FactReply(answers, _furthest(sources))

    def _divided(
        self, view: View, tenant: TenantId, keys: Sequence[FactKey]
    ) -> tuple[list[int], dict[str, tuple[Owner, list[int]]]]:
        """The places of keys that this node reads itself, and of those that others are to read.

        Each key counts as its reader's load from now.
        """
        own: list[int] = []
        divided: dict[str, tuple[Owner, list[int]]] = {}
        for number, key in enumerate(keys):
            name = view.ring.owner_with_room(place_of(tenant, key[0], key[1]), self._loads)
            owner = view.owner(name) if name != view.own else None
            if owner is not None and owner.may_be_asked:
                divided.setdefault(name, (owner, []))[1].append(number)
            else:
                name = view.own
                own.append(number)
            self._loads[name] += 1
        return own, divided

    def _ask(
        self, owner: Owner, name: str, question: FactQuestion
    ) -> asyncio.Future[FactReply | Refusal]:
        """Ask another node; what it has under way counts until it answers."""
        load = len(question.keys)
        self._counts.keys_asked += load
        reply = owner.ask(question)
        reply.add_done_callback(lambda _: self._unload(name, load))
        return reply

    def _unload(self, name: str, load: int) -> None:
        self._loads[name] -= load
        if self._loads[name] <= 0:
            del self._loads[name]

    async def _fill(
        self,
        tenant: TenantId,
        head: Head,
        keys: Sequence[FactKey],
        places: Sequence[int],
        answers: list[FactAnswer],
    ) -> set[Source]:
        """Read some of the keys, if any, from this node's own store; where from."""
        if not places:
            return set()
        wanted = [keys[place] for place in places]
        read = await self._facts.read(tenant, head.revision, wanted, epoch=head.epoch)
        for place, answer in zip(places, read, strict=True):
            answers[place] = answer
        return {_store_read()}


def _store_read() -> Source:
    """Which copy this node's own store has just read for the request."""
    noted = source_noted()
    return Source.PRIMARY if noted is Source.CACHE else noted


async def _within(reply: asyncio.Future[FactReply | Refusal], until: float) -> FactReply | Refusal:
    """What an owner says by a time of the loop; who says nothing is late, and goes on."""
    if not reply.done():
        await asyncio.wait({reply}, timeout=max(0.0, until - asyncio.get_running_loop().time()))
    return reply.result() if reply.done() else Refusal.LATE


def _furthest(sources: Collection[Source]) -> Source:
    """Of several copies, the one furthest from the writes; memory only where there is no other."""
    for source in (Source.REPLICA, Source.PRIMARY):
        if source in sources:
            return source
    return Source.CACHE
