"""The REST door: every RPC transcoded from its annotation, in FastAPI with an OpenAPI page."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping
from functools import partial
from http import HTTPStatus
from time import perf_counter
from typing import Any, Final, cast

import orjson
import uvicorn
from fastapi import FastAPI
from google.protobuf.message import Message
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from grantlog.serving.calls import Calls
from grantlog.serving.health import HealthProbe
from grantlog.serving.metadata import (
    ANSWERED,
    PREFIX,
    collect_answer_metadata,
    set_request_metadata,
)
from grantlog.serving.metrics import CONTENT_TYPE, Family, exposition
from grantlog.wire import protojson
from grantlog.wire.http_errors import UnroutedError
from grantlog.wire.openapi import NDJSON, openapi_document
from grantlog.wire.transcode import find_route
from grantlog_api.rest_body import bound, read_body
from grantlog_api.rest_errors import JSON, always_answered, failure, speak_json, unrouted
from grantlog_api.rest_leaving import while_connected
from grantlog_api.rest_protocol import CONNECTIONS_MAX, BoundedHttp
from grantlog_api.rest_short import ShortWay
from grantlog_api.rest_stream import LINES, NDJSON_LINES, StreamResponse
from grantlog_api.rest_watch import EVENTS_PATH, events, metadata_of

_METADATA: Final = PREFIX.encode()
_CONTRACT: Final = "/v1/"
_OWN: Final = "/events"
"""How paths end that are ours, beside the contract's."""
_CLIENT_CLOSED: Final = 499
_LAST_WORDS_S_MAX: Final = 1.0
"""How long calls that draining has cut may take to say so."""
_VERBS: Final = ("GET", "POST", "HEAD", "PATCH", "DELETE", "PUT", "OPTIONS")


def build_app(
    calls: Calls,
    probe: HealthProbe,
    *,
    allowed_origins: list[str],
    stall_s_max: float = 30.0,
    metrics: Callable[[], Iterable[Family]] = tuple,
) -> RestApp:
    """The ASGI application: the contract's paths, those for operators, /docs and /openapi.json.

    Args:
        calls: what answers.
        probe: what /healthz says; /livez asks nobody.
        allowed_origins: whose pages may call.
        stall_s_max: how long the reader of a stream may leave a message unread.
        metrics: what /metrics says.
    """
    app = FastAPI(title="Grantlog", docs_url="/docs", redoc_url=None, redirect_slashes=False)
    speak_json(app)
    app.add_route("/healthz", _healthz(probe), methods=["GET"])
    app.add_route("/livez", _livez, methods=["GET"])
    app.add_route("/metrics", _metrics(metrics), methods=["GET"])
    app.add_route(EVENTS_PATH, events(calls, stall_s_max), methods=["GET"])
    contract = _contract(calls, stall_s_max)
    app.router.default = contract
    document = openapi_document(calls.methods_with_terms)
    app.openapi = lambda: document
    whole = CORSMiddleware(
        always_answered(app),
        allow_origins=allowed_origins,
        allow_methods=_VERBS,
        allow_headers=["*"],
        expose_headers=ANSWERED,
    )
    return RestApp(calls, always_answered(contract), whole)


class RestApp:
    """The application, and the calls that a server may answer without it."""

    def __init__(self, calls: Calls, contract: ASGIApp, whole: ASGIApp) -> None:
        self.calls = calls
        self._contract = contract
        self._whole = whole

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What a program posts to the contract goes past the framework, which would hand it on."""
        plain = (
            scope["type"] == "http"
            and scope["method"] == "POST"
            and scope["path"].startswith(_CONTRACT)
            and not scope["path"].endswith(_OWN)
            and not any(name == b"origin" for name, _ in scope["headers"])
        )
        await (self._contract if plain else self._whole)(scope, receive, send)


def _contract(calls: Calls, stall_s_max: float) -> ASGIApp:
    """Answers every path of the contract; routed by the encoded path, as %2F ends no segment."""

    async def answer(request: Request) -> Response:
        streaming = False
        method = ""
        message: Message | None = None
        begun = perf_counter()
        try:
            raw_path = request.scope["raw_path"].decode("latin-1")
            route, variables = find_route(request.method, raw_path)
            streaming, method = route.server_streaming, route.full_method
            with calls.bounded():
                body = await read_body(request) if route.body else b""
                query = () if route.body else request.query_params.multi_items()
                message = await bound(route, variables, query, body)
            said = collect_answer_metadata()
            if streaming:
                set_request_metadata(metadata_of(request))
                messages = calls.stream(method, message)
                framing = NDJSON_LINES if NDJSON in request.headers.get("accept", "") else LINES
                failed = partial(calls.failed, method, begun=begun, request=message)
                return StreamResponse(failed, messages, framing, said, stall_s_max=stall_s_max)
            set_request_metadata(_metadata(request.scope))
            answering = calls.unary(method, message, begun)
            response = await while_connected(request.scope, request.receive, answering)
            return _Answer(protojson.encode(response), said)
        except ClientDisconnect:
            return Response(status_code=_CLIENT_CLOSED)
        except UnroutedError as error:
            return unrouted(request, error.allowed)
        except Exception as error:  # noqa: BLE001 - a door: every failure gets a status
            return failure(calls.failed(method, error, begun, message), streaming=streaming)

    async def answer_asgi(scope: Scope, receive: Receive, send: Send) -> None:
        response = await answer(Request(scope, receive))
        await response(scope, receive, send)

    return answer_asgi


def _metadata(scope: Scope) -> Iterator[tuple[str, str]]:
    """The headers that may be metadata, decoded; others are left alone."""
    for name, value in scope["headers"]:
        if name.startswith(_METADATA):
            yield name.decode("latin-1"), value.decode("latin-1")


class _Answer(Response):
    """A message as JSON; makes its headers without starlette's ways for all kinds of them."""

    def __init__(self, body: bytes, said: Mapping[str, str]) -> None:
        self.status_code = HTTPStatus.OK
        self.background = None
        self.body = body
        self.raw_headers = [
            (b"grpc-metadata-content-type", b"application/grpc"),
            *((name.encode(), value.encode("latin-1")) for name, value in said.items()),
            (b"content-length", b"%d" % len(body)),
            (b"content-type", JSON.encode()),
        ]


def _healthz(probe: HealthProbe) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        del request
        health = await probe.health()
        told: dict[str, object] = {"status": health.word}
        if not health.serving:
            told["because"] = health.because
        elif health.degraded:
            told["degraded"] = health.degraded
        if replicas := probe.replicas():
            told["replicas"] = dict(replicas)
        body = orjson.dumps(told)
        return Response(body, status_code=200 if health.serving else 503, media_type=JSON)

    return answer


def _metrics(families: Callable[[], Iterable[Family]]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        del request
        return Response(exposition(families()), media_type=CONTENT_TYPE)

    return answer


async def _livez(request: Request) -> Response:
    """The process answers: whoever restarts what hangs must not restart what waits for others."""
    del request
    return Response(b'{"status":"ALIVE"}', media_type=JSON)


class _Server(uvicorn.Server):
    """uvicorn without signal handlers of its own: the supervisor has them."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self.told_started = started

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.told_started()


async def serve(
    app: ASGIApp,
    listener: socket.socket,
    stop: asyncio.Event,
    *,
    drain_s_max: float,
    started: Callable[[], None] = lambda: None,
) -> None:
    """Serve on a bound socket until `stop`, then let running requests end.

    Args:
        app: what answers; of a RestApp, the server answers short calls itself.
        listener: listens already.
        stop: ends it.
        drain_s_max: how long running requests may take then.
        started: called once requests are taken.
    """
    short = ShortWay(app.calls) if isinstance(app, RestApp) else None
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nobody here asks where a request came from
        timeout_graceful_shutdown=max(1, round(drain_s_max)),
        http=cast("Any", partial(BoundedHttp, short=short)),
        limit_concurrency=CONNECTIONS_MAX,
    )
    server = _Server(config, started)

    async def end() -> None:
        await stop.wait()
        server.should_exit = True

    async with asyncio.TaskGroup() as group:
        group.create_task(end(), name="rest-stop")
        await server.serve(sockets=[listener])
        if cut := set(server.server_state.tasks):
            await asyncio.wait(cut, timeout=_LAST_WORDS_S_MAX)
