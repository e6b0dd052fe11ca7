"""`grantlog serve --workers 2`: two processes on the same ports are one node to its clients."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import grpc
import httpx
import pytest
from grpc import aio

from grantlog.api.v1 import base_pb2, service_pb2, service_pb2_grpc
from tests.e2e.conftest import Serve, Served, all_gone, children, failed
from tests.waiting import until

SCHEMA = "entity user {}  entity doc { relation viewer @user  permission view = viewer }"
MANY = 40
"""Connections: that all of them go to one of two workers happens once in 2 ** 39 runs."""


def workers(served: Served) -> set[int]:
    return set(children(served.pids()["api"]))


async def told(served: Served, path: str, body: object) -> dict:
    """A call of its own connection, which goes to either worker."""
    async with httpx.AsyncClient(base_url=served.rest, timeout=60) as client:
        answer = await client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()


async def new_tenant(served: Served) -> str:
    tenant = f"workers-{secrets.token_hex(6)}"
    await told(served, f"/v1/tenants/{tenant}/schemas/write", {"schema": SCHEMA})
    return tenant


def written(tenant: str, doc: str) -> service_pb2.DataWriteRequest:
    fact = base_pb2.Tuple(
        entity=base_pb2.Entity(type="doc", id=doc),
        relation="viewer",
        subject=base_pb2.Subject(type="user", id="ann"),
    )
    metadata = service_pb2.DataWriteRequestMetadata()
    return service_pb2.DataWriteRequest(tenant_id=tenant, metadata=metadata, tuples=[fact])


async def answering(served: Served) -> set[int]:
    """The pids of the processes that hold an end of some of many new connections."""
    found: set[int] = set()
    address = ("127.0.0.1", served.grpc_port)
    lines = [socket.create_connection(address) for _ in range(MANY)]
    try:
        ours = {line.getsockname()[1] for line in lines}
        await until(lambda: len(ends(served, ours)) == MANY)
        found = set(ends(served, ours).values())
    finally:
        for line in lines:
            line.close()
    return found


def ends(served: Served, ports: set[int]) -> dict[int, int]:
    """Who has accepted the connections from these ports."""
    inodes = {}
    for row in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        words = row.split()
        remote = int(words[2].rpartition(":")[2], 16)
        local = int(words[1].rpartition(":")[2], 16)
        if remote in ports and local == served.grpc_port:
            inodes[f"socket:[{words[9]}]"] = remote
    found = {}
    for pid in workers(served):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                link = str(entry.readlink())
                if link in inodes:
                    found[inodes[link]] = pid
    return found


async def test_both_take_connections_and_end_without_a_complaint(serve: Serve):
    served = await serve("--workers", "2")
    pids = workers(served)
    assert len(pids) == 2
    await until_async(lambda: has_answered(served, pids))
    everything = served.pids() | {str(pid): pid for pid in pids}
    assert await served.stop(signal.SIGTERM) == 0
    lines = [json.loads(line) for line in served.log.read_text().splitlines()]
    assert [line for line in lines if line["level"] != "info"] == []
    await all_gone(everything)


async def has_answered(served: Served, pids: set[int]) -> bool:
    return await answering(served) == pids


async def until_async(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(120):
        while not await holds():
            pass


async def test_metrics_say_which_worker_they_are_of(serve: Serve):
    served = await serve("--workers", "2")
    told: set[str] = set()

    async def both_told() -> bool:
        async with httpx.AsyncClient(base_url=served.rest, timeout=60) as client:
            text = (await client.get("/metrics")).text
        samples = [line for line in text.splitlines() if not line.startswith("#")]
        assert samples
        workers_of = {sample.partition('{worker="')[2][:1] for sample in samples}
        assert len(workers_of) == 1
        told.update(workers_of)
        return told == {"0", "1"}

    await until_async(both_told)


async def test_a_client_reads_its_own_writes_whichever_worker_answers(serve: Serve):
    served = await serve("--workers", "2")
    tenant = await new_tenant(served)
    for number in range(MANY):
        async with aio.insecure_channel(served.grpc) as channel:
            await service_pb2_grpc.DataStub(channel).Write(written(tenant, str(number)))
        answer = await told(
            served,
            f"/v1/tenants/{tenant}/permissions/check",
            {
                "metadata": {"depth": 20},
                "entity": {"type": "doc", "id": str(number)},
                "permission": "view",
                "subject": {"type": "user", "id": "ann"},
            },
        )
        assert answer["can"] == "CHECK_RESULT_ALLOWED"


async def test_a_watcher_hears_once_of_every_write_whichever_worker_took_it(serve: Serve):
    served = await serve("--workers", "2")
    tenant = await new_tenant(served)
    heard: list[str] = []
    async with aio.insecure_channel(served.grpc) as channel:
        request = service_pb2.WatchRequest(tenant_id=tenant)
        call = service_pb2_grpc.WatchStub(channel).Watch(request)
        await anext(aiter(call))  # where it stands: it has begun
        for number in range(MANY):
            async with aio.insecure_channel(served.grpc) as other:
                await service_pb2_grpc.DataStub(other).Write(written(tenant, str(number)))
        async with asyncio.timeout(120):
            while len(heard) < MANY:
                changes = (await anext(aiter(call))).changes.data_changes
                heard += [change.tuple.entity.id for change in changes]
        call.cancel()
    assert heard == [str(number) for number in range(MANY)]


async def test_one_that_is_killed_is_started_again_while_the_other_answers(serve: Serve):
    served = await serve("--workers", "2")
    tenant = await new_tenant(served)
    before = workers(served)
    killed = min(before)
    os.kill(killed, signal.SIGKILL)
    await until(lambda: killed not in workers(served))
    for number in range(MANY):
        async with aio.insecure_channel(served.grpc) as channel:
            write = service_pb2_grpc.DataStub(channel).Write
            await write(written(tenant, str(number)), wait_for_ready=True, timeout=60)
    await until(lambda: len(workers(served)) == 2)
    after = workers(served)
    assert killed not in after
    assert before - {killed} < after
    await until_async(lambda: has_answered(served, after))
    assert await served.stop() == 0


async def test_calls_that_have_begun_end_when_the_node_stops(serve: Serve):
    served = await serve("--workers", "2")
    tenant = await new_tenant(served)
    async with aio.insecure_channel(served.grpc) as channel:
        stub = service_pb2_grpc.DataStub(channel)
        await stub.Write(written(tenant, "first"))
        calls = [stub.Write(written(tenant, str(number))) for number in range(200)]
        stopping = asyncio.get_running_loop().create_task(served.stop(signal.SIGTERM))
        codes = {await call.code() for call in calls}
        assert await stopping == 0
    assert codes <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}


async def test_reading_at_what_one_process_knows_is_refused():
    code, said = await failed("serve", "--workers", "2", "--consistency", "node")
    assert code == 1
    assert "--consistency node is right only for the only writer" in said


async def test_a_port_that_is_taken_is_told(serve: Serve):
    """Sharing ports is for workers of one node: a stranger's is an error as ever."""
    served = await serve("--workers", "2")
    taken = str(served.grpc_port)
    code, said = await failed("serve", "--workers", "2", "--grpc-port", taken, "--http-port", "0")
    assert code != 0
    assert f"port {taken}" in said


@pytest.mark.parametrize("ways", [("--with-replica",), ("--grpc-server", "grpcio")])
async def test_other_ways_of_serving_have_workers_too(serve: Serve, ways):
    served = await serve("--workers", "2", *ways)
    tenant = await new_tenant(served)
    async with aio.insecure_channel(served.grpc) as channel:
        await service_pb2_grpc.DataStub(channel).Write(written(tenant, "1"))
    assert len(workers(served)) == 2
