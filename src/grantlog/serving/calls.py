"""What both doors do with a call: validate, bound in time, handle, log. No transport here."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import aclosing, asynccontextmanager
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import structlog
from google.protobuf.message import Message

from grantlog.app.terms import NO_TERMS, OfNow, Terms, parse_terms
from grantlog.errors import LimitError, NotImplementedYetError, SlowReaderError, UnavailableError
from grantlog.ports.standing import Standing, follow_standing
from grantlog.serving.call_counts import CallCounts
from grantlog.serving.call_lines import CallLines
from grantlog.serving.deadlines import Bounded, Deadlines
from grantlog.serving.metadata import (
    AGE,
    SOURCE,
    STANDS_AT,
    answer_metadata,
    request_metadata,
    require_known,
)
from grantlog.serving.watch_message import WatchMessage
from grantlog.wire.at_once import READERS
from grantlog.wire.status import Code, WireStatus, status_of
from grantlog.wire.validate import validate

Handler = Callable[[Any, Terms], Awaitable[Message]]
Streamed: TypeAlias = Message | WatchMessage
StreamHandler = Callable[[Any, Terms], AsyncGenerator[Streamed]]

_LOG = structlog.get_logger("grantlog.api")

STREAMS_MAX: Final = 500

ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of an answer as a message; gRPC clients refuse larger ones unless they are told otherwise."""


class Calls:
    """Answers calls by their full method, `/base.v1.Permission/Check`.

    Args:
        handlers: of calls with one answer; they are given the request, or what its reader of
            `wire.at_once` made of it.
        streams: of calls with a stream of answers.
        timeout_s: bound of a call, of its request's arrival, and of the silence between two
            messages of a stream.
        streams_max: streams that may be open at once.
        now: seconds, by the clock of `KnownHeads`.
        lines: told of every call, if each is to have a line in the log.

    Attributes:
        counts: of calls.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        streams: Mapping[str, StreamHandler] = MappingProxyType({}),
        *,
        timeout_s: float,
        streams_max: int = STREAMS_MAX,
        now: Callable[[], float] = time.monotonic,
        lines: CallLines | None = None,
    ) -> None:
        self._handlers = handlers
        self._streams = streams
        self._now = now
        self.timeout_s = timeout_s
        self._streams_max = streams_max
        self._deadlines = Deadlines(timeout_s)
        self._lines = lines
        self.counts = CallCounts(handlers, streams)

    @property
    def methods_with_terms(self) -> AbstractSet[str]:
        """The calls whose answer stands at a revision that the request may name."""
        handlers: Mapping[str, object] = {**self._handlers, **self._streams}
        return {name for name, handler in handlers.items() if not isinstance(handler, OfNow)}

    def bounded(self) -> Bounded:
        """The current task takes no longer than a call may, in the block that this manages.

        Raises:
            TimeoutError: it would have, on leaving the block.
        """
        return self._deadlines.bounded()

    async def unary(
        self, full_method: str, request: Message, begun: float | None = None
    ) -> Message:
        """Validate and answer a request, on the terms that the task's metadata say.

        Args:
            full_method: what is asked for.
            request: its message.
            begun: when it came, by `time.perf_counter`; now if None.

        Raises:
            GrantlogError: what the caller is to be told.
            LimitError: the answer is larger than a message may be.
            TimeoutError: it took longer than the bound of every call.
        """
        began = begun or time.perf_counter()
        read = READERS.get(full_method)
        asked: object = request
        if read is None:
            validate(request)
        else:
            asked = read(request)
        handler = self._handlers.get(full_method)
        if handler is None:
            raise _not_served(full_method)
        terms = _terms()
        standing = follow_standing()
        try:
            with self.bounded():
                response = await handler(asked, terms)
        except asyncio.CancelledError:
            self._ended(full_method, Code.CANCELLED, began, request)
            raise
        _require_sendable(response)
        self._say_standing(standing)
        seconds = time.perf_counter() - began
        self.counts.answered(full_method, seconds)
        if self._lines is not None:
            tenant = _tenant_of(request)
            self._lines.say(full_method, tenant, Code.OK, seconds, standing)
        return response

    async def stream(self, full_method: str, request: Message) -> AsyncGenerator[Streamed]:
        """Validate a request and answer it message by message; closing it ends the work.

        What is known about the answer is said with the first message, and again behind the last.
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
        terms = _terms()
        if self.counts.streams_open >= self._streams_max:
            raise LimitError(
                f"this node has {self._streams_max} streams open, as many as it may: "
                "end some, or use another node"
            )
        self.counts.streams_open += 1
        began = time.perf_counter()
        standing = follow_standing()
        try:
            async with aclosing(handler(request, terms)) as messages:
                message = await self._next(messages)
                self._say_standing(standing)
                while message is not None:
                    yield message
                    message = await self._next(messages)
                self._say_standing(standing)
            self._ended(full_method, Code.OK, began, request)
        finally:
            self.counts.streams_open -= 1

    def failed(
        self,
        full_method: str,
        error: BaseException,
        begun: float | None = None,
        request: Message | None = None,
    ) -> WireStatus:
        """The status that a call ends with which failed, or a stream whose reader left.

        Args:
            full_method: what was asked for, "" if that is not known.
            error: what is wrong; the reading of the request may have been.
            begun: when the call came, by `time.perf_counter`, if that is known.
            request: its message, None if it could not be read.
        """
        status = failed(full_method, error)
        self._ended(full_method, status.code, begun, request)
        return status

    def _ended(
        self, full_method: str, code: Code, begun: float | None, request: Message | None
    ) -> None:
        """Count a call that got no answer, or a stream that ended, and say its line."""
        self.counts.ended(full_method, code)
        if self._lines is not None:
            seconds = None if begun is None else time.perf_counter() - begun
            self._lines.say(full_method, _tenant_of(request), code, seconds, None)

    def _say_standing(self, standing: Standing) -> None:
        """Send along where an answer stands, if it stands at a revision."""
        said = answer_metadata()
        if not standing.snap_token or said is None:
            return
        said[STANDS_AT] = standing.snap_token
        said[SOURCE] = standing.source.value
        if standing.complete_at is not None:
            age_s = self._now() - standing.complete_at
            said[AGE] = str(math.ceil(1000 * age_s))

    async def _next(self, messages: AsyncIterator[Streamed]) -> Streamed | None:
        with self.bounded():
            return await anext(messages, None)


def _tenant_of(request: Message | None) -> str:
    """Of a call of Tenancy, the one that is made or deleted."""
    return getattr(request, "tenant_id", "") or getattr(request, "id", "")


def _terms() -> Terms:
    """What the request's metadata say; most say nothing."""
    said = request_metadata()
    if not said:
        return NO_TERMS
    require_known(said)
    return parse_terms(said)


def _require_sendable(answer: Message) -> None:
    size = answer.ByteSize()
    if size > ANSWER_BYTES_MAX:
        raise LimitError(
            f"the answer has {size} bytes, at most {ANSWER_BYTES_MAX} fit a message: ask for "
            "less of it"
        )


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
