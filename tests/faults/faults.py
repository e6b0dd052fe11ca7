"""Faults: which there are, and how one follows another."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from tests.faults.deployment import NODES, Deployment
from tests.faults.machines import Database
from tests.waiting import until

GAP_S: Final = (0.3, 2.0)
"""Between the beginnings of two faults; many begin while others last."""
LASTS_S: Final = (0.5, 3.0)
"""A pause, a stall, a slow or refusing link."""
SLOW_S: Final = (0.01, 0.15)
"""What a slow link adds to each piece."""
DATABASE_GONE_S: Final = (0.1, 1.5)
BACK_S_MAX: Final = 90.0

Fault = Callable[[], Awaitable[None]]


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

    async def inject(self, count: int) -> None:
        """So many faults, one after another, each at its time; returns when all are over."""
        kinds = self._kinds()
        names, weights = list(kinds), [weight for weight, _ in kinds.values()]
        async with asyncio.TaskGroup() as group:
            begun = 0
            while begun < count:
                await asyncio.sleep(self.rng.uniform(*GAP_S))
                name = self.rng.choices(names, weights)[0]
                target = name.rpartition(" ")[2]
                if target in self._busy:
                    continue
                self._busy.add(target)
                begun += 1
                group.create_task(self._one(name, target, kinds[name][1]), name=name)

    async def _one(self, name: str, target: str, fault: Fault) -> None:
        try:
            await fault()
            self.done[name] += 1
        finally:
            self._busy.discard(target)

    def _kinds(self) -> dict[str, tuple[float, Fault]]:
        """Every fault by its name, `what whom`, with its weight."""
        made: dict[str, tuple[float, Fault]] = {}
        for name in self.deployment.services:
            weight = 6 / len(NODES) if name.startswith("api") else 4
            made[f"kill {name}"] = (weight, lambda name=name: self.kill(name))
            made[f"pause {name}"] = (1, lambda name=name: self.pause(name))
        made["kill publisher"] = (4, self.kill_publisher)
        for name in ("primary", "replica"):
            made[f"kill {name}"] = (2, lambda name=name: self.kill_database(name))
            made[f"pause {name}"] = (1, lambda name=name: self.pause_database(name))
        made["kill kafka"] = (1.5, self.kill_kafka)
        made["pause kafka"] = (1, self.pause_kafka)
        links = len(self.deployment.links)
        for link in self.deployment.links:
            made[f"cut {link}"] = (8 / links, lambda link=link: self.cut(link))
            made[f"slow {link}"] = (4 / links, lambda link=link: self.slow(link))
            made[f"stall {link}"] = (4 / links, lambda link=link: self.stall(link))
            made[f"refuse {link}"] = (3 / links, lambda link=link: self.refuse(link))
        return made

    async def kill(self, name: str) -> None:
        """kill -9 of a service, and wait until it runs again."""
        service = self.deployment.services[name]
        await until(lambda: service.pid > 0, within_s=BACK_S_MAX)
        before = service.starts
        service.kill()
        await until(lambda: service.starts > before, within_s=BACK_S_MAX)

    async def kill_publisher(self) -> None:
        """kill -9 of the node that publishes just now."""
        await self.kill(await self.deployment.publisher() or f"api-{NODES[0]}")

    async def pause(self, name: str) -> None:
        service = self.deployment.services[name]
        service.pause()
        await self._last()
        service.resume()

    async def kill_database(self, name: str) -> None:
        database = self._database(name)
        await database.crash()
        await self._last(DATABASE_GONE_S)
        await database.start()

    async def pause_database(self, name: str) -> None:
        database = self._database(name)
        database.pause()
        await self._last()
        database.resume()

    async def kill_kafka(self, gone_s: float = 0.0) -> None:
        """kill -9 of the broker, away for so long and for its start."""
        broker = self.deployment.broker
        broker.stop(signal.SIGKILL)
        await asyncio.sleep(gone_s)
        broker.launch()
        await until(broker.answers, within_s=BACK_S_MAX)

    async def pause_kafka(self) -> None:
        self.deployment.broker.pause()
        await self._last()
        self.deployment.broker.resume()

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

    async def refuse(self, link: str) -> None:
        """What is open is cut, and nothing new comes through."""
        proxy = self.deployment.links[link]
        proxy.refusing = True
        proxy.cut()
        await self._last()
        proxy.refusing = False

    def _database(self, name: str) -> Database:
        return getattr(self.deployment, name)

    async def _last(self, between: tuple[float, float] = LASTS_S) -> None:
        await asyncio.sleep(self.rng.uniform(*between))
