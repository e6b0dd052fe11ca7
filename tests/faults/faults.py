"""Faults: which there are, and how one follows another."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle, islice
from random import Random
from typing import Final

from grantlog.testing.chaos_proxy import Trap
from tests.faults.deployment import NODES, Deployment
from tests.faults.machines import Database, Service
from tests.kafka import Broker
from tests.waiting import until

GAP_S: Final = (0.3, 2.0)
"""Between the beginnings of two faults; many begin while others last."""
LASTS_S: Final = (0.5, 3.0)
"""A pause, a stall, a slow or refusing link."""
LEASE_LOST_S: Final = (6.0, 8.0)
"""Longer than a publisher's lease."""
SLOW_S: Final = (0.01, 0.15)
"""What a slow link adds to each piece."""
DATABASE_GONE_S: Final = (0.1, 1.5)
BACK_S_MAX: Final = 90.0

FAULTS_PER_ROUND: Final = 40
_TO_LINKS: Final = ("lose", "cut", "lose", "slow", "stall", "refuse")
_OTHERS: Final = ("primary", "replica", "kafka")
_COMMIT: Final = b"Q\x00\x00\x00\x0bCOMMIT\x00"
"""As the writer sends it; nobody else's transactions end by these bytes."""
_PUBLISHER: Final = "publisher"
"""Whichever node publishes at that moment."""


@dataclass
class Faults:
    """Does things to a deployment.

    Args:
        deployment: to which.
        rng: makes all choices.
    """

    deployment: Deployment
    rng: Random
    done: Counter[str] = field(default_factory=Counter)
    _busy: set[str] = field(default_factory=set)

    async def inject(self) -> None:
        """A round of faults, one after another, at random times; returns when all are over."""
        waiting = self._deck()
        self.rng.shuffle(waiting)
        async with asyncio.TaskGroup() as group:
            while waiting:
                await asyncio.sleep(self.rng.uniform(*GAP_S))
                free = [card for card in waiting if card[1] not in self._busy]
                if free:
                    waiting.remove(free[0])
                    group.create_task(self._one(*free[0]), name=" ".join(free[0]))

    async def _one(self, what: str, whom: str) -> None:
        self._busy.add(whom)
        try:
            await getattr(self, what)(whom)
            self.done[f"{what} {whom}"] += 1
        finally:
            self._busy.discard(whom)

    def _deck(self) -> list[tuple[str, str]]:
        """The faults of a round: what is done to whom.

        Everyone is killed twice and stopped once; each node loses a COMMIT, and an answer to one.
        """
        everyone = [*self.deployment.services, *_OTHERS]
        links = list(self.deployment.links)
        commits = [
            (what, f"api-{node}>primary") for what in ("unsent", "unheard") for node in NODES
        ]
        kills = [("kill", whom) for whom in (*everyone, _PUBLISHER)]
        pauses = [*(("pause", whom) for whom in everyone), ("freeze", _PUBLISHER)]
        rest = FAULTS_PER_ROUND - 2 * len(kills) - len(pauses) - len(commits)
        hurts = [(what, self.rng.choice(links)) for what in islice(cycle(_TO_LINKS), rest)]
        return [*kills, *kills, *pauses, *commits, *hurts]

    async def kill(self, whom: str) -> None:
        """kill -9, and wait until it runs again."""
        match whom:
            case "primary" | "replica":
                await self._kill_database(self._database(whom))
            case "kafka":
                await self.kill_kafka()
            case _:
                name = whom if whom != _PUBLISHER else await self.deployment.publisher()
                await self._kill_service(name or f"api-{NODES[0]}")

    async def _kill_service(self, name: str) -> None:
        service = self.deployment.services[name]
        await until(lambda: service.pid > 0, within_s=BACK_S_MAX)
        before = service.starts
        service.kill()
        await until(lambda: service.starts > before, within_s=BACK_S_MAX)

    async def _kill_database(self, database: Database) -> None:
        await database.crash()
        await self._last(DATABASE_GONE_S)
        await database.start()

    async def kill_kafka(self, gone_s: float = 0.0) -> None:
        """kill -9 of the broker, away for so long and for its start."""
        broker = self.deployment.broker
        broker.stop(signal.SIGKILL)
        await asyncio.sleep(gone_s)
        broker.launch()
        await until(broker.answers, within_s=BACK_S_MAX)

    async def pause(self, whom: str) -> None:
        """SIGSTOP, and SIGCONT after a while."""
        target: Database | Service | Broker
        match whom:
            case "primary" | "replica":
                target = self._database(whom)
            case "kafka":
                target = self.deployment.broker
            case _:
                target = self.deployment.services[whom]
        target.pause()
        await self._last()
        target.resume()

    async def freeze(self, whom: str) -> None:
        """SIGSTOP of the publisher until another one has its lease, and SIGCONT."""
        del whom
        name = await self.deployment.publisher() or f"api-{NODES[0]}"
        service = self.deployment.services[name]
        service.pause()
        await self._last(LEASE_LOST_S)
        service.resume()

    async def cut(self, link: str) -> None:
        self.deployment.links[link].cut()

    async def slow(self, link: str) -> None:
        proxy = self.deployment.links[link]
        proxy.delay_s = self.rng.uniform(*SLOW_S)
        await self._last()
        proxy.delay_s = 0.0

    async def stall(self, link: str) -> None:
        proxy = self.deployment.links[link]
        proxy.stand_still()
        await self._last()
        proxy.flow()

    async def lose(self, link: str) -> None:
        """What is sent for a while never arrives, and then the connections are cut."""
        proxy = self.deployment.links[link]
        proxy.stand_still()
        await self._last()
        proxy.cut()
        proxy.flow()

    async def unsent(self, link: str) -> None:
        """The next COMMIT of a write does not reach the primary."""
        await self._trap(link, arrives=False)

    async def unheard(self, link: str) -> None:
        """The next COMMIT of a write is done, and nobody hears of it."""
        await self._trap(link, arrives=True)

    async def _trap(self, link: str, *, arrives: bool) -> None:
        self.deployment.links[link].trap = trap = Trap(_COMMIT, arrives=arrives)
        async with asyncio.timeout(BACK_S_MAX):
            await trap.sprung.wait()

    async def refuse(self, link: str) -> None:
        """What is open is cut, and nothing new comes through."""
        proxy = self.deployment.links[link]
        proxy.refusing = True
        proxy.cut()
        await self._last()
        proxy.refusing = False

    def _database(self, name: str) -> Database:
        return self.deployment.primary if name == "primary" else self.deployment.replica

    async def _last(self, between: tuple[float, float] = LASTS_S) -> None:
        await asyncio.sleep(self.rng.uniform(*between))
