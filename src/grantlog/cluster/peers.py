"""Keeps a stream to each other node that is there, and the ring that they form."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Final

import structlog

from grantlog.background import background_tasks
from grantlog.cluster.counts import RingCounts
from grantlog.cluster.opening import Credentials
from grantlog.cluster.points import HashRing
from grantlog.cluster.sharing import Owner, View
from grantlog.cluster.stream import OwnerStream, StreamLimits
from grantlog.errors import GrantlogError
from grantlog.ports.ring import Nodes
from grantlog.waiting import Reminders

_LOG: Final = structlog.get_logger("grantlog.ring")

BEAT_S: Final = 1.0
"""Between beats: so late a node is seen by others. Those that keep a list expire it after more."""

LEAVE_S_MAX: Final = 1.0
"""Who cannot say for so long that it leaves is missed when its lease ends."""

NODES_MAX: Final = 256
"""Of more, those with the first addresses are taken: every node keeps a stream to every other."""


@dataclass(frozen=True, slots=True)
class Joining:
    """What a node joins with.

    Attributes:
        own: its address.
        credentials: what it proves itself by.
        rng: spreads attempts to connect.
        limits: of each stream.
        beat_s: between beats.
    """

    own: str
    credentials: Credentials
    rng: Random
    limits: StreamLimits = field(default_factory=StreamLimits)
    beat_s: float = BEAT_S


class Peers:
    """The other nodes; follows who is there while `run` runs."""

    def __init__(
        self, nodes: Nodes, joining: Joining, counts: RingCounts, group: asyncio.TaskGroup
    ) -> None:
        self._nodes = nodes
        self._joining = joining
        self._counts = counts
        self._group = group
        self._streams: dict[str, tuple[OwnerStream, asyncio.Task[None]]] = {}
        self._view = View(HashRing([joining.own]), joining.own, self._find)

    def view(self) -> View:
        """The nodes as they are known now."""
        return self._view

    def _find(self, name: str) -> Owner | None:
        found = self._streams.get(name)
        return found[0] if found else None

    async def run(self) -> None:
        """Beat, and follow who is there, until cancelled."""
        told = Reminders()
        while True:
            try:
                await self.meet(await self._nodes.beat())
                told.end()
            except GrantlogError as error:  # the last list still serves
                if told.due(error.reason, asyncio.get_running_loop().time()):
                    _LOG.warning("who is in the ring is not known", because=error.explanation)
            await asyncio.sleep(self._joining.beat_s)

    async def meet(self, addresses: Sequence[str]) -> None:
        """From now on these are there, and this node with them."""
        own = self._joining.own
        nodes = frozenset([own, *sorted(set(addresses) - {own})[: NODES_MAX - 1]])
        if nodes == self._view.ring.nodes:
            return
        ring = await asyncio.to_thread(HashRing, nodes)  # of 100 nodes: 0.1 s
        _LOG.info("the ring has changed", nodes=len(nodes))
        for gone in self._streams.keys() - nodes:
            self._drop(gone)
        for new in nodes - self._streams.keys() - {own}:
            self._connect(new)
        self._view = View(ring, own, self._find)
        self._counts.nodes = len(nodes)

    def _connect(self, address: str) -> None:
        joining = self._joining
        clock = asyncio.get_running_loop().time
        stream = OwnerStream(address, joining.credentials, joining.rng, joining.limits, clock)
        task = self._group.create_task(stream.run(), name=f"stream to {address}")
        self._streams[address] = (stream, task)

    def _drop(self, address: str) -> None:
        stream, task = self._streams.pop(address)
        task.cancel()
        stream.close()

    def close(self) -> None:
        """End all streams; what they were asked is read by whoever asked."""
        for address in list(self._streams):
            self._drop(address)


@asynccontextmanager
async def following(nodes: Nodes, joining: Joining, counts: RingCounts) -> AsyncGenerator[Peers]:
    """The other nodes for the block, at the end of which this one leaves."""
    async with background_tasks() as group:
        peers = Peers(nodes, joining, counts, group)
        running = group.create_task(peers.run(), name="the ring")
        try:
            yield peers
        finally:
            running.cancel()
            peers.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_S_MAX):
                    await nodes.leave()
