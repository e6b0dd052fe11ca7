"""What both doors do with a call: validate, bound in time, handle, log. No transport here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog
from google.protobuf.message import Message

from grantlog.app.as_of import AsOf, parse_as_of
from grantlog.errors import InvalidInputError, NotImplementedYetError, UnavailableError
from grantlog.wire.status import WireStatus, status_of
from grantlog.wire.validate import validate

Handler = Callable[[Any], Awaitable[Message]]
PastHandler = Callable[[Any, AsOf | None], Awaitable[Message]]
"""Of a call that can be answered as of the past."""

AS_OF: Final = "grantlog-as-of"
"""Metadata key and HTTP header: answer as of exactly this revision or time."""

_LOG = structlog.get_logger("grantlog.api")


class Calls:
    """Answers calls by their full method, `/base.v1.Permission/Check`."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        past_handlers: Mapping[str, PastHandler],
        *,
        timeout_s: float,
    ) -> None:
        self._handlers = handlers
        self._past_handlers = past_handlers
        self.timeout_s = timeout_s
        """Seconds that a call may take, and that its request may take to arrive."""

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
            raise NotImplementedYetError(f"{full_method} is not served by this version yet")
        if as_of is not None:
            raise InvalidInputError(
                f"{full_method} cannot be asked as of the past: leave {AS_OF} out",
                reason="INVALID_AS_OF",
            )
        return handler(request)


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
