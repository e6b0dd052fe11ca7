"""Streams through both doors: order, failures, leaving, deadlines, readers that do not read."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import grpc
import httpx
import pytest
from grantlog_api import rest_door
from grpc import aio

from grantlog.api.v1 import service_pb2, service_pb2_grpc
from grantlog.app.terms import OfNow
from grantlog.errors import PreconditionError
from grantlog.serving import grpc_door
from grantlog.serving.calls import Calls
from grantlog.serving.health import HealthProbe
from grantlog.serving.metadata import request_metadata
from tests.waiting import until

METHOD = "/base.v1.Watch/Watch"
LARGE = "x" * 100_000


class Source:
    """A stream handler that does what the tenant's name says, and tells when it ended."""

    def __init__(self) -> None:
        self.open = 0
        self.metadata = {}
        self.sent = 0

    async def __call__(self, request):
        self.open += 1
        self.metadata = dict(request_metadata())
        try:
            match request.tenant_id:
                case "three":
                    for n in range(3):
                        yield message(str(n))
                case "none":
                    pass
                case "refused":
                    raise PreconditionError("not now")
                case "breaks":
                    yield message("0")
                    raise PreconditionError("not any more")
                case "waits":
                    yield message("0")
                    await asyncio.Event().wait()
                case "silent":
                    await asyncio.Event().wait()
                case _:
                    for _ in range(1_000):
                        yield message(LARGE)
                        self.sent += 1
        finally:
            self.open -= 1


def message(token):
    return service_pb2.WatchResponse(changes={"snap_token": token})


def asked(tenant):
    return service_pb2.WatchRequest(tenant_id=tenant)


async def serving() -> str:
    return ""


@asynccontextmanager
async def doors(kind="grpcio", *, timeout_s=60.0, stall_s_max=60.0, streams_max=10):
    source = Source()
    calls = Calls({}, {METHOD: OfNow(source)}, timeout_s=timeout_s, streams_max=streams_max)
    probe = HealthProbe(serving)
    stop = asyncio.Event()
    server = grpc_door.build_server(kind)
    grpc_door.add_services(server, calls, probe, stall_s_max=stall_s_max)
    grpc_port = server.add_insecure_port("127.0.0.1:0")
    app = rest_door.build_app(calls, probe, allowed_origins=["*"], stall_s_max=stall_s_max)
    listener = socket.create_server(("127.0.0.1", 0))
    rest = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with asyncio.TaskGroup() as group:
        group.create_task(grpc_door.serve(server, stop, drain_s_max=1))
        group.create_task(rest_door.serve(app, listener, stop, drain_s_max=1))
        async with aio.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
            await channel.channel_ready()
            stub = service_pb2_grpc.WatchStub(channel)
            async with httpx.AsyncClient(base_url=rest, timeout=60) as client:
                yield source, stub, client
        stop.set()


@pytest.fixture(params=["grpcio", "native"])
def kind(request):
    return request.param


def path(tenant):
    return f"/v1/tenants/{tenant}/watch"


def tokens(messages):
    return [item.changes.snap_token for item in messages]


async def refused(call) -> aio.AioRpcError:
    with pytest.raises(aio.AioRpcError) as caught:
        await drained(call)
    return caught.value


async def drained(call) -> None:
    while await call.read() is not aio.EOF:
        pass


async def test_messages_come_in_order_and_the_stream_ends(kind):
    async with doors(kind) as (source, stub, _):
        assert tokens([m async for m in stub.Watch(asked("three"))]) == ["0", "1", "2"]
        assert [m async for m in stub.Watch(asked("none"))] == []
        await until(lambda: source.open == 0)


async def test_a_failure_before_and_behind_the_first_message_has_its_status(kind):
    async with doors(kind) as (_, stub, _client):
        error = await refused(stub.Watch(asked("refused")))
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert error.details() == "FAILED_PRECONDITION: not now"
        call = stub.Watch(asked("breaks"))
        assert (await call.read()).changes.snap_token == "0"
        error = await refused(call)
        assert error.details() == "FAILED_PRECONDITION: not any more"
        assert any(key == "grpc-status-details-bin" for key, _ in error.trailing_metadata())


async def test_a_request_that_breaks_a_rule_is_refused(kind):
    async with doors(kind) as (_, stub, client):
        error = await refused(stub.Watch(asked("")))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        answer = await client.post("/v1/tenants/a%20b/watch", json={})
        assert answer.status_code == 400
        assert "WatchRequest.TenantId" in answer.json()["error"]["message"]


async def test_cancelling_ends_the_work(kind):
    async with doors(kind) as (source, stub, _):
        for tenant in ("waits", "silent"):
            call = stub.Watch(asked(tenant))
            if tenant == "waits":
                await call.read()
            await until(lambda: source.open == 1)
            call.cancel()
            await until(lambda: source.open == 0)


async def test_a_deadline_ends_the_work(kind):
    async with doors(kind) as (source, stub, _):
        error = await refused(stub.Watch(asked("waits"), timeout=0.3))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: source.open == 0)


async def test_a_stream_that_says_nothing_for_too_long_ends(kind):
    async with doors(kind, timeout_s=0.2) as (source, stub, client):
        error = await refused(stub.Watch(asked("waits")))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        answer = await client.post(path("silent"), json={})
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, 4)
        await until(lambda: source.open == 0)


async def test_only_so_many_streams_are_open_at_once(kind):
    async with doors(kind, streams_max=2) as (source, stub, client):
        calls = [stub.Watch(asked("waits")) for _ in range(2)]
        for call in calls:
            await call.read()
        error = await refused(stub.Watch(asked("three")))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await client.post(path("three"), json={})).status_code == 429
        calls[0].cancel()
        await until(lambda: source.open == 1)
        assert tokens([m async for m in stub.Watch(asked("three"))]) == ["0", "1", "2"]


async def test_a_reader_that_does_not_read_is_cut(kind):
    async with doors(kind, stall_s_max=0.3) as (source, stub, _):
        call = stub.Watch(asked("large"))
        await call.read()
        await until(lambda: source.open == 0)
        assert source.sent < 500
        error = await refused(call)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error.details().startswith("SLOW_READER")


async def test_readers_that_do_not_read_hold_no_thread(kind):
    """Of the loop's pool, in which large revisions are written and read: cut ones kept theirs."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    async with doors(kind, stall_s_max=0.3) as (source, stub, _):
        held = [stub.Watch(asked("large")) for _ in range(3)]
        for call in held:
            await call.read()
        async with asyncio.timeout(60):
            await asyncio.to_thread(lambda: None)
            await until(lambda: source.open == 0)
            await asyncio.to_thread(lambda: None)


async def test_the_doors_close_while_a_reader_does_not_read(kind):
    never_cut = doors(kind, stall_s_max=600.0)
    async with asyncio.timeout(60), never_cut as (source, stub, _):
        call = stub.Watch(asked("large"))
        await call.read()
        await until(lambda: source.sent > 3)


async def test_handlers_see_the_requests_metadata(kind):
    async with doors(kind) as (source, stub, client):
        call = stub.Watch(asked("three"), metadata=(("grantlog-watch-a", "1"), ("other", "2")))
        assert len([m async for m in call]) == 3
        assert source.metadata == {"grantlog-watch-a": "1"}
        await client.post(path("three"), json={}, headers={"Grantlog-Watch-B": "2"})
        assert source.metadata == {"grantlog-watch-b": "2"}


async def test_a_stream_as_of_the_past_is_refused_rather_than_answered_as_of_now(kind):
    async with doors(kind) as (_, stub, client):
        error = await refused(stub.Watch(asked("three"), metadata=(("grantlog-as-of", "1"),)))
        assert error.details().startswith("INVALID_AS_OF")
        answer = await client.post(path("three"), json={}, headers={"grantlog-as-of": "1"})
        assert answer.status_code == 400
        assert answer.json()["error"]["message"].startswith("INVALID_AS_OF")


async def lines(response: httpx.Response) -> AsyncIterator[dict]:
    async for line in response.aiter_lines():
        yield json.loads(line)


async def test_rest_sends_a_json_object_a_line():
    async with doors() as (_, _stub, client):
        answer = await client.post(path("three"), json={})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert [json.loads(line) for line in answer.text.splitlines()] == [
            {"result": {"changes": {"snap_token": str(n), "data_changes": []}}} for n in range(3)
        ]
        empty = await client.post(path("none"), json={})
        assert (empty.status_code, empty.content) == (200, b"")


async def test_rest_tells_a_failure_by_its_status_before_and_in_band_behind_the_first_message():
    async with doors() as (_, _stub, client):
        answer = await client.post(path("refused"), json={})
        assert answer.status_code == 400
        assert answer.json()["error"]["message"] == "FAILED_PRECONDITION: not now"
        answer = await client.post(path("breaks"), json={})
        assert answer.status_code == 200
        first, last = map(json.loads, answer.text.splitlines())
        assert first["result"]["changes"]["snap_token"] == "0"
        assert last["error"]["code"] == 9


async def test_a_rest_client_that_leaves_ends_the_work():
    async with doors() as (source, _stub, client):
        async with client.stream("POST", path("waits"), json={}) as response:
            assert (await anext(lines(response)))["result"]["changes"]["snap_token"] == "0"
            assert source.open == 1
        await until(lambda: source.open == 0)
        with pytest.raises(httpx.ReadTimeout):
            await client.post(path("silent"), json={}, timeout=httpx.Timeout(60, read=0.3))
        await until(lambda: source.open == 0)


async def test_a_rest_reader_that_does_not_read_is_cut():
    async with (
        doors(stall_s_max=0.3) as (source, _stub, client),
        client.stream("POST", path("large"), json={}) as response,
    ):
        assert response.status_code == 200
        await until(lambda: source.open == 0)
        assert source.sent < 500
