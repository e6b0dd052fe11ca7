"""One line for each call, if they are asked for: what it was, how it ended, how long it took.

The lines stand among the process's others, in the same form. A call pays for making its line; a
thread writes them, since whoever reads them may be slow. No line holds an id of an entity or a
subject.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

import orjson

from grantlog.ports.standing import Standing
from grantlog.wire.status import Code

LINES_MAX: Final = 50_000
"""Lines that wait for a slow reader, about 12 MB; those that come on top of them are left out."""

PIECE_BYTES_MAX: Final = select.PIPE_BUF
"""Written at once: what other lines, of other processes too, cannot stand in the middle of."""

_TEXT_MAX: Final = 128
"""Characters of what a caller said: a refused call may say anything."""

_EVERY_S: Final = 0.1
_LAST_S_MAX: Final = 2.0
_FORM: Final = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE


class CallLines:
    """Makes lines and has them written.

    Args:
        descriptor: where they go.
        labels: what every line says, the service among it.
        for_people: plain text rather than JSON.
        now: seconds since 1970.
    """

    def __init__(
        self,
        descriptor: int,
        labels: Mapping[str, str],
        *,
        for_people: bool = False,
        now: Callable[[], float] = time.time,  # noqa: TID251 - a log line's, as structlog's
    ) -> None:
        self._told = 0
        self._left_out = 0
        self._unwritten = 0
        self._descriptor = descriptor
        self._labels = labels
        self._for_people = for_people
        self._now = now
        self._lines: deque[bytes] = deque()

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
        line: dict[str, object] = {
            "method": method,
            "tenant": tenant[:_TEXT_MAX],
            "code": code.name,
        }
        if seconds is not None:
            line["ms"] = round(1000 * seconds, 3)
        if at is not None and at.snap_token:
            line["snap_token"] = at.snap_token
            line["source"] = at.source.value
        self._lines.append(self._line("call", "info", line))

    def write(self) -> None:
        """Write what there is; it may block."""
        missing = self.dropped - self._told
        if missing:
            self._told += missing
            self._lines.append(self._line("call lines left out", "warning", {"lines": missing}))
        for piece in self._pieces():
            try:
                os.write(self._descriptor, piece)
            except OSError:
                self._unwritten += piece.count(b"\n")

    def _line(self, event: str, level: str, said: Mapping[str, object]) -> bytes:
        now = datetime.fromtimestamp(self._now(), UTC)
        if self._for_people:
            shown = " ".join(f"{name}={_shown(value)}" for name, value in said.items())
            return f"{now:%Y-%m-%d %H:%M:%S} [{level:<9}] {event:<30} {shown}\n".encode()
        line = {"event": event, **said, "level": level, **self._labels, "timestamp": now}
        return orjson.dumps(line, option=_FORM)

    def _pieces(self) -> Iterator[bytes]:
        """All lines that wait, as many together as may be written at once."""
        piece: list[bytes] = []
        room = PIECE_BYTES_MAX
        while self._lines:
            line = self._lines.popleft()
            if piece and len(line) > room:
                yield b"".join(piece)
                piece, room = [], PIECE_BYTES_MAX
            piece.append(line)
            room -= len(line)
        if piece:
            yield b"".join(piece)


def _shown(value: object) -> str:
    text = str(value)
    return text if text.isprintable() and " " not in text else repr(text)


@contextmanager
def open_call_lines(
    descriptor: int, labels: Mapping[str, str], *, for_people: bool = False
) -> Generator[CallLines]:
    """Lines that are written as they come for the block, and the last ones behind it.

    A reader that reads nothing does not hold up the end of the process.
    """
    lines = CallLines(descriptor, labels, for_people=for_people)
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
        thread.join(_LAST_S_MAX)
