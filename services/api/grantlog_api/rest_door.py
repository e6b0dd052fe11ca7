"""The REST door: every RPC transcoded from its annotation, in FastAPI with an OpenAPI page."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Generator
from typing import Final

import orjson
import uvicorn
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from grantlog.errors import LimitError
from grantlog.wire import protojson
from grantlog.wire.openapi import openapi_document
from grantlog.wire.status import WireStatus, error_body, stream_error
from grantlog.wire.transcode import bind, find_route
from grantlog_api.calls import Calls, failed
from grantlog_api.health import HealthProbe
from grantlog_api.metadata import ANSWERED, collect_answer_metadata, set_request_metadata
from grantlog_api.rest_protocol import CONNECTIONS_MAX, BoundedHttp
from grantlog_api.rest_stream import LINES, StreamResponse
from grantlog_api.rest_watch import EVENTS_PATH, events, metadata_of

BODY_BYTES_MAX: Final = 4 * 1024 * 1024
_JSON: Final = "application/json"
_HEADERS: Final = {"Grpc-Metadata-Content-Type": "application/grpc"}
_CLIENT_CLOSED: Final = 499
_VERBS: Final = ("GET", "POST", "HEAD", "PATCH", "DELETE", "PUT", "OPTIONS")


def build_app(
    calls: Calls, probe: HealthProbe, *, allowed_origins: list[str], stall_s_max: float = 30.0
) -> ASGIApp:
    """The ASGI application: the contract's paths, /healthz, /docs and /openapi.json.

    Args:
        calls: what answers.
        probe: what /healthz says.
        allowed_origins: whose pages may call.
        stall_s_max: how long the reader of a stream may leave a message unread.
    """
    app = FastAPI(title="Grantlog", docs_url="/docs", redoc_url=None, redirect_slashes=False)
    app.add_route("/healthz", _healthz(probe), methods=["GET"])
    app.add_route(EVENTS_PATH, events(calls, stall_s_max), methods=["GET"])
    app.add_route("/{path:path}", _contract(calls, stall_s_max), methods=list(_VERBS))
    document = openapi_document()
    app.openapi = lambda: document
    return CORSMiddleware(
        app,
        allow_origins=allowed_origins,
        allow_methods=_VERBS,
        allow_headers=["*"],
        expose_headers=ANSWERED,
    )


def _contract(calls: Calls, stall_s_max: float) -> Callable[[Request], Awaitable[Response]]:
    """Answers every path of the contract; routed by the encoded path, as %2F ends no segment."""

    async def answer(request: Request) -> Response:
        streaming = False
        method = ""
        try:
            raw_path = request.scope["raw_path"].decode("latin-1")
            route, variables = find_route(request.method, raw_path)
            streaming, method = route.server_streaming, route.full_method
            async with asyncio.timeout(calls.timeout_s):
                body = await _read_body(request)
            message = bind(route, variables, request.query_params.multi_items(), body)
            said = collect_answer_metadata()
            if streaming:
                set_request_metadata(metadata_of(request))
                messages = calls.stream(method, message)
                return StreamResponse(method, messages, LINES, said, stall_s_max=stall_s_max)
            set_request_metadata(request.headers.items())
            response = await calls.unary(method, message)
            headers = {**_HEADERS, **said}
            return Response(protojson.encode(response), media_type=_JSON, headers=headers)
        except ClientDisconnect:
            return Response(status_code=_CLIENT_CLOSED)
        except Exception as error:  # noqa: BLE001 - a door: every failure gets a status
            return _failure(failed(method, error), streaming=streaming)

    return answer


def _failure(status: WireStatus, *, streaming: bool) -> Response:
    body = stream_error(status) if streaming else error_body(status)
    return Response(body, status_code=status.http, media_type=_JSON)


async def _read_body(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise LimitError(f"the request body is larger than {BODY_BYTES_MAX} bytes")
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _healthz(probe: HealthProbe) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        del request
        serving = await probe.serving()
        body = orjson.dumps({"status": "SERVING" if serving else "NOT_SERVING"})
        return Response(body, status_code=200 if serving else 503, media_type=_JSON)

    return answer


class _Server(uvicorn.Server):
    """uvicorn without signal handlers of its own: the supervisor has them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def serve(
    app: ASGIApp, listener: socket.socket, stop: asyncio.Event, *, drain_s_max: float
) -> None:
    """Serve on a bound socket until `stop`, then let running requests end."""
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(drain_s_max)),
        http=BoundedHttp,
        limit_concurrency=CONNECTIONS_MAX,
    )
    server = _Server(config)

    async def end() -> None:
        await stop.wait()
        server.should_exit = True

    async with asyncio.TaskGroup() as group:
        group.create_task(end(), name="rest-stop")
        await server.serve(sockets=[listener])
