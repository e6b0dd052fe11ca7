"""The whole API in the test's own process: its wiring over a database, behind real doors."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from grantlog_api import rest_door
from grantlog_api.settings import ApiSettings
from grantlog_api.wiring import Api, open_api
from grpc import aio

from grantlog.serving import grpc_door
from grantlog.wire.protojson import decode_object
from grantlog.wire.transcode import ROUTES, Route

OF_METHOD = {f"{route.service}.{route.method}": route for route in ROUTES}
"""Routes by their short name, `Permission.Check`."""


@dataclass
class WholeApi:
    """A served API and a client of each door."""

    channel: aio.Channel
    rest: httpx.AsyncClient
    grpc_address: str

    def call(self, method: str, body: dict[str, Any], **how: Any) -> Any:
        """Call over gRPC what REST would be told with this body; a call object of grpc.aio."""
        route = OF_METHOD[method]
        kind = "unary_stream" if route.server_streaming else "unary_unary"
        stub = getattr(self.channel, kind)(
            route.full_method,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=route.response_class.FromString,
        )
        return stub(decode_object(route.request_class, body), **how)

    async def post(self, method: str, body: dict[str, Any], **how: Any) -> httpx.Response:
        """Call over REST."""
        route = OF_METHOD[method]
        content = {"json": body} if route.body else {}
        return await self.rest.request(route.verb, path_of(route, body), **content, **how)


def path_of(route: Route, body: dict[str, Any]) -> str:
    """The path of a call, its variables taken from the body."""
    return route.path_template.format(**{"tenant_id": "", "id": "", **body})


async def result(call: Any) -> Any:
    """The answer of a call over gRPC, or all messages of a stream."""
    return [m async for m in call] if isinstance(call, aio.UnaryStreamCall) else await call


@dataclass(frozen=True)
class Served:
    """Where the two doors of a served API are."""

    grpc_address: str
    rest_url: str


@asynccontextmanager
async def served(
    api: Api, *, grpc_server: str = "grpcio", stall_s_max: float = 20.0
) -> AsyncIterator[Served]:
    """Serve both doors on free ports for the block; a failure of the block is raised as it is,
    once the doors are closed.
    """
    stop = asyncio.Event()
    server = grpc_door.build_server(grpc_server)
    grpc_door.add_services(server, api.calls, api.probe, stall_s_max=stall_s_max)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    app = rest_door.build_app(
        api.calls,
        api.probe,
        allowed_origins=["*"],
        stall_s_max=stall_s_max,
        metrics=api.metrics,
    )
    # With its protocol named, asyncio sets TCP_NODELAY as uvloop always does.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    rest = f"http://127.0.0.1:{listener.getsockname()[1]}"
    failure: BaseException | None = None
    async with asyncio.TaskGroup() as doors:
        doors.create_task(grpc_door.serve(server, stop, drain_s_max=1))
        doors.create_task(rest_door.serve(app, listener, stop, drain_s_max=1))
        try:
            yield Served(address, rest)
        except BaseException as error:  # noqa: BLE001 - raised again, once the doors are closed
            failure = error
        api.watches.close()
        stop.set()
    if failure is not None:
        raise failure


@asynccontextmanager
async def whole_api(
    dsn: str, *, grpc_server: str = "grpcio", stall_s_max: float = 20.0, **settings: Any
) -> AsyncIterator[WholeApi]:
    """Serve over a migrated database, on free ports, for the block."""
    read = ApiSettings(
        database_url=dsn,  # type: ignore[arg-type]
        grpc_server=grpc_server,  # type: ignore[arg-type]
        **settings,
    )
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    async with (
        open_api(read) as api,
        served(api, grpc_server=read.grpc_server, stall_s_max=stall_s_max) as doors,
        aio.insecure_channel(doors.grpc_address, options=options) as channel,
        httpx.AsyncClient(base_url=doors.rest_url, timeout=60) as client,
    ):
        await channel.channel_ready()
        yield WholeApi(channel, client, doors.grpc_address)
