"""One line for each call, if they are asked for: what it was, how it ended, how long it took.

The lines stand among the process's others, in the same form. A call pays for making its line; a
thread writes them, since whoever reads them may be slow. No line holds an id of an entity or a
subject.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import stat
import sys
import termios
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import orjson

from grantlog.ports.standing import Standing
from grantlog.wire.status import Code

LINES_MAX: Final = 50_000
"""Lines that wait for a slow reader; those that come on top of them are left out.

About 12 MB, 64 with tenants of the oddest characters."""

PIECE_BYTES_MAX: Final = 65_536
"""Written at once: for each piece the thread waits for the interpreter behind the calls."""

_TEXT_MAX: Final = 128
"""Characters of what a caller said: a refused call may say anything."""

_PIPE_SIZE: Final = fcntl.F_GETPIPE_SZ if sys.platform == "linux" else None
"""How a pipe is asked what it holds at most, where it can be."""

_EVERY_S: Final = 0.1
_LAST_S_MAX: Final = 2.0
_CODES: Final = [code.name for code in sorted(Code)]


class CallLines:
    """Makes lines and has them written.

    Args:
        descriptor: where they go.
        labels: what every line says, the service among it.
        for_people: plain text rather than JSON.
        shared: other processes write many lines there, too.
        now: seconds since 1970.
    """

    def __init__(
        self,
        descriptor: int,
        labels: Mapping[str, str],
        *,
        for_people: bool = False,
        shared: bool = False,
        now: Callable[[], float] = time.time,  # noqa: TID251 - a log line's, as structlog's
    ) -> None:
        self._told = 0
        self._left_out = 0
        self._unwritten = 0
        self._descriptor = descriptor
        self._labels = "".join(f",{_quoted(name)}:{_quoted(of)}" for name, of in labels.items())
        self._form = _for_people if for_people else str.encode
        self._shared = shared
        self._is_torn = False
        self._now = now
        self._second = (-1, "")
        self._lines: deque[str] = deque()

    @property
    def dropped(self) -> int:
        """Lines that were left out because their reader is slow, or gone."""
        return self._left_out + self._unwritten

    def say(
        self, method: str, tenant: str, code: Code, seconds: float | None, at: Standing | None
    ) -> None:
        """A call ended.

        Args:
            method: in full.
            tenant: as the request says it, "" if it could not be read.
            code: what it ended with.
            seconds: how long it took, None if that is not known.
            at: where its answer stands, None if there is none.
        """
        if len(self._lines) >= LINES_MAX:
            self._left_out += 1
            return
        # Put together by hand: every call pays for it. What a caller said is the tenant alone.
        took = "" if seconds is None else f',"ms":{1000 * seconds:.3f}'
        stands = ""
        if at is not None and at.snap_token:
            stands = f',"snap_token":"{at.snap_token}","source":"{at.source.value}"'
        self._lines.append(
            f'{{"event":"call","method":"{method}","tenant":{_quoted(tenant[:_TEXT_MAX])},'
            f'"code":"{_CODES[code]}"{took}{stands},"level":"info"{self._end()}'
        )

    def write(self) -> None:
        """Write what there is, then how many lines are newly missing; it may block."""
        for piece in self._pieces():
            self._unwritten += self._put(piece)
        missing = self.dropped - self._told
        if missing:
            said = f'{{"event":"call lines left out","lines":{missing},"level":"warning"'
            if not self._put(self._form(said + self._end())):
                self._told += missing

    def _put(self, piece: bytes) -> int:
        """Write lines; how many of them are lost."""
        rest = piece
        try:
            if self._is_torn:
                os.write(self._descriptor, b"\n")
                self._is_torn = False
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            begun = piece[: len(piece) - len(rest)]
            self._is_torn |= bool(begun) and not begun.endswith(b"\n")
        return rest.count(b"\n")

    def _end(self) -> str:
        """How each line ends: with its labels and the time. Both threads ask."""
        now = self._now()
        second, until_then = self._second
        if int(now) != second:
            second = int(now)
            told = datetime.fromtimestamp(second, UTC)
            until_then = f'{self._labels},"timestamp":"{told:%Y-%m-%dT%H:%M:%S}.'
            self._second = (second, until_then)
        return f'{until_then}{int(1e6 * (now - second)):06d}Z"}}\n'

    def _pieces(self) -> Iterator[bytes]:
        """All lines that wait, as many together as may be written at once."""
        piece: list[bytes] = []
        room = _room(self._descriptor, shared=self._shared)
        while self._lines:
            line = self._form(self._lines.popleft())
            if piece and len(line) > room:
                yield b"".join(piece)
                piece, room = [], _room(self._descriptor, shared=self._shared)
            piece.append(line)
            room -= len(line)
        if piece:
            yield b"".join(piece)


def _room(descriptor: int, *, shared: bool) -> int:
    """Bytes that may be written at once and stay together.

    Of a pipe, what it promises; what it holds, too, where it is empty and nobody else fills it.
    """
    unread = bytearray(4)
    try:
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return PIECE_BYTES_MAX
        fcntl.ioctl(descriptor, termios.FIONREAD, unread)
        if shared or any(unread) or _PIPE_SIZE is None:
            return select.PIPE_BUF
        return min(PIECE_BYTES_MAX, fcntl.fcntl(descriptor, _PIPE_SIZE))
    except OSError:  # it is closed: the write will say so
        return select.PIPE_BUF


@lru_cache(1024)
def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


def _for_people(line: str) -> bytes:
    """A line as a terminal shows the others."""
    said: dict[str, object] = orjson.loads(line)
    event, level, stamp = said.pop("event"), said.pop("level"), said.pop("timestamp")
    shown = " ".join(f"{name}={_shown(value)}" for name, value in said.items())
    return f"{stamp} [{level:<9}] {event:<30} {shown}\n".encode()


def _shown(value: object) -> str:
    text = str(value)
    return text if text.isprintable() and " " not in text else repr(text)


@asynccontextmanager
async def open_call_lines(
    descriptor: int,
    labels: Mapping[str, str],
    *,
    for_people: bool = False,
    shared: bool = False,
) -> AsyncGenerator[CallLines]:
    """Lines that are written as they come for the block, and the last ones behind it.

    A reader that reads nothing does not hold up the end of the process.
    """
    lines = CallLines(descriptor, labels, for_people=for_people, shared=shared)
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(_EVERY_S):
            lines.write()
        lines.write()

    thread = threading.Thread(target=work, name="call lines", daemon=True)
    thread.start()
    try:
        yield lines
    finally:
        stop.set()
        await asyncio.to_thread(thread.join, _LAST_S_MAX)
