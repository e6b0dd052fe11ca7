"""The gRPC door: plain grpc.aio handlers, on the native server where its wheel exists."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import aclosing
from importlib.util import find_spec
from time import perf_counter
from typing import Any, Final, Literal, NoReturn, cast

import grpc
from google.protobuf.message import DecodeError, Message
from grpc import aio
from grpc_health.v1 import health_pb2

from grantlog.errors import InvalidInputError, PreconditionError
from grantlog.serving.calls import Calls, Streamed, failed, not_stalled
from grantlog.serving.grpc_describing import describe
from grantlog.serving.health import HealthProbe, MethodHandler, grpc_health_handlers
from grantlog.serving.metadata import collect_answer_metadata, set_request_metadata
from grantlog.serving.plain_call import Metadata, PlainAnswer, RefusedError
from grantlog.serving.ports import GRPC_PORT, address, bound
from grantlog.wire.status import WireStatus, details_trailer
from grantlog.wire.transcode import ROUTES, Route

MESSAGE_BYTES_MAX: Final = 4 * 1024 * 1024
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_HEALTH_SERVICE: Final = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

Kind = Literal["auto", "native", "grpcio"]


def build_server(
    kind: Kind, *, share_port: bool = False, send_bytes_max: int = MESSAGE_BYTES_MAX
) -> aio.Server:
    """A server of the asked kind; `auto` prefers the native one.

    With `share_port` other processes of this user may listen on its port too. A message that it
    sends has at most `send_bytes_max`.

    Raises:
        PreconditionError: the native server is asked for and there is no wheel of it here.
    """
    options = [
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        ("grpc.max_send_message_length", send_bytes_max),
        ("grpc.so_reuseport", int(share_port)),
    ]
    native = find_spec("pygrpc_native") is not None
    if kind == "grpcio" or (kind == "auto" and not native):
        return aio.server(options=options)
    if not native:
        raise PreconditionError(
            "--grpc-server native: pygrpc-native has no wheel for this platform; use grpcio"
        )
    # There is not a wheel for every platform.
    from grantlog.serving.native_server import NativeServer  # noqa: PLC0415 - as said above

    return NativeServer(options=options, request_bytes_max=MESSAGE_BYTES_MAX)


def add_services(
    server: aio.Server,
    calls: Calls,
    probe: HealthProbe,
    *,
    stall_s_max: float = 30.0,
    routes: Sequence[Route] = ROUTES,
) -> None:
    """Register RPCs of the contract, health and reflection.

    Args:
        server: the server, not started yet.
        calls: what answers.
        probe: what health says.
        stall_s_max: how long the reader of a stream may leave a message unread.
        routes: the RPCs; all of the contract's unless it is said.
    """
    services: dict[str, dict[str, MethodHandler]] = defaultdict(dict)
    plain: dict[str, PlainAnswer] = {}
    for route in routes:
        service = route.full_method.split("/")[1]
        if not route.server_streaming:
            plain[route.full_method] = _plain(route, calls)
        services[service][route.method] = _handler(route, calls, stall_s_max)
    add_plain = getattr(server, "add_plain", None)  # of the native server alone
    if add_plain is not None:
        add_plain(plain)
    services[_HEALTH_SERVICE] = grpc_health_handlers(probe)
    for service, handlers in services.items():
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        cast("Any", server).add_registered_method_handlers(service, handlers)  # not in the stubs
    describe(server, list(services))


def _handler(route: Route, calls: Calls, stall_s_max: float) -> MethodHandler:
    # Requests are parsed by the handler: what does not parse is the caller's mistake, and the
    # servers would call it theirs.
    if route.server_streaming:
        return grpc.unary_stream_rpc_method_handler(
            _streaming(route, calls, stall_s_max),
            request_deserializer=None,
            response_serializer=_encoded,
        )
    return grpc.unary_unary_rpc_method_handler(_unary(_plain(route, calls)))


def _encoded(message: Streamed) -> bytes:
    return message.SerializeToString()


def _parsed(route: Route, request: bytes) -> Message:
    try:
        return route.request_class.FromString(request)
    except DecodeError as error:
        raise InvalidInputError(
            f"the request is no {route.request_class.__name__}: it is damaged, or nests too deep"
        ) from error


def _plain(route: Route, calls: Calls) -> PlainAnswer:
    """Answers calls of an RPC that has one answer, in bytes."""
    full_method = route.full_method

    async def answer(request: bytes, metadata: Metadata) -> tuple[bytes, Metadata]:
        begun = perf_counter()
        message: Message | None = None
        set_request_metadata(metadata)
        said = collect_answer_metadata()
        try:
            message = _parsed(route, request)
            response = await calls.unary(full_method, message, begun)
        except Exception as error:  # noqa: BLE001 - a door: every failure gets a status
            status = calls.failed(full_method, error, begun, message)
            raise RefusedError(status.code, status.message, details_trailer(status)) from None
        return response.SerializeToString(), tuple(said.items())

    return answer


def _unary(plain: PlainAnswer) -> Callable[..., Any]:
    """The same as a handler of grpc.aio."""

    async def answer(request: bytes, context: aio.ServicerContext[Any, Any]) -> bytes:
        try:
            response, trailers = await plain(request, _pairs(context))
        except RefusedError as refused:
            await context.abort(_CODES[refused.code], refused.message, tuple(refused.trailers))
        if trailers:
            context.set_trailing_metadata(tuple(trailers))
        return response

    return answer


def _pairs(context: aio.ServicerContext[Any, Any]) -> Metadata:
    return cast("Metadata", context.invocation_metadata() or ())


def _streaming(route: Route, calls: Calls, stall_s_max: float) -> Callable[..., Any]:
    full_method = route.full_method

    async def answer(request: bytes, context: aio.ServicerContext[Any, Any]) -> None:
        begun = perf_counter()
        asked: Message | None = None
        set_request_metadata(_pairs(context))
        said = collect_answer_metadata()
        try:
            asked = _parsed(route, request)
            async with aclosing(calls.stream(full_method, asked)) as messages:
                async for message in messages:
                    async with not_stalled(stall_s_max):
                        await context.write(message)
        except asyncio.CancelledError as left:
            calls.failed(full_method, left, begun, asked)
            raise
        except Exception as error:  # noqa: BLE001 - a door: every failure gets a status
            await end(context, calls.failed(full_method, error, begun, asked))
        if said:
            context.set_trailing_metadata(tuple(said.items()))

    return answer


async def abort(
    context: aio.ServicerContext[Any, Any], full_method: str, error: BaseException
) -> NoReturn:
    """End a call with an error's status."""
    await end(context, failed(full_method, error))


async def end(context: aio.ServicerContext[Any, Any], status: WireStatus) -> NoReturn:
    """End a call with a status."""
    await context.abort(_CODES[status.code], status.message, details_trailer(status))


def bind(server: aio.Server, host: str, port: int, *, shared: bool = False) -> int:
    """Bind the server's port, or a free one where that is 0; the port.

    Args:
        server: as `build_server` made it.
        host: where to listen.
        port: 0 picks a free one.
        shared: as the server's `share_port`.

    Raises:
        PreconditionError: the port cannot be bound; the text says why.
    """
    bound(host, port, GRPC_PORT, shared=shared).close()  # the servers do not say why they cannot
    there = address(host, port)
    try:
        return server.add_insecure_port(there)
    except RuntimeError as error:
        raise PreconditionError(
            f"cannot listen on {there}: choose another port with {GRPC_PORT}"
        ) from error


async def serve(
    server: aio.Server,
    stop: asyncio.Event,
    *,
    drain_s_max: float,
    started: Callable[[], None] = lambda: None,
) -> None:
    """Serve until `stop`, then refuse new calls and let running ones end.

    Args:
        server: bound.
        stop: ends it.
        drain_s_max: how long running calls may take then.
        started: called once calls are taken.
    """
    await server.start()
    started()
    await stop.wait()
    await server.stop(drain_s_max)
