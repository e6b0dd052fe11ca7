"""Subscribers that never read: the watch service ends them, and does not grow by what they lack."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from grpc import aio

from grantlog.api.v1 import service_pb2, service_pb2_grpc
from grantlog.model.ids import TenantId
from tests.contract.postgres import postgres_primary
from tests.ports import kept_port
from tests.service_process import ServiceProcess
from tests.waiting import until

SLOW = 20
"""Subscribers that read one message and no more."""
WRITES = 150
QUEUE_MAX = 40
FACTS = 200
"""Of a write: its message has about 35 KB, so that a connection holds a few unread ones."""
GROWTH_MB_MAX = 60
"""What all of them lack has SLOW * WRITES * 35 KB, about 100 MB. It grew by 6 when written."""


@dataclass
class Watching:
    """A watch service."""

    process: ServiceProcess
    address: str

    def resident_mb(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) // 1024


@pytest.fixture
async def dsn(migrated_database: Callable[..., Awaitable[str]]) -> str:
    return await migrated_database()


@pytest.fixture
async def watching(dsn: str, tmp_path: Path) -> AsyncIterator[Watching]:
    port = kept_port()
    process = ServiceProcess(
        "watch",
        tmp_path / "log",
        {
            "GRANTLOG_DATABASE_URL": dsn,
            "GRANTLOG_GRPC_PORT": str(port),
            "GRANTLOG_WATCH_TRANSACTIONS_MAX": str(QUEUE_MAX),
            "GRANTLOG_STREAM_STALL_S_MAX": "300",  # the queue's bound is to end them, not time
        },
    )
    process.start()
    try:
        await until(lambda: '"listening"' in process.said(), within_s=60)
        yield Watching(process, f"127.0.0.1:{port}")
    finally:
        process.end()


def revisions(message: service_pb2.WatchResponse) -> int:
    return len(message.changes.data_changes) // FACTS


Messages = AsyncIterator[service_pb2.WatchResponse]


async def read(messages: Messages, writes: int) -> None:
    """Read until so many writes have come."""
    seen = 0
    while seen < writes:
        seen += revisions(await anext(messages))


async def ended(messages: Messages) -> tuple[int, grpc.RpcError]:
    """How many writes still came, and how it ended."""
    heard = 0
    try:
        async for message in messages:
            heard += revisions(message)
    except grpc.RpcError as error:
        return heard, error
    raise AssertionError("it ended without an error")


async def test_memory_stays_bounded_and_each_is_told_where_to_go_on(
    dsn: str, watching: Watching
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        primary = await stack.enter_async_context(postgres_primary(dsn))
        await primary.put("doc:0#viewer@user:1", tenant=TenantId("t1"))

        async def subscribed() -> Messages:
            # A connection of its own: what one leaves unread must not hold the others up.
            # And a small window: the client's library would take megabytes in for its reader.
            options = [
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.http2.bdp_probe", 0),
                ("grpc.http2.lookahead_bytes", 65_535),
            ]
            channel = await stack.enter_async_context(
                aio.insecure_channel(watching.address, options=options)
            )
            stub = service_pb2_grpc.WatchStub(channel)
            messages = aiter(stub.Watch(service_pb2.WatchRequest(tenant_id="t1")))
            await anext(messages)
            return messages

        slow = [await subscribed() for _ in range(SLOW)]
        quick = await subscribed()
        before = watching.resident_mb()
        async with asyncio.timeout(300):
            for number in range(WRITES):
                wide = f"{number}-{'x' * 60}"
                written = (f"doc:{wide}-{n}#viewer@user:{wide}" for n in range(FACTS))
                await primary.put(*written, tenant=TenantId("t1"))
                await read(quick, 1)
        assert watching.resident_mb() - before < GROWTH_MB_MAX
        for messages in slow:
            async with asyncio.timeout(120):
                heard, error = await ended(messages)
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert error.details().startswith("SLOW_READER")
            assert heard < WRITES
