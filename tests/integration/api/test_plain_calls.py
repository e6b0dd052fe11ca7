"""Calls with one answer over gRPC, on both servers: many at once, cancelled, drained, refused."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc import aio

from grantlog.api.v1 import base_pb2, service_pb2, service_pb2_grpc
from grantlog.errors import LimitError
from grantlog.serving import grpc_door
from grantlog.serving.calls import Calls
from grantlog.serving.health import HealthProbe
from grantlog.serving.metadata import request_metadata, say_with_answer
from tests.waiting import until

METHOD = "/base.v1.Permission/Check"
MANY = 300


class Handler:
    """Does what the permission says; the check count of an answer is the entity's id."""

    def __init__(self) -> None:
        self.running = 0
        self.gate = asyncio.Event()

    async def __call__(self, request, terms):
        del terms
        self.running += 1
        try:
            match request.permission:
                case "waits":
                    await self.gate.wait()
                case "yields":
                    await asyncio.sleep(0)
                case "refused":
                    raise LimitError("too much")
                case "breaks":
                    raise KeyError("a defect")
                case _:
                    pass
            say_with_answer("grantlog-item-errors", request.entity.id)
            for name, value in request_metadata().items():
                say_with_answer(name, value)
            return service_pb2.PermissionCheckResponse(
                can=base_pb2.CHECK_RESULT_ALLOWED,
                metadata={"check_count": int(request.entity.id)},
            )
        finally:
            self.running -= 1


def asked(permission="at_once", number=1):
    return service_pb2.PermissionCheckRequest(
        tenant_id="t1",
        metadata={"depth": 20},
        entity={"type": "doc", "id": str(number)},
        permission=permission,
        subject={"type": "user", "id": "ann"},
    )


async def healthy() -> str:
    return ""


@asynccontextmanager
async def door(kind, *, drain_s_max=10.0):
    handler, stop = Handler(), asyncio.Event()
    server = grpc_door.build_server(kind)
    grpc_door.add_services(server, Calls({METHOD: handler}, timeout_s=20), HealthProbe(healthy))
    port = server.add_insecure_port("127.0.0.1:0")
    async with asyncio.TaskGroup() as group:
        group.create_task(grpc_door.serve(server, stop, drain_s_max=drain_s_max))
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await channel.channel_ready()
            yield handler, service_pb2_grpc.PermissionStub(channel).Check, stop
        stop.set()


both = pytest.mark.parametrize("kind", ["native", "grpcio"])


@both
async def test_many_calls_at_once_each_have_their_own_answer_and_trailers(kind):
    """Some answer at once, some give way: none gets what another one was to get."""
    async with door(kind) as (_, check, _):
        calls = [
            check(asked("yields" if number % 3 else "at_once", number), metadata=())
            for number in range(1, MANY)
        ]
        for number, call in enumerate(calls, start=1):
            assert (await call).metadata.check_count == number
            assert dict(await call.trailing_metadata())["grantlog-item-errors"] == str(number)


@both
async def test_metadata_of_one_call_are_not_another_ones(kind):
    async with door(kind) as (_, check, _):
        first = check(asked(), metadata=(("grantlog-consistency", "head"),))
        await first
        second = check(asked())
        await second
        assert dict(await first.trailing_metadata())["grantlog-consistency"] == "head"
        assert "grantlog-consistency" not in dict(await second.trailing_metadata())


@both
async def test_calls_that_wait_hold_up_no_others(kind):
    async with door(kind) as (handler, check, _):
        waiting = [check(asked("waits", number)) for number in range(1, 100)]
        await until(lambda: handler.running == len(waiting))
        assert (await check(asked())).metadata.check_count == 1
        handler.gate.set()
        for number, call in enumerate(waiting, start=1):
            assert (await call).metadata.check_count == number


@both
async def test_a_call_whose_client_leaves_ends(kind):
    async with door(kind) as (handler, check, _):
        call = check(asked("waits"))
        await until(lambda: handler.running == 1)
        call.cancel()
        await until(lambda: handler.running == 0)


@both
async def test_a_call_whose_deadline_passes_ends(kind):
    async with door(kind) as (handler, check, _):
        with pytest.raises(aio.AioRpcError) as late:
            await check(asked("waits"), timeout=0.05)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: handler.running == 0)


@both
async def test_draining_lets_calls_end_that_have_begun(kind):
    async with door(kind) as (handler, check, stop):
        call = check(asked("waits", 7))
        await until(lambda: handler.running == 1)
        stop.set()
        handler.gate.set()
        assert (await call).metadata.check_count == 7


@both
async def test_draining_ends_calls_that_take_too_long(kind):
    async with door(kind, drain_s_max=0.05) as (handler, check, stop):
        call = check(asked("waits"))
        await until(lambda: handler.running == 1)
        stop.set()
        with pytest.raises(aio.AioRpcError):
            await call
        await until(lambda: handler.running == 0)


@both
@pytest.mark.parametrize(
    ("permission", "code", "message"),
    [
        ("refused", grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED: too much"),
        ("breaks", grpc.StatusCode.INTERNAL, "ERROR_CODE_INTERNAL"),
        ("n0t a name", grpc.StatusCode.INVALID_ARGUMENT, "invalid PermissionCheckRequest"),
    ],
)
async def test_failures_have_their_status(kind, permission, code, message):
    async with door(kind) as (_, check, _):
        with pytest.raises(aio.AioRpcError) as refused:
            await check(asked(permission))
        assert refused.value.code() is code
        assert refused.value.details().startswith(message)


async def test_a_call_that_is_cancelled_before_it_began_is_forgotten():
    """The client's request and its leaving may come in one batch."""
    server = grpc_door.build_server("native")
    front = pytest.importorskip("pygrpc_native")
    begun = []

    async def answer(request, metadata):
        begun.append((request, metadata))
        return b"", ()

    server.add_plain({METHOD: answer})
    server._table = [(METHOD, None)]
    server._loop = asyncio.get_running_loop()
    server._on_events(
        [
            (front.EVENT_CALL, 1, 0, b"", None, ((), "", None)),
            (front.EVENT_CANCEL, 1, 0, None, None, None),
        ]
    )
    await asyncio.sleep(0)
    assert not begun
    assert not server._calls
