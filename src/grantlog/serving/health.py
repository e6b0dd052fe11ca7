"""Whether this node can do its work: the database answers and the follower beats."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

import grpc
import structlog
from grpc_health.v1 import health_pb2

from grantlog.errors import GrantlogError

MethodHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

_LOG = structlog.get_logger("grantlog.api")
WATCH_POLL_S: Final = 1.0
PROBE_TIMEOUT_S: Final = 2.0


class HealthProbe:
    """Answers "is this node serving?" by asking the database, at most once at a time."""

    def __init__(
        self,
        probe: Callable[[], Awaitable[str]],
        replicas: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """`probe` returns "" when all is well, else what is not.

        `replicas` says of each replica, by its number, whether it is read: "in", or why not.
        """
        self._probe = probe
        self.replicas = replicas
        self._lock = asyncio.Lock()
        self._draining = False
        self._told = ""
        self._has_served = False

    def drain(self) -> None:
        """From now on: not serving."""
        self._draining = True

    async def trouble(self) -> str:
        """What keeps this node from serving; "" if nothing does."""
        if self._draining:
            return "shutting down"
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S), self._lock:
                return await self._probe()
        except TimeoutError:
            return "the database does not answer in time"
        except GrantlogError as error:
            return error.explanation or error.reason

    async def serving(self) -> bool:
        """Whether this node is serving; a change is logged."""
        trouble = await self.trouble()
        if trouble != self._told:
            self._told = trouble
            if trouble:
                tell = _LOG.warning if self._has_served else _LOG.info  # a start takes its time
                tell("not serving", because=trouble)
            else:
                self._has_served = True
                _LOG.info("serving")
        return not trouble


def grpc_health_handlers(probe: HealthProbe) -> dict[str, MethodHandler]:
    """The methods of grpc.health.v1.Health over the probe."""

    async def status() -> health_pb2.HealthCheckResponse:
        serving = await probe.serving()
        values = health_pb2.HealthCheckResponse
        return health_pb2.HealthCheckResponse(
            status=values.SERVING if serving else values.NOT_SERVING
        )

    async def check(request: Any, context: Any) -> health_pb2.HealthCheckResponse:
        del request, context
        return await status()

    async def watch(request: Any, context: Any) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        del request, context
        last = None
        while True:
            now = await status()
            if last is None or now.status != last.status:
                yield now
            last = now
            await asyncio.sleep(WATCH_POLL_S)

    decode = health_pb2.HealthCheckRequest.FromString
    encode = health_pb2.HealthCheckResponse.SerializeToString
    return {
        "Check": grpc.unary_unary_rpc_method_handler(
            check, request_deserializer=decode, response_serializer=encode
        ),
        "Watch": grpc.unary_stream_rpc_method_handler(
            watch, request_deserializer=decode, response_serializer=encode
        ),
    }
