"""The REST door: every RPC transcoded from its annotation, in FastAPI with an OpenAPI page."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any, Final

import orjson
import uvicorn
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from grantlog.errors import LimitError, NotImplementedYetError
from grantlog.wire import protojson
from grantlog.wire.openapi import openapi_document
from grantlog.wire.status import WireStatus, error_body
from grantlog.wire.transcode import ROUTES, Route, bind
from grantlog_api.calls import Calls, failed
from grantlog_api.health import HealthProbe

BODY_BYTES_MAX: Final = 4 * 1024 * 1024
_JSON: Final = "application/json"
_HEADERS: Final = {"Grpc-Metadata-Content-Type": "application/grpc"}
_NOT_FOUND: Final = orjson.dumps({"code": 5, "message": "Not Found", "details": []})
_WRONG_VERB: Final = orjson.dumps({"code": 12, "message": "Method Not Allowed", "details": []})


def build_app(calls: Calls, probe: HealthProbe, *, allowed_origins: list[str]) -> ASGIApp:
    """The ASGI application: the contract's paths, /healthz, /docs and /openapi.json."""
    app = FastAPI(title="Grantlog", docs_url="/docs", redoc_url=None, redirect_slashes=False)
    for route in ROUTES:
        app.add_route(route.path_template, _endpoint(route, calls), methods=[route.verb])
    app.add_route("/healthz", _healthz(probe), methods=["GET"])
    document = openapi_document()
    app.openapi = lambda: document
    app.add_exception_handler(404, _answer(_NOT_FOUND, 404))
    app.add_exception_handler(405, _answer(_WRONG_VERB, 501))
    return CORSMiddleware(
        app,
        allow_origins=allowed_origins,
        allow_methods=["GET", "POST", "HEAD", "PATCH", "DELETE", "PUT"],
        allow_headers=["*"],
    )


def _endpoint(route: Route, calls: Calls) -> Any:
    async def answer(request: Request) -> Response:
        try:
            body = await _read_body(request)
            message = bind(route, request.path_params, request.query_params, body)
            if route.server_streaming:
                raise NotImplementedYetError(
                    f"{route.full_method} is not served by this version yet"
                )
            response = await calls.unary(route.full_method, message)
            return Response(protojson.encode(response), media_type=_JSON, headers=_HEADERS)
        except Exception as error:  # noqa: BLE001 - a door: every failure gets a status
            return _failure(failed(route.full_method, error), wrapped=route.server_streaming)

    return answer


def _failure(status: WireStatus, *, wrapped: bool) -> Response:
    body: Any = error_body(status)
    if wrapped:
        body = {"error": body}
    return Response(orjson.dumps(body), status_code=status.http, media_type=_JSON)


async def _read_body(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise LimitError(f"the request body is larger than {BODY_BYTES_MAX} bytes")
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _healthz(probe: HealthProbe) -> Any:
    async def answer(request: Request) -> Response:
        del request
        serving = await probe.serving()
        body = orjson.dumps({"status": "SERVING" if serving else "NOT_SERVING"})
        return Response(body, status_code=200 if serving else 503, media_type=_JSON)

    return answer


def _answer(body: bytes, status_code: int) -> Any:
    async def answer(request: Request, error: Exception) -> Response:
        del request, error
        return Response(body, status_code=status_code, media_type=_JSON)

    return answer


class _Server(uvicorn.Server):
    """uvicorn without signal handlers of its own: the supervisor has them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
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
    )
    server = _Server(config)

    async def end() -> None:
        await stop.wait()
        server.should_exit = True

    async with asyncio.TaskGroup() as group:
        group.create_task(end(), name="rest-stop")
        await server.serve(sockets=[listener])


