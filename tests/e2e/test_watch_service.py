"""Watch services, API nodes and Kafka as processes: killed and replaced under load."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import grpc
import httpx
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from grantlog.api.v1 import service_pb2, service_pb2_grpc
from tests.ports import kept_port
from tests.service_process import ServiceProcess
from tests.waiting import until

SCHEMA = "entity user {}\nentity doc { relation viewer @user }"


@dataclass
class Deployment:
    """An API node and two watch services on Kafka."""

    api: ServiceProcess
    watches: list[ServiceProcess]
    watch_ports: list[int]
    rest: str
    grpc: str
    watch_settings: dict[str, str] = field(default_factory=dict)


@pytest.fixture
async def deployment(
    migrated_database: Callable[..., Awaitable[str]],
    kafka: str,
    new_topic: Callable[[], str],
    tmp_path: Path,
) -> AsyncIterator[Deployment]:
    rest, rpc, *watch_ports = (kept_port() for _ in range(4))
    common = {
        "GRANTLOG_DATABASE_URL": await migrated_database(),
        "GRANTLOG_KAFKA_BOOTSTRAP": kafka,
        "GRANTLOG_KAFKA_TOPIC": new_topic(),
        "GRANTLOG_KAFKA_PARTITIONS": "2",
    }
    addresses = ",".join(f"127.0.0.1:{port}" for port in watch_ports)
    api = ServiceProcess(
        "api",
        tmp_path / "api.log",
        common
        | {"GRANTLOG_HTTP_PORT": str(rest), "GRANTLOG_GRPC_PORT": str(rpc)}
        | {"GRANTLOG_WATCH_ADDRESS": addresses, "GRANTLOG_WATCH_HEARTBEAT_S": "0.5"},
    )
    watches = [
        ServiceProcess(
            "watch", tmp_path / f"watch-{port}.log", common | {"GRANTLOG_GRPC_PORT": str(port)}
        )
        for port in watch_ports
    ]
    every = [api, *watches]
    try:
        for process in every:
            process.start()
        for port in (rpc, *watch_ports):
            await until(lambda port=port: answers(port), within_s=60)
        yield Deployment(api, watches, watch_ports, f"http://127.0.0.1:{rest}", f"127.0.0.1:{rpc}")
        assert [process.end() for process in every] == [0] * len(every), [p.said() for p in every]
    finally:
        for process in every:
            process.end(signal.SIGKILL)


async def answers(port: int) -> bool:
    """Whether a service answers questions about its health there."""
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        except aio.AioRpcError:
            return False
        return True


async def serving(port: int) -> bool:
    """Whether a service says that it serves there."""
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with contextlib.suppress(aio.AioRpcError):
            stub = health_pb2_grpc.HealthStub(channel)
            answer = await stub.Check(health_pb2.HealthCheckRequest())
            return answer.status == health_pb2.HealthCheckResponse.SERVING
        return False


async def write(api: httpx.AsyncClient, number: int) -> str:
    fact = {
        "entity": {"type": "doc", "id": str(number)},
        "relation": "viewer",
        "subject": {"type": "user", "id": "ann"},
    }
    answer = await api.post("/v1/tenants/t1/data/write", json={"metadata": {}, "tuples": [fact]})
    assert answer.status_code == 200, answer.text
    return answer.json()["snap_token"]


async def prepare(api: httpx.AsyncClient) -> None:
    answer = await api.post("/v1/tenants/t1/schemas/write", json={"schema": SCHEMA})
    assert answer.status_code == 200, answer.text


async def follow(address: str, token: str, told: list[str], until_token: asyncio.Future) -> int:
    """Note what is told from a token on, until a certain one is; how often the stream ended."""
    interruptions = 0
    async with aio.insecure_channel(address) as channel:
        stub = service_pb2_grpc.WatchStub(channel)
        while True:
            call = stub.Watch(service_pb2.WatchRequest(tenant_id="t1", snap_token=token))
            try:
                async for message in call:
                    token = message.changes.snap_token
                    if message.changes.data_changes:
                        assert len(message.changes.data_changes) == 1
                        told.append(token)
                    if until_token.done() and token == until_token.result():
                        return interruptions
            except aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                interruptions += 1


async def test_no_watcher_misses_a_change_or_hears_it_twice_when_services_are_killed(
    deployment: Deployment,
) -> None:
    told: list[list[str]] = [[] for _ in range(6)]
    written: list[str] = []
    last = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    async with httpx.AsyncClient(base_url=deployment.rest, timeout=120) as api:
        await prepare(api)
        start = await write(api, 0)

        async def load() -> None:
            for number in count(1):
                written.append(await write(api, number))
                if stop.is_set():
                    break
            last.set_result(written[-1])

        async with asyncio.timeout(300), asyncio.TaskGroup() as group:
            group.create_task(load())
            watching = [
                group.create_task(follow(deployment.grpc, start, each, last)) for each in told
            ]
            for round_ in range(4):
                victim, port = round_ % 2, deployment.watch_ports[round_ % 2]
                before = len(told[0])
                await until(lambda before=before: all(len(t) > before + 20 for t in told))
                deployment.watches[victim].end(signal.SIGKILL)
                before = len(written)
                await until(lambda before=before: len(written) > before + 20)
                deployment.watches[victim].start()
                await until(lambda port=port: serving(port), within_s=60)
            stop.set()
    assert all(each == written for each in told)
    assert [task.result() for task in watching] == [0] * len(told)


async def watched(
    deployment: Deployment,
    api: httpx.AsyncClient,
    group: asyncio.TaskGroup,
    told: list[str],
    last: asyncio.Future[str],
) -> tuple[list[str], asyncio.Task[int]]:
    """A first write that a watcher has been told of: the writes so far, and the watching."""
    await prepare(api)
    start = await write(api, 0)
    watching = group.create_task(follow(deployment.grpc, start, told, last))
    written = [await write(api, 1)]
    await until(lambda: told == written)
    return written, watching


async def test_without_any_service_watchers_are_told_where_to_go_on_and_come_back(
    deployment: Deployment,
) -> None:
    last = asyncio.get_running_loop().create_future()
    told: list[str] = []
    async with httpx.AsyncClient(base_url=deployment.rest, timeout=120) as api:
        async with asyncio.timeout(300), asyncio.TaskGroup() as group:
            written, watching = await watched(deployment, api, group, told, last)
            for watch in deployment.watches:
                watch.end(signal.SIGKILL)
            written += [await write(api, number) for number in range(2, 20)]
            answer = await api.get("/v1/tenants/t1/watch/events")
            assert answer.status_code == 503, answer.text
            assert answer.json()["message"] == "UNAVAILABLE: no watch service answers"
            for watch in deployment.watches:
                watch.start()
            last.set_result(written[-1])
        for port in deployment.watch_ports:
            await until(lambda port=port: serving(port), within_s=60)
    assert told == written
    assert watching.result() >= 1


async def test_a_service_that_is_told_to_end_hands_its_watchers_over(
    deployment: Deployment,
) -> None:
    last = asyncio.get_running_loop().create_future()
    told: list[str] = []
    async with httpx.AsyncClient(base_url=deployment.rest, timeout=120) as api:
        async with asyncio.timeout(300), asyncio.TaskGroup() as group:
            written, watching = await watched(deployment, api, group, told, last)
            assert deployment.watches[0].end() == 0
            written += [await write(api, number) for number in range(2, 20)]
            deployment.watches[0].start()
            await until(lambda: serving(deployment.watch_ports[0]), within_s=60)
            assert deployment.watches[1].end() == 0
            written += [await write(api, number) for number in range(20, 40)]
            deployment.watches[1].start()
            last.set_result(written[-1])
        await until(lambda: serving(deployment.watch_ports[1]), within_s=60)
    assert told == written
    assert watching.result() == 0
