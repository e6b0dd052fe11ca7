"""What both doors do with a call: validate, bound in time, handle, log. No transport here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import aclosing, asynccontextmanager
from types import MappingProxyType
from typing import Any, Final

import structlog
from google.protobuf.message import Message

from grantlog.app.as_of import AsOf, parse_as_of
from grantlog.errors import (
    InvalidInputError,
    LimitError,
    NotImplementedYetError,
    SlowReaderError,
    UnavailableError,
)
from grantlog.wire.status import WireStatus, status_of
from grantlog.wire.validate import validate
from grantlog_api.metadata import request_metadata

Handler = Callable[[Any], Awaitable[Message]]
PastHandler = Callable[[Any, AsOf | None], Awaitable[Message]]
"""Of a call that can be answered as of the past."""

AS_OF: Final = "grantlog-as-of"
"""Metadata key and HTTP header: answer as of exactly this revision or time."""
StreamHandler = Callable[[Any], AsyncGenerator[Message]]

_LOG = structlog.get_logger("grantlog.api")

STREAMS_MAX: Final = 500


class Calls:
    """Answers calls by their full method, `/base.v1.Permission/Check`.

    Args:
        handlers: of calls with one answer, as of now alone.
        streams: of calls with a stream of answers.
        past_handlers: of calls with one answer, as of the past too.
        timeout_s: bound of a call, of its request's arrival, and of the silence between two
            messages of a stream.
        streams_max: streams that may be open at once.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        streams: Mapping[str, StreamHandler] = MappingProxyType({}),
        past_handlers: Mapping[str, PastHandler] = MappingProxyType({}),
        *,
        timeout_s: float,
        streams_max: int = STREAMS_MAX,
    ) -> None:
        self._handlers = handlers
        self._past_handlers = past_handlers
        self._streams = streams
        self.timeout_s = timeout_s
        self._streams_max = streams_max
        self._streams_open = 0

    @property
    def past_methods(self) -> AbstractSet[str]:
        """The calls that can be answered as of the past."""
        return self._past_handlers.keys()

    async def unary(self, full_method: str, request: Message, as_of: str | None = None) -> Message:
        """Validate and answer a request.

        Raises:
            GrantlogError: what the caller is to be told.
            TimeoutError: it took longer than the bound of every call.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        validate(request)
        answer = self._answer(full_method, request, as_of)
        async with asyncio.timeout(self.timeout_s):
            response = await answer
        _LOG.debug("request answered", method=full_method, ms=1000 * (loop.time() - begun))
        return response

    def _answer(self, full_method: str, request: Message, as_of: str | None) -> Awaitable[Message]:
        past_handler = self._past_handlers.get(full_method)
        if past_handler is not None:
            return past_handler(request, parse_as_of(as_of) if as_of is not None else None)
        handler = self._handlers.get(full_method)
        if handler is None:
            raise _not_served(full_method)
        if as_of is not None:
            raise _of_now_alone(full_method)
        return handler(request)

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
        if AS_OF in request_metadata():
            raise _of_now_alone(full_method)
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
        async with asyncio.timeout(self.timeout_s):
            return await anext(messages, None)


def _not_served(full_method: str) -> NotImplementedYetError:
    return NotImplementedYetError(f"{full_method} is not served by this version yet")


def _of_now_alone(full_method: str) -> InvalidInputError:
    return InvalidInputError(
        f"{full_method} cannot be asked as of the past: leave {AS_OF} out", reason="INVALID_AS_OF"
    )


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
    if status.is_our_fault:
        unexpected = not isinstance(error, UnavailableError)
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
