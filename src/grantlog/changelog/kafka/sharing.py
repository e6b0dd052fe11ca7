"""One reader of the topic for all processes of a node: it hands on what it reads.

The supervisor of a node's workers reads, its workers follow, each over a connection of its own to
a socket in a folder that nobody else may enter. What a follower was told is what it would have
read by itself, in the same order; who does not keep up is cut and begins anew (ADR 0032).
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from grantlog.background import background_tasks
from grantlog.changelog.kafka.client import START_S_MAX
from grantlog.changelog.kafka.frames import LATE_S_MAX, Kind, bodies_of, frame
from grantlog.changelog.kafka.source import Records, Source, keep_reading
from grantlog.errors import GrantlogError, PreconditionError
from grantlog.waiting import set_within

_LOG: Final = structlog.get_logger("grantlog.kafka")

_GATHER_S: Final = 0.005
"""What was handed on is followed by nothing for so long, so that more comes at once."""

_SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108 - the folder made in it is private
"""Where Linux lets files be made also if no disk may be written to."""


@dataclass(frozen=True, slots=True)
class ShareLimits:
    """The bounds of handing on."""

    backlog_bytes_max: int = 16 * 1024 * 1024
    """What waits for one follower. All wait for the same newest frames, so this is also about what
    all of them hold together."""
    late_s_max: float = LATE_S_MAX
    """How long it may wait."""
    followers_max: int = 256
    """Connections at once; each worker has two at most."""
    gather_s: float = _GATHER_S
    """As of `Feed`."""


class _Follower:
    """What waits for one connection. Giving never waits for it."""

    def __init__(
        self, writer: asyncio.StreamWriter, limits: ShareLimits, clock: Callable[[], float]
    ) -> None:
        self._writer = writer
        self._limits = limits
        self._clock = clock
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._bytes = 0
        self._woken = asyncio.Event()
        self._ended = False

    def give(self, framed: bytes) -> bool:
        """Have it sent a frame; False if it did not keep up and was cut."""
        now, limits = self._clock(), self._limits
        if self._waiting and (
            self._bytes + len(framed) > limits.backlog_bytes_max
            or now - self._waiting[0][0] > limits.late_s_max
        ):
            self.cut()
            return False
        self._waiting.append((now, framed))
        self._bytes += len(framed)
        self._woken.set()
        return True

    def end(self, framed: bytes) -> None:
        """Have it sent a last frame at once; who still has others to hear is cut instead."""
        if self._waiting:
            self.cut()
            return
        self._waiting.append((self._clock(), framed))
        self._ended = True
        self._woken.set()

    def cut(self) -> None:
        """It hears nothing more."""
        self._waiting.clear()
        self._ended = True
        self._writer.transport.abort()
        self._woken.set()

    async def send(self) -> None:
        """Send what it is given until it has ended, or is gone (ConnectionError)."""
        while True:
            while self._waiting:  # the first one waits until it is on its way
                if self._writer.transport.is_closing():  # writing to it is a defect to uvloop
                    raise ConnectionResetError
                self._writer.write(self._waiting[0][1])
                await self._writer.drain()
                if self._waiting:
                    self._bytes -= len(self._waiting.popleft()[1])
            if self._ended:
                return
            self._woken.clear()
            await self._woken.wait()


class TopicShare:
    """Reads a source once, for all who connect. See the module.

    Args:
        source: what is read.
        clock: the machine's seconds that never go back, the same in all processes.
        limits: the defaults if None.
    """

    def __init__(
        self, source: Source, *, clock: Callable[[], float], limits: ShareLimits | None = None
    ) -> None:
        self._source = source
        self._clock = clock
        self._limits = limits or ShareLimits()
        self._followers: set[_Follower] = set()
        self._cluster_id: str | None = None
        """Of the Kafka that is being read; None while none is."""
        self._away = ""
        """Why none is."""
        self._settled = asyncio.Event()
        """Set once either is known."""
        self.records_read = 0
        self.followers_cut = 0

    async def run(self) -> None:
        """Read and hand on until cancelled."""
        await keep_reading(self._source, self._begin, self._lost, self._clock)

    def _begin(self, records: Records) -> Callable[[], Awaitable[bool]]:
        self._cluster_id = records.cluster_id
        self._settled.set()
        return partial(self._hand_on, records)

    def _lost(self, failure: GrantlogError | None) -> None:
        """Tell all followers at once that there is nothing to rely upon."""
        self._cluster_id = None
        self._away = failure.explanation if failure is not None else "the node stops"
        self._settled.set()
        for follower in self._followers:
            follower.end(self._frame(Kind.AWAY, self._away.encode()))
        self._followers.clear()

    async def _hand_on(self, records: Records) -> bool:
        """Give all followers what came; whether anything did."""
        found = await records.some()
        if not found:
            return False
        self.records_read += len(found)
        for body in bodies_of(found):
            framed = self._frame(Kind.RECORDS, body)
            slow = [follower for follower in self._followers if not follower.give(framed)]
            self._followers.difference_update(slow)
            self.followers_cut += len(slow)
            if slow:
                _LOG.warning("workers that do not keep up begin anew", followers=len(slow))
            await asyncio.sleep(0)  # the connections have their turn
        await asyncio.sleep(self._limits.gather_s)
        return True

    def _frame(self, kind: Kind, body: bytes) -> bytes:
        return frame(
            kind,
            body,
            read_at=self._clock(),
            records_read=self.records_read,
            followers_cut=self.followers_cut,
        )

    async def attend(self, writer: asyncio.StreamWriter) -> None:
        """Hand on to one connection what is read from now on, until either side ends it."""
        follower = _Follower(writer, self._limits, self._clock)
        try:
            await set_within(self._settled, START_S_MAX)
            if self._cluster_id is None:
                why = self._away or "Kafka has not answered yet"
                follower.end(self._frame(Kind.AWAY, why.encode()))
            elif len(self._followers) >= self._limits.followers_max:
                follower.end(self._frame(Kind.AWAY, b"the node has too many followers"))
            else:
                follower.give(self._frame(Kind.BEGUN, self._cluster_id.encode()))
                self._followers.add(follower)
            await follower.send()
        except ConnectionError:
            pass  # it went away
        finally:
            self._followers.discard(follower)
            writer.close()


@asynccontextmanager
async def open_share(
    source: Source, *, clock: Callable[[], float], limits: ShareLimits | None = None
) -> AsyncGenerator[Path]:
    """The socket at which a source is shared, for the block; arguments as of `TopicShare`.

    Raises:
        PreconditionError: no socket can be made here.
    """
    share = TopicShare(source, clock=clock, limits=limits)
    with _private_folder() as folder:
        path = folder / "topic"
        tasks: set[asyncio.Task[None]] = set()
        async with background_tasks() as group:

            def met(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = group.create_task(share.attend(writer), name="topic follower")
                tasks.add(task)
                task.add_done_callback(tasks.discard)

            with _making_a_socket(folder):
                server = await asyncio.start_unix_server(met, path)
            reading = group.create_task(share.run(), name="topic reader")
            try:
                yield path
            finally:
                server.close()
                for task in (reading, *tasks):
                    task.cancel()


@contextmanager
def _private_folder() -> Generator[Path]:
    """A new folder for the block that only this user may enter."""
    with _making_a_socket("the folder for temporary files"):
        try:
            made = tempfile.TemporaryDirectory(prefix="grantlog-", ignore_cleanup_errors=True)
        except OSError:
            if not sys.platform.startswith("linux"):
                raise
            made = tempfile.TemporaryDirectory(
                prefix="grantlog-", dir=_SHARED_MEMORY, ignore_cleanup_errors=True
            )
    with made as folder:
        yield Path(folder)


@contextmanager
def _making_a_socket(where: object) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise PreconditionError(
            f"the workers' socket for the topic cannot be made in {where} "
            f"({error.strerror or error}): set TMPDIR to a folder with a short name that may be "
            "written to"
        ) from error
