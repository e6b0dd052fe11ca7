"""Following the topic through the node's one reader of it; `sharing.py` is the other end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, cast

from grantlog.changelog.counts import TopicCounts
from grantlog.changelog.kafka.client import GET_MS, GET_RECORDS_MAX, START_S_MAX
from grantlog.changelog.kafka.frames import (
    HEAD_BYTES,
    LATE_S_MAX,
    Head,
    Kind,
    SharedRecord,
    read_head,
    records_in,
)
from grantlog.changelog.kafka.source import Records
from grantlog.errors import CorruptionError, GrantlogError, UnavailableError
from grantlog.waiting import set_within

_INBOX_BYTES_MAX: Final = 1024 * 1024
"""With more than that waiting to be taken in, nothing is read from the connection."""

_ANSWER_S_MAX: Final = START_S_MAX + 5.0
"""The reader waits for Kafka so long before it says anything."""


class SharedSource:
    """The node's reader as a source: each connection is a placing.

    Args:
        path: its socket.
        kafka: where it reads, for people.
        agree: makes sure that a Kafka of this name holds the log's topic.
        clock: the machine's seconds that never go back, the same in all processes.
        counts: what the reader tells of itself.
    """

    def __init__(
        self,
        path: Path,
        *,
        kafka: str,
        agree: Callable[[str], Awaitable[None]],
        clock: Callable[[], float],
        counts: TopicCounts,
    ) -> None:
        self._path = path
        self.name = kafka
        self._agree = agree
        self._clock = clock
        self._counts = counts

    @asynccontextmanager
    async def placed(self) -> AsyncGenerator[Records]:
        """A connection to the reader, which hands on what it reads from now on; see the port."""
        loop = asyncio.get_running_loop()
        inbox = _Inbox(self._clock, self._counts)
        try:
            async with asyncio.timeout(_ANSWER_S_MAX):
                transport, _ = await loop.create_unix_connection(lambda: inbox, str(self._path))
        except OSError as error:  # TimeoutError is one
            raise UnavailableError(
                f"the node's reader of the topic does not answer at {self._path} "
                f"({error.strerror or 'too late'})"
            ) from error
        try:
            await inbox.begin()
            await self._agree(inbox.cluster_id)
            yield inbox
        finally:
            transport.abort()


class _Inbox(asyncio.Protocol):
    """`Records` of a connection: frames that came, until they are taken in."""

    def __init__(self, clock: Callable[[], float], counts: TopicCounts) -> None:
        self._clock = clock
        self._counts = counts
        self._buffer = bytearray()
        self._frames: deque[tuple[Head, bytes]] = deque()
        self._bytes = 0
        self._ready = asyncio.Event()
        self._failure: GrantlogError | None = None
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self.cluster_id = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Cut what came into frames."""
        self._buffer += data
        try:
            while self._cut_frame():
                pass
        except CorruptionError as error:
            self._fail(error)
            if self._transport is not None:
                self._transport.abort()
            return
        if self._bytes > _INBOX_BYTES_MAX and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def _cut_frame(self) -> bool:
        """Take a whole frame out of the buffer; False if there is none.

        Raises:
            CorruptionError: it was not sent by this version.
        """
        if len(self._buffer) < HEAD_BYTES:
            return False
        head = read_head(self._buffer)
        end = HEAD_BYTES + head.body_bytes
        if len(self._buffer) < end:
            return False
        self._frames.append((head, bytes(self._buffer[HEAD_BYTES:end])))
        self._bytes += head.body_bytes
        del self._buffer[:end]
        self._ready.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """What came before is still there to be taken in."""
        del exc
        self._fail(
            UnavailableError(
                "the node's reader of the topic went away, or cut this worker, which was late"
            )
        )

    def _fail(self, error: GrantlogError) -> None:
        self._failure = self._failure or error
        self._ready.set()

    async def begin(self) -> None:
        """Wait until the reader has said what it reads.

        Raises:
            UnavailableError: it says that it cannot, or nothing, or goes away.
            CorruptionError: it is of another version.
        """
        if not await set_within(self._ready, _ANSWER_S_MAX):
            raise UnavailableError("the node's reader of the topic says nothing")
        kind, body = self._next()
        if kind is not Kind.BEGUN:
            raise CorruptionError("the node's reader of the topic did not say what it reads")
        self.cluster_id = body.decode(errors="replace")

    async def some(self) -> Sequence[SharedRecord]:
        """See the port."""
        if not self._frames:
            self._resume()
            if not await set_within(self._ready, GET_MS / 1000):
                return ()
        found: list[SharedRecord] = []
        while True:
            kind, body = self._next()
            if kind is not Kind.RECORDS:
                raise CorruptionError("the node's reader of the topic began twice")
            found += records_in(body)
            if not self._frames or len(found) >= GET_RECORDS_MAX:
                break
        self._resume()
        return found

    def _next(self) -> tuple[Kind, bytes]:
        """Take the next frame.

        Raises:
            UnavailableError: it came too late, or there are no more.
            CorruptionError: as `_cut_frame`.
        """
        if not self._frames:
            assert self._failure is not None  # it was ready
            raise self._failure
        head, body = self._frames.popleft()
        self._bytes -= len(body)
        if not self._frames and self._failure is None:
            self._ready.clear()
        self._counts.records_read = head.records_read
        self._counts.followers_cut = head.followers_cut
        if head.kind is Kind.AWAY:
            raise UnavailableError(body.decode(errors="replace"))
        late_s = self._clock() - head.read_at
        if late_s > LATE_S_MAX:
            raise UnavailableError(
                f"what the node's reader of the topic read came {late_s:.1f} s late: this process "
                "begins at the topic's end"
            )
        return head.kind, body

    def _resume(self) -> None:
        if self._paused and self._transport is not None and self._bytes <= _INBOX_BYTES_MAX:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
