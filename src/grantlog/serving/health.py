"""Whether this node can do its work, and what of it works less well for now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import grpc
import structlog
from grpc_health.v1 import health_pb2

from grantlog.errors import GrantlogError

MethodHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

_LOG = structlog.get_logger("grantlog.api")
WATCH_POLL_S: Final = 1.0
PROBE_TIMEOUT_S: Final = 2.0
DEGRADED_TOLD_S: Final = 5.0
"""What is degraded for less long is no warning: whatever is started takes a moment."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a node says of itself.

    Attributes:
        because: what keeps it from serving; "" if it serves.
        degraded: what works less well, though it serves: calls are answered, and right.
    """

    because: str = ""
    degraded: str = ""

    @property
    def serving(self) -> bool:
        """Whether calls should be sent here."""
        return not self.because

    @property
    def word(self) -> str:
        """In the words of grpc.health.v1."""
        return "SERVING" if self.serving else "NOT_SERVING"


class HealthProbe:
    """Answers "is this node serving?" by asking the database, at most once at a time."""

    def __init__(
        self,
        probe: Callable[[], Awaitable[str]],
        replicas: Callable[[], Mapping[str, str]] = dict,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`probe` raises what keeps the node from serving, and returns what is degraded or "".

        `replicas` says of each replica, by its number, whether it is read: "in", or why not;
        `clock` counts seconds.
        """
        self._probe = probe
        self.replicas = replicas
        self._lock = asyncio.Lock()
        self._draining = False
        self._clock = clock
        self._told = ""
        self._has_served = False
        self._degraded_since: float | None = None
        self._told_degraded = ""

    def drain(self) -> None:
        """From now on: not serving."""
        self._draining = True

    async def health(self) -> Health:
        """How this node does; a change is logged."""
        health = await self._asked()
        self._tell(health.because)
        if health.serving:
            self._tell_degraded(health.degraded)
        return health

    async def serving(self) -> bool:
        """Whether this node is serving."""
        return (await self.health()).serving

    async def _asked(self) -> Health:
        if self._draining:
            return Health("shutting down")
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S), self._lock:
                return Health(degraded=await self._probe())
        except TimeoutError:
            return Health("the database does not answer in time")
        except GrantlogError as error:
            return Health(error.explanation or error.reason)

    def _tell(self, because: str) -> None:
        if because == self._told and self._has_served:
            return
        if because:
            if because != self._told:
                tell = _LOG.warning if self._has_served else _LOG.info  # a start takes its time
                tell("not serving", because=because)
        else:
            self._has_served = True
            _LOG.info("serving")
        self._told = because

    def _tell_degraded(self, degraded: str) -> None:
        if not degraded:
            if self._told_degraded:
                _LOG.info("not degraded any more")
            self._degraded_since, self._told_degraded = None, ""
            return
        now = self._clock()
        if self._degraded_since is None:
            self._degraded_since = now
        if degraded != self._told_degraded and now - self._degraded_since >= DEGRADED_TOLD_S:
            _LOG.warning("degraded", because=degraded)
            self._told_degraded = degraded


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
