"""Two API nodes over a primary and replicas that lag: every client reads its own writes."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.e2e.asked import doc, viewer
from tests.e2e.doors import Grpc, Rest
from tests.ports import kept_port
from tests.servers import Server
from tests.standbys import Standby, new_standby, streamed_database, streaming_server
from tests.waiting import until

__all__ = ["new_standby", "streamed_database", "streaming_server"]

NewDatabase = Callable[..., Awaitable[str]]
LOCAL = "127.0.0.1"
SCHEMA = "entity user {}  entity doc { relation viewer @user  permission view = viewer }"
ASKED = {
    "metadata": {"depth": 20},
    "entity": doc("1"),
    "permission": "view",
    "subject": {"type": "user", "id": "ann"},
}
GONE = {"tuple_filter": {"entity": {"type": "doc", "ids": ["1"]}}, "attribute_filter": {}}


@dataclass
class Deployed:
    """Two nodes, and what fills the two replicas that they read."""

    nodes: list[Server]
    projector: asyncio.subprocess.Process
    standby: Standby

    async def health(self, node: int) -> dict[str, Any]:
        async with httpx.AsyncClient(timeout=60) as client:
            return (await client.get(f"{self.nodes[node].rest}/healthz")).json()


@asynccontextmanager
async def process(package: str, **told: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A service as its runbook starts it, told to end when the block does."""
    own = os.environ  # noqa: TID251 - handed on to a child
    inherited = {k: v for k, v in own.items() if not k.startswith("GRANTLOG_")}
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", package, env=inherited | told, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield running
    finally:
        running.send_signal(signal.SIGCONT)
        running.terminate()
        async with asyncio.timeout(60):
            assert await running.wait() == 0


@pytest.fixture
async def deployed(
    streamed_database: NewDatabase, new_standby: Callable[[], Awaitable[Standby]]
) -> AsyncIterator[Deployed]:
    dsn, projected = await streamed_database(), await streamed_database(seed=False)
    standby = await new_standby()
    databases = {"GRANTLOG_DATABASE_URL": dsn, "GRANTLOG_REPLICA_URL": projected}
    async with AsyncExitStack() as stack:
        projector = await stack.enter_async_context(process("grantlog_projector", **databases))
        nodes = []
        for _ in range(2):
            http, grpc = [kept_port() for _ in range(2)]
            told = databases | {
                "GRANTLOG_REPLICA_URL": f"{projected} {standby.dsn(dsn)}",
                "GRANTLOG_HTTP_PORT": str(http),
                "GRANTLOG_GRPC_PORT": str(grpc),
                # Else what the primary answered while replicas were slow is answered from memory.
                "GRANTLOG_RESULT_CACHE_MB": "0",
                "GRANTLOG_RELATION_CACHE_MB": "0",
            }
            node = await stack.enter_async_context(process("grantlog_api", **told))
            nodes.append(Server("replica", f"http://{LOCAL}:{http}", f"{LOCAL}:{grpc}", node.pid))
        made = Deployed(nodes, projector, standby)
        for number in range(2):
            await until(lambda number=number: reads_replicas(made, number), within_s=60)
        yield made


async def reads_replicas(deployed: Deployed, node: int) -> bool:
    try:
        replicas = {"1": "in", "2": "in"}
        return await deployed.health(node) == {"status": "SERVING", "replicas": replicas}
    except httpx.TransportError:
        return False


async def test_what_one_node_wrote_the_other_knows_though_all_replicas_lag(
    deployed: Deployed,
) -> None:
    tenant = f"two-nodes-{secrets.token_hex(6)}"
    fact = {"metadata": {}, "tuples": [viewer("1")]}
    for number, (door, other) in enumerate(((Rest, Grpc), (Grpc, Rest))):
        writer, asker = door(deployed.nodes[number]), other(deployed.nodes[1 - number])

        async def asked(asker: Rest | Grpc = asker) -> tuple[bool, str]:
            answer, said = await asyncio.to_thread(asker.call, tenant, "permissions/check", ASKED)
            return answer["can"] == "CHECK_RESULT_ALLOWED", said["grantlog-source"]

        await asyncio.to_thread(writer.call, tenant, "schemas/write", {"schema": SCHEMA})
        await until(lambda asked=asked: is_now(asked, (False, "replica")))
        deployed.projector.send_signal(signal.SIGSTOP)
        await deployed.standby.pause()
        for _ in range(5):
            await asyncio.to_thread(writer.call, tenant, "data/write", fact)
            assert await asked() == (True, "primary")
            await asyncio.to_thread(writer.call, tenant, "data/delete", GONE)
            assert await asked() == (False, "primary")
        await asyncio.to_thread(writer.call, tenant, "data/write", fact)
        deployed.projector.send_signal(signal.SIGCONT)
        await deployed.standby.resume()
        await until(lambda asked=asked: is_now(asked, (True, "replica")))
        await asyncio.to_thread(writer.call, tenant, "data/delete", GONE)
        writer.close()
        asker.close()


async def is_now(
    asked: Callable[[], Awaitable[tuple[bool, str]]], expected: tuple[bool, str]
) -> bool:
    answer = await asked()
    assert answer[0] is expected[0], "whoever answers, it is never an older answer"
    return answer == expected
