"""Every call is counted once and has one line, by whichever door it comes and however it ends."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections import Counter
from contextlib import asynccontextmanager
from functools import partial

import httpx
import pytest
from grantlog_api import rest_door
from grantlog_api.rest_stream import LINES, StreamResponse
from grpc import aio

from grantlog.api.v1 import base_pb2, service_pb2, service_pb2_grpc
from grantlog.app.terms import OfNow
from grantlog.errors import NotFoundError, SlowReaderError
from grantlog.serving import grpc_door
from grantlog.serving.call_lines import CallLines
from grantlog.serving.calls import Calls
from grantlog.serving.health import HealthProbe
from tests.waiting import until

CHECK = "/base.v1.Permission/Check"
WATCH = "/base.v1.Watch/Watch"
PATH = "/v1/tenants/t1/permissions/check"
LARGE = service_pb2.WatchResponse(changes={"snap_token": "x" * 1_000_000})


class Source:
    """Does what the permission of a check, and the tenant of a watch, say."""

    def __init__(self) -> None:
        self.running = 0

    async def check(self, request, terms):
        del terms
        self.running += 1
        try:
            match request.permission:
                case "missing":
                    raise NotFoundError("nothing is there")
                case "breaks":
                    raise KeyError("a defect")
                case "waits":
                    await asyncio.Event().wait()
        finally:
            self.running -= 1
        return service_pb2.PermissionCheckResponse(can=base_pb2.CHECK_RESULT_ALLOWED)

    async def watch(self, request):
        self.running += 1
        try:
            yield service_pb2.WatchResponse(changes={"snap_token": "one"})
            match request.tenant_id:
                case "missing":
                    raise NotFoundError("nothing is there")
                case "waits":
                    await asyncio.Event().wait()
                case "large":
                    while True:
                        yield LARGE
        finally:
            self.running -= 1


class Doors:
    """Both doors over a source, and what they counted and said."""

    def __init__(self, *, timeout_s: float) -> None:
        self.source = Source()
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)  # a test without its lines fails, it does not hang
        self._lines = CallLines(writer, {})
        self._descriptors = (self._reader, writer)
        self.calls = Calls(
            {CHECK: self.source.check},
            {WATCH: OfNow(self.source.watch)},
            timeout_s=timeout_s,
            lines=self._lines,
        )

    async def ended(self, *ends: tuple[str, str]) -> list[dict[str, object]]:
        """Return the lines when just these calls have ended, by method and code."""
        await until(lambda: sum(self.calls.counts.ends.values()) >= len(ends))
        counted = Counter(
            {
                (method, code.name): number
                for (method, code), number in self.calls.counts.ends.items()
                if number
            }
        )
        assert counted == Counter(ends)
        self._lines.write()
        lines = [json.loads(line) for line in os.read(self._reader, 1 << 16).splitlines()]
        assert Counter((line["method"], line["code"]) for line in lines) == Counter(ends)
        assert self.calls.counts.streams_open == 0
        return lines

    async def ended_as_asked(self) -> None:
        """Return when a good call, three bad ones and one that cannot be read have ended so."""
        codes = ("OK", "NOT_FOUND", "INTERNAL", "INVALID_ARGUMENT", "INVALID_ARGUMENT")
        lines = await self.ended(*((CHECK, code) for code in codes))
        assert [line["tenant"] for line in lines] == ["t1"] * 4 + [""]
        assert all(line["ms"] > 0 for line in lines)

    def close(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)


async def _healthy() -> str:
    return ""


@asynccontextmanager
async def doors(kind="grpcio", *, timeout_s=20.0, stall_s_max=20.0):
    opened, stop = Doors(timeout_s=timeout_s), asyncio.Event()
    probe = HealthProbe(_healthy)
    server = grpc_door.build_server(kind)
    grpc_door.add_services(server, opened.calls, probe, stall_s_max=stall_s_max)
    port = server.add_insecure_port("127.0.0.1:0")
    app = rest_door.build_app(opened.calls, probe, allowed_origins=[], stall_s_max=stall_s_max)
    listener = socket.create_server(("127.0.0.1", 0))
    rest = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with asyncio.TaskGroup() as group:
        group.create_task(grpc_door.serve(server, stop, drain_s_max=1))
        group.create_task(rest_door.serve(app, listener, stop, drain_s_max=1))
        async with (
            aio.insecure_channel(f"127.0.0.1:{port}") as channel,
            httpx.AsyncClient(base_url=rest, timeout=20) as client,
        ):
            await channel.channel_ready()
            yield opened, channel, client
        stop.set()
    opened.close()


both = pytest.mark.parametrize("kind", ["grpcio", "native"])
ways = pytest.mark.parametrize("short", [True, False])


def asked(permission):
    return service_pb2.PermissionCheckRequest(
        tenant_id="t1",
        metadata={"depth": 20},
        entity={"type": "doc", "id": "1"},
        permission=permission,
        subject={"type": "user", "id": "ann"},
    )


def said(permission):
    return {
        "metadata": {"depth": 20},
        "entity": {"type": "doc", "id": "1"},
        "permission": permission,
        "subject": {"type": "user", "id": "ann"},
    }


async def refused(call) -> None:
    with pytest.raises(aio.AioRpcError):
        await call


@both
async def test_calls_over_grpc(kind):
    async with doors(kind) as (opened, channel, _):
        check = service_pb2_grpc.PermissionStub(channel).Check
        raw = channel.unary_unary(CHECK, lambda message: message, bytes)
        await check(asked("view"))
        await refused(check(asked("missing")))
        await refused(check(asked("breaks")))
        await refused(check(asked("not a name")))
        await refused(raw(b"\xff damaged"))
        await opened.ended_as_asked()
        (took,) = opened.calls.counts.durations.values()
        assert sum(took.counts) == 1


@ways
async def test_calls_over_rest(short):
    headers = {} if short else {"Origin": "https://page"}  # a browser's go the long way
    async with doors() as (opened, _, client):
        for permission in ("view", "missing", "breaks", "not a name"):
            await client.post(PATH, json=said(permission), headers=headers)
        json_type = {"content-type": "application/json"}
        await client.post(PATH, content=b"{damaged", headers=headers | json_type)
        await client.get("/v1/nowhere")  # of no method
        await opened.ended_as_asked()


@both
async def test_a_client_that_leaves_over_grpc(kind):
    async with doors(kind) as (opened, channel, _):
        call = service_pb2_grpc.PermissionStub(channel).Check(asked("waits"))
        await until(lambda: opened.source.running == 1)
        call.cancel()
        await opened.ended((CHECK, "CANCELLED"))


@ways
async def test_a_client_that_leaves_over_rest(short):
    headers = {} if short else {"Origin": "https://page"}
    async with doors() as (opened, _, client):
        async with asyncio.TaskGroup() as group:
            call = group.create_task(client.post(PATH, json=said("waits"), headers=headers))
            await until(lambda: opened.source.running == 1)
            call.cancel()
        await opened.ended((CHECK, "CANCELLED"))


async def test_a_call_that_takes_too_long():
    async with doors(timeout_s=0.05) as (opened, channel, client):
        await refused(service_pb2_grpc.PermissionStub(channel).Check(asked("waits")))
        await client.post(PATH, json=said("waits"))
        lines = await opened.ended(*[(CHECK, "DEADLINE_EXCEEDED")] * 2)
        assert all(line["ms"] > 50 for line in lines)


@both
async def test_streams_over_grpc(kind):
    async with doors(kind) as (opened, channel, _):
        watch = service_pb2_grpc.WatchStub(channel).Watch
        assert len([m async for m in watch(service_pb2.WatchRequest(tenant_id="ends"))]) == 1
        with pytest.raises(aio.AioRpcError):
            [m async for m in watch(service_pb2.WatchRequest(tenant_id="missing"))]
        leaving = watch(service_pb2.WatchRequest(tenant_id="waits"))
        await leaving.read()
        assert opened.calls.counts.streams_open == 1
        leaving.cancel()
        await until(lambda: opened.source.running == 0)
        lines = await opened.ended((WATCH, "OK"), (WATCH, "NOT_FOUND"), (WATCH, "CANCELLED"))
        assert [line["tenant"] for line in lines] == ["ends", "missing", "waits"]


async def test_streams_over_rest():
    async with doors() as (opened, _, client):
        await client.post("/v1/tenants/ends/watch", json={})
        await client.post("/v1/tenants/missing/watch", json={})
        async with client.stream("POST", "/v1/tenants/waits/watch", json={}) as response:
            await anext(response.aiter_lines())
        async with client.stream("GET", "/v1/tenants/waits/watch/events") as response:
            await anext(response.aiter_lines())
            await until(lambda: opened.calls.counts.streams_open > 0)
        await until(lambda: opened.source.running == 0)
        await opened.ended(
            (WATCH, "OK"), (WATCH, "NOT_FOUND"), (WATCH, "CANCELLED"), (WATCH, "CANCELLED")
        )


@both
async def test_a_reader_that_does_not_read_is_counted_once(kind):
    async with doors(kind, stall_s_max=0.1) as (opened, channel, client):
        slow = service_pb2_grpc.WatchStub(channel).Watch(
            service_pb2.WatchRequest(tenant_id="large")
        )
        async with client.stream("POST", "/v1/tenants/large/watch", json={}):
            await until(lambda: opened.source.running == 2)
            await until(lambda: opened.source.running == 0)
            await opened.ended(*[(WATCH, "RESOURCE_EXHAUSTED")] * 2)
        slow.cancel()


async def test_a_stream_whose_end_is_not_read_has_ended_once():
    async with doors() as (opened, _, _):
        watched = service_pb2.WatchRequest(tenant_id="ends")
        failed = partial(opened.calls.failed, WATCH, request=watched)
        messages = opened.calls.stream(WATCH, watched)
        response = StreamResponse(failed, messages, LINES, {}, stall_s_max=0.05)
        ended = asyncio.Event()

        async def send(message):
            if message["type"] == "http.response.body" and not message["more_body"]:
                ended.set()
                await asyncio.Event().wait()

        with pytest.raises(ExceptionGroup) as caught:
            await response({"type": "http"}, asyncio.Event().wait, send)
        assert caught.group_contains(SlowReaderError)
        assert ended.is_set()
        await opened.ended((WATCH, "OK"))


async def test_a_call_of_a_tenant_itself_names_it():
    async with doors() as (opened, _, client):
        await client.post("/v1/tenants/create", json={"id": "new", "name": "New"})
        (line,) = await opened.ended(("/base.v1.Tenancy/Create", "UNIMPLEMENTED"))
        assert line["tenant"] == "new"
