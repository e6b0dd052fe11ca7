"""One watcher at one watch service: what asking is, why it ends, and asking with its own call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import structlog
from grpc import aio

from grantlog.api.v1 import service_pb2
from grantlog.errors import GrantlogError, LimitError, UnavailableError
from grantlog.serving.watch_message import WatchMessage
from grantlog.serving.watching import METHOD
from grantlog.wire.status import Code, error_of
from grantlog_api.watch_place import GoneError

_LOG: Final = structlog.get_logger("grantlog.watch")

Metadata: TypeAlias = tuple[tuple[str, str], ...]

_NOT_OURS: Final = frozenset(
    {Code.UNAVAILABLE, Code.UNKNOWN, Code.CANCELLED, Code.INTERNAL, Code.DEADLINE_EXCEEDED}
)
"""Codes that the transport makes when a connection breaks."""


@dataclass(frozen=True, slots=True)
class ProxyLimits:
    """The bounds of watching through services, in seconds."""

    heartbeat_s: float
    """A watcher hears so often where it stands."""
    answer_s_max: float = 5.0
    """A service that says nothing at all for so long is given up."""
    patience_s_max: float = 3.0
    """A watcher without a service is told so after this."""

    @property
    def silence_s_max(self) -> float:
        """A service that was heard and says nothing for so long is given up: it beats."""
        return max(1.5 * self.heartbeat_s, self.heartbeat_s + 2.0)


class Asking(Protocol):
    """A watcher at a service, until it is closed."""

    async def next(self) -> WatchMessage:
        """The next message.

        Raises:
            GrantlogError: what the service ended it with, or `end` did, for the watcher to hear.
            GoneError: another service may do better.
        """
        ...

    def end(self, error: GrantlogError) -> None:
        """Nothing comes any more but this."""
        ...

    def close(self) -> None:
        """The watcher has left; twice is once."""
        ...


class Calls:
    """Watchers with a call of base.v1.Watch each, as services of every version answer it."""

    def __init__(self, channel: aio.Channel, limits: ProxyLimits) -> None:
        self._stub: Callable[..., Any] = channel.unary_stream(
            METHOD,
            request_serializer=service_pb2.WatchRequest.SerializeToString,
            response_deserializer=service_pb2.WatchResponse.FromString,
        )
        self._limits = limits

    def ask(self, request: service_pb2.WatchRequest, metadata: Metadata) -> Asking:
        """Begin to watch."""
        return _Call(self._stub(request, metadata=metadata), self._limits)


class _Call:
    """A watcher's call: an `Asking`."""

    def __init__(self, call: Any, limits: ProxyLimits) -> None:
        self._call = call
        self._messages = aiter(call)
        self._limits = limits
        self._silence_s_max = limits.answer_s_max
        self._ended: GrantlogError | None = None

    async def next(self) -> WatchMessage:
        """As `Asking.next`."""
        try:
            async with asyncio.timeout(self._silence_s_max):
                message = await anext(self._messages, None)
        except TimeoutError as error:
            raise silent(self._silence_s_max) from error
        except aio.AioRpcError as error:
            raise call_ended(error) from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if self._ended is None or (task is not None and task.cancelling()):
                raise
            raise self._ended from error
        if message is None:
            raise GoneError("it ended the stream")
        self._silence_s_max = self._limits.silence_s_max
        return WatchMessage.of(message)

    def end(self, error: GrantlogError) -> None:
        """As `Asking.end`."""
        self._ended = error
        self._call.cancel()

    def close(self) -> None:
        """As `Asking.close`."""
        self._call.cancel()


def silent(seconds: float) -> GoneError:
    """A service said nothing for so long."""
    return GoneError(f"it said nothing for {seconds:g} seconds")


def call_ended(error: aio.AioRpcError) -> GrantlogError | GoneError:
    """What a call's failure is to the watcher: the service's word, or a reason to ask another."""
    return ended(*status_of_call(error))


def status_of_call(error: aio.AioRpcError) -> tuple[Code, str, bytes]:
    """Code, text and serialised details that a call ended with."""
    trailers = dict(error.trailing_metadata() or ())
    details = trailers.get("grpc-status-details-bin")
    code = Code(error.code().value[0])
    return code, error.details() or "", details if isinstance(details, bytes) else b""


def ended(code: Code, text: str, details: bytes) -> GrantlogError | GoneError:
    """What the status of a watcher's end is to it: the service's word, or a reason to ask another.

    Args:
        code: of the gRPC status.
        text: of the gRPC status.
        details: its `grpc-status-details-bin`.
    """
    if code is Code.OK:
        return GoneError("it ended the stream")
    told = error_of(code, text, details)
    if told is None:
        if code not in _NOT_OURS:
            _LOG.error("a watch service answers otherwise", code=code.name, said=text)
        return GoneError(f"{code.name} {text}".strip())
    if isinstance(told, UnavailableError) or told.reason == LimitError.default_reason:
        return GoneError(told.explanation, told)
    return told
