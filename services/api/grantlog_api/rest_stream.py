"""Streams of the REST door: newline-delimited JSON and server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Final

from google.protobuf.message import Message
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from grantlog.serving.calls import Streamed, not_stalled
from grantlog.serving.watch_message import WatchMessage
from grantlog.wire.openapi import NDJSON
from grantlog.wire.status import WireStatus, stream_error, stream_item
from grantlog_api.rest_errors import JSON
from grantlog_api.rest_leaving import disconnected


@dataclass(frozen=True, slots=True)
class Framing:
    """How messages become the body of a response.

    Attributes:
        media_type: of a response with status 200.
        item: the bytes of a message.
        error: the bytes of a failure behind the first message.
        refusal: the whole JSON body where nothing came before the failure.
        opening: what stands before the first message.
        headers: of a response with status 200.
    """

    media_type: str
    item: Callable[[Message], bytes]
    error: Callable[[WireStatus], bytes]
    refusal: Callable[[WireStatus], bytes]
    opening: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


LINES: Final = Framing(
    media_type=JSON,
    item=stream_item,
    error=stream_error,
    refusal=stream_error,
    headers={"Grpc-Metadata-Content-Type": "application/grpc", "X-Accel-Buffering": "no"},
)
"""`{"result":…}` a line, a failure as `{"error":…}`; named as the contract's gateway names it."""

NDJSON_LINES: Final = replace(LINES, media_type=NDJSON)
"""The same under its own name, for whoever accepts it."""


class StreamResponse(Response):
    """Sends what a stream of messages says for as long as the client is there.

    The status is known with the first message: a stream that fails before it is refused like any
    other call. When the client leaves, the stream is closed where it stands.
    """

    def __init__(
        self,
        failed: Callable[[BaseException], WireStatus],
        messages: AsyncGenerator[Streamed],
        framing: Framing,
        said: Mapping[str, str],
        *,
        stall_s_max: float,
    ) -> None:
        """`failed` tells the status of a failure, `said` the headers known by the first message."""
        super().__init__()
        self._said = said
        self._failed = failed
        self._messages = messages
        self._framing = framing
        self._stall_s_max = stall_s_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as ASGI says."""
        async with asyncio.TaskGroup() as group:
            answering = group.create_task(self._answer(scope, receive, send), name="answer stream")
            leaving = group.create_task(disconnected(receive), name="await disconnect")
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            answering.cancel()
            leaving.cancel()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False
        framing = self._framing
        try:
            async with aclosing(self._messages) as messages:
                async for message in messages:
                    if not begun:
                        await self._begin(send)
                        begun = True
                    await self._send(send, framing.item(_parsed(message)))
                if not begun:
                    await self._begin(send)
        except asyncio.CancelledError as left:
            self._failed(left)
            raise
        except Exception as error:  # noqa: BLE001 - a door: every failure gets a status
            status = self._failed(error)
            if begun:
                await self._send(send, framing.error(status), last=True)
            else:
                body = framing.refusal(status)
                refusal = Response(body, status_code=status.http, media_type=JSON)
                await refusal(scope, receive, send)
        else:  # the call has ended well, whatever its reader does now
            await self._send(send, b"", last=True)

    async def _begin(self, send: Send) -> None:
        headers = {**self._framing.headers, **self._said}
        response = Response(media_type=self._framing.media_type, headers=headers)
        raw = [pair for pair in response.raw_headers if pair[0] != b"content-length"]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        if self._framing.opening:
            await self._send(send, self._framing.opening)

    async def _send(self, send: Send, body: bytes, *, last: bool = False) -> None:
        async with not_stalled(self._stall_s_max):
            await send({"type": "http.response.body", "body": body, "more_body": not last})


def _parsed(message: Streamed) -> Message:
    return message.message if isinstance(message, WatchMessage) else message
