"""Three API nodes as processes ask each other under load; one of them joins, leaves, dies, hangs.

Clients talk to two of them. Whatever becomes of the third, no answer is wrong and no call fails.
"""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import httpx
import pytest

from grantlog.model.change import Transaction
from grantlog.model.ids import TenantId
from grantlog.store.postgres.pool import open_pool
from grantlog.testing.histories import violations
from tests.e2e.conftest import Serve
from tests.history_load import Load, whole_log, working
from tests.ports import kept_port
from tests.service_process import ServiceProcess
from tests.waiting import until

LOCAL = "127.0.0.1"
TENANTS = [TenantId("one"), TenantId("two")]
ANSWERS_A_STAGE = 80
"""Answers to be given while the third node is as it is."""


@dataclass
class Node:
    """An API node of a process of its own."""

    process: ServiceProcess
    http: int
    grpc: int

    async def numbers(self) -> dict[str, float]:
        """What it tells of the ring, by name and labels; nothing while it does not answer."""
        async with httpx.AsyncClient(timeout=60) as client:
            try:
                text = (await client.get(f"http://{LOCAL}:{self.http}/metrics")).text
            except httpx.TransportError:
                return {}
        found = re.findall(r"^grantlog_ring_(\S+) ([0-9.]+)$", text, re.MULTILINE)
        return {name: float(number) for name, number in found}

    async def sees(self, nodes: int) -> bool:
        return (await self.numbers()).get("nodes") == nodes


def new_node(name: str, dsn: str, folder: Path) -> Node:
    http, grpc = [kept_port() for _ in range(2)]
    settings = {
        "GRANTLOG_DATABASE_URL": dsn,
        "GRANTLOG_HTTP_PORT": str(http),
        "GRANTLOG_GRPC_PORT": str(grpc),
        "GRANTLOG_RING": "postgres",
        "GRANTLOG_RING_PORT": "0",
        "GRANTLOG_WATCH_HEARTBEAT_S": "0.5",
        "GRANTLOG_DRAIN_S_MAX": "1",
    }
    return Node(ServiceProcess("api", folder / f"{name}.log", settings), http, grpc)


@asynccontextmanager
async def running(*nodes: Node) -> AsyncIterator[None]:
    try:
        for node in nodes:
            node.process.start()
        for node in nodes:
            await until(lambda node=node: node.sees(len(nodes)), within_s=60)
        yield
    finally:
        for node in nodes:
            await asyncio.to_thread(node.process.end, signal.SIGKILL)


@dataclass
class Ring:
    """Two nodes that clients talk to, and the third one."""

    first: Node
    second: Node
    third: Node
    load: Load

    async def see(self, nodes: int) -> None:
        for node in (self.first, self.second):
            await until(lambda node=node: node.sees(nodes), within_s=60)

    async def go_on(self) -> None:
        """Let clients be answered for a while."""
        enough = len(self.load.notes.history.answers) + ANSWERS_A_STAGE
        await until(lambda: len(self.load.notes.history.answers) >= enough, within_s=60)

    async def third_answers(self) -> None:
        """Wait until the third node has told the others something, from now on."""
        before = (await self.third.numbers()).get("answers_total", 0)

        async def more() -> bool:
            return (await self.third.numbers()).get("answers_total", 0) > before

        await until(more, within_s=60)

    async def join(self) -> None:
        self.third.process.start()
        await self.see(3)
        await self.third_answers()
        await self.go_on()

    async def leave(self) -> None:
        assert await asyncio.to_thread(self.third.process.end) == 0
        await self.go_on()
        await self.see(2)

    async def die(self) -> None:
        await asyncio.to_thread(self.third.process.end, signal.SIGKILL)
        await self.go_on()
        await self.see(2)

    async def hang(self) -> None:
        self.third.process.signal(signal.SIGSTOP)
        await self.go_on()
        await self.see(2)
        self.third.process.signal(signal.SIGCONT)
        await self.see(3)
        await self.third_answers()
        await self.go_on()


@pytest.mark.parametrize("ended", ["leave", "die"])
async def test_no_answer_is_wrong_or_fails_whatever_becomes_of_a_node(
    migrated_database: Callable[..., Awaitable[str]], tmp_path: Path, ended: str
):
    dsn = await migrated_database()

    async def log_of(tenant: TenantId) -> Sequence[Transaction]:
        async with open_pool(dsn, size_max=1, application_name="test") as pool:
            return await whole_log(pool, tenant)

    first, second, third = [new_node(name, dsn, tmp_path) for name in ("a", "b", "c")]
    seed = str(Random().random())
    addresses = {name: f"{LOCAL}:{n.grpc}" for name, n in (("a", first), ("b", second))}
    load = Load(addresses, log_of, seed, TENANTS, pace=10, reborn=TENANTS[-1])
    ring = Ring(first, second, third, load)
    try:
        async with running(first, second), working(load):
            await ring.join()
            await ring.hang()
            await (ring.leave() if ended == "leave" else ring.die())
            await ring.join()
            told = [await node.numbers() for node in (first, second)]
    finally:
        await asyncio.to_thread(third.process.end, signal.SIGKILL)
    logs = {tenant: await log_of(tenant) for tenant in TENANTS}
    notes = load.notes
    assert violations(notes.history, logs) == [], f"seed {seed}"
    assert not notes.odd
    assert not notes.failed
    assert all(number['keys_total{how="answered"}'] > 0 for number in told)
    assert any(name.startswith("fallbacks_total") for number in told for name in number)


async def test_workers_of_a_node_are_nodes_of_the_ring(serve: Serve):
    served = await serve(
        "--workers", "2", GRANTLOG_RING="postgres", GRANTLOG_RING_PORT="0"
    )  # fmt: skip

    async def sees_both() -> bool:
        async with httpx.AsyncClient(timeout=60) as client:
            text = (await client.get(f"{served.rest}/metrics")).text
        return (
            re.search(r"^grantlog_ring_nodes\{worker=\"[01]\"\} 2$", text, re.MULTILINE) is not None
        )

    await until(sees_both, within_s=60)
    assert await served.stop() == 0
