"""What both doors do with a call: validate, bound in time, handle, log. No transport here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from types import MappingProxyType
from typing import Any, Final

import structlog
from google.protobuf.message import Message

from grantlog.errors import LimitError, NotImplementedYetError, SlowReaderError
from grantlog.wire.status import WireStatus, status_of
from grantlog.wire.validate import validate

Handler = Callable[[Any], Awaitable[Message]]
StreamHandler = Callable[[Any], AsyncGenerator[Message]]

_LOG = structlog.get_logger("grantlog.api")
_OURS: Final = frozenset({2, 13, 14, 15})
"""gRPC codes that are this server's fault: UNKNOWN, INTERNAL, UNAVAILABLE, DATA_LOSS."""

STREAMS_MAX: Final = 500


class Calls:
    """Answers calls by their full method, `/base.v1.Permission/Check`.

    Args:
        handlers: of calls with one answer.
        streams: of calls with a stream of answers.
        timeout_s: bound of a call, and of the silence between two messages of a stream.
        streams_max: streams that may be open at once.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        streams: Mapping[str, StreamHandler] = MappingProxyType({}),
        *,
        timeout_s: float,
        streams_max: int = STREAMS_MAX,
    ) -> None:
        self._handlers = handlers
        self._streams = streams
        self._timeout_s = timeout_s
        self._streams_max = streams_max
        self._streams_open = 0

    async def unary(self, full_method: str, request: Message) -> Message:
        """Validate and answer a request.

        Raises:
            GrantlogError: what the caller is to be told.
            TimeoutError: it took longer than the bound of every call.
        """
        validate(request)
        handler = self._handlers.get(full_method)
        if handler is None:
            raise _not_served(full_method)
        async with asyncio.timeout(self._timeout_s):
            return await handler(request)

    async def stream(self, full_method: str, request: Message) -> AsyncGenerator[Message]:
        """Validate a request and answer it message by message; closing it ends the work.

        How long a reader takes between messages is the door's business.

        Raises:
            GrantlogError: what the caller is to be told.
            LimitError: as many streams are open as may be.
            TimeoutError: nothing came for as long as a call may take.
        """
        validate(request)
        handler = self._streams.get(full_method)
        if handler is None:
            raise _not_served(full_method)
        if self._streams_open >= self._streams_max:
            raise LimitError(
                f"this node has {self._streams_max} streams open, as many as it may: "
                "end some, or use another node"
            )
        self._streams_open += 1
        try:
            async with aclosing(handler(request)) as messages:
                while (message := await self._next(messages)) is not None:
                    yield message
        finally:
            self._streams_open -= 1

    async def _next(self, messages: AsyncIterator[Message]) -> Message | None:
        async with asyncio.timeout(self._timeout_s):
            return await anext(messages, None)


def _not_served(full_method: str) -> NotImplementedYetError:
    return NotImplementedYetError(f"{full_method} is not served by this version yet")


@asynccontextmanager
async def not_stalled(stall_s_max: float) -> AsyncGenerator[None]:
    """The block, which sends one message, ends in time.

    Raises:
        SlowReaderError: the reader left the message unread for too long.
    """
    try:
        async with asyncio.timeout(stall_s_max):
            yield
    except TimeoutError as error:
        raise SlowReaderError(
            f"the reader of this stream read nothing for {stall_s_max:g} seconds"
        ) from error


def failed(full_method: str, error: BaseException) -> WireStatus:
    """The status that a failed call ends with; logged here, once, if it is our fault."""
    status = status_of(error)
    if status.code in _OURS:
        unexpected = status.code != 14  # noqa: PLR2004 - UNAVAILABLE is expected to happen
        _LOG.error(
            "request failed",
            method=full_method,
            code=status.code,
            reason=str(error),
            exc_info=error if unexpected else None,
        )
    else:
        _LOG.debug("request refused", method=full_method, code=status.code, reason=status.message)
    return status
