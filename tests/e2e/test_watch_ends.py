"""How watches end with a service, and how watchers go on: kill -9 and resume."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

import grpc
import httpx
from grpc import aio

from grantlog.api.v1 import service_pb2_grpc
from tests.e2e.conftest import Serve
from tests.e2e.watched import fact_of, heard, prepare, refused, sse, view, watching


async def test_ending_the_service_ends_watches_at_once_with_where_to_go_on(serve: Serve):
    served = await serve()
    async with (
        httpx.AsyncClient(base_url=served.rest, timeout=120) as api,
        aio.insecure_channel(served.grpc) as channel,
        api.stream("GET", "/v1/tenants/t1/watch/events") as response,
    ):
        events = sse(response)
        place, _, _ = await anext(events)
        call = watching(service_pb2_grpc.WatchStub(channel), "t1")
        await call.read()
        served.process.send_signal(signal.SIGTERM)
        error = await refused(call)
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert await fact_of(error) == place
        _, kind, data = await anext(events)
        assert (kind, data["code"]) == ("error", 14)
    assert await served.stop() == 0


async def test_after_kill_9_a_watcher_goes_on_where_it_was(serve: Serve):
    served = await serve()
    told: list[str] = []
    written: list[str] = []
    async with httpx.AsyncClient(base_url=served.rest, timeout=120) as api:
        await prepare(api, "t1")
        written.append(await view(api, "t1", "start"))
        token = written[0]
        async with aio.insecure_channel(served.grpc) as channel:
            call = watching(service_pb2_grpc.WatchStub(channel), "t1", token)
            async with asyncio.TaskGroup() as group:

                async def write() -> None:
                    with contextlib.suppress(httpx.HTTPError):
                        for number in range(10_000):
                            acknowledged = await view(api, "t1", f"d{number}")
                            written.append(acknowledged)

                writing = group.create_task(write())
                told += [c.snap_token for c in await heard(call, 30)]
                os.kill(served.pids()["api"], signal.SIGKILL)
                await writing
    await served.ended()
    again = await serve()
    async with aio.insecure_channel(again.grpc) as channel:
        call = watching(service_pb2_grpc.WatchStub(channel), "t1", told[-1])
        rest = len(written) - 1 - len(told)  # -1 if the last one told was not acknowledged
        told += [c.snap_token for c in await heard(call, rest)]
        call.cancel()
    assert told[: len(written) - 1] == written[1:]
