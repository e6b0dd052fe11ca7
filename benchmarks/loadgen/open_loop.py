"""An open loop: calls are due at a fixed rate whatever became of those before, and timed from then.

A pause of the server is seen by every call that was due in it; a server too slow for the rate shows
as fewer answers than were offered.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from typing import Final

from loadgen.line import SILENCE_S_MAX, Call, Connection, Line, Measured, silent

_TICK_S: Final = 0.0003
"""Between looks at what is due and what has come: what a latency may be too large by, twice.

To wake for each answer would cost three times as much of the processor that Postgres shares."""


class OpenLoop:
    """Offers calls over several connections from one thread.

    Calls for which no connection is free (`in_flight_max`) wait their turn, and their time runs;
    those that still wait when the time is over are never made.
    """

    def __init__(
        self,
        address: tuple[str, int],
        connect: Callable[[], Connection],
        *,
        connections: int,
        in_flight_max: int,
        rate: float,
    ) -> None:
        self._measured = Measured()
        self._lines = [Line(address, connect(), self._measured) for _ in range(connections)]
        self._by_socket = {line.socket: line for line in self._lines}
        self._per_line = in_flight_max // connections
        self._gap_ns = 1e9 / rate
        self._started = self._turns = 0
        self._begin_ns = self._from_ns = self._until_ns = 0
        self._answered_ns = 0

    def run(self, calls: Iterator[Call], *, warmup_s: float, seconds: float) -> Measured:
        """Offer `calls` until the time is over, then wait for those in flight.

        Latencies are of the calls due after the warm-up; `done` counts answers in that time.
        """
        try:
            return self._run(calls, warmup_s, seconds)
        finally:
            self.close()

    def close(self) -> None:
        """Close the connections."""
        for line in self._lines:
            line.socket.close()

    def _run(self, calls: Iterator[Call], warmup_s: float, seconds: float) -> Measured:
        self._begin_ns = self._answered_ns = time.perf_counter_ns()
        self._from_ns = self._begin_ns + int(warmup_s * 1e9)
        self._until_ns = self._from_ns + int(seconds * 1e9)
        cpu_before: float | None = None
        while (now := time.perf_counter_ns()) < self._until_ns:
            if cpu_before is None and now >= self._from_ns:
                cpu_before = time.process_time()
            self._start_due(calls, now)
            self._turn()
        self._start_due(calls, self._until_ns)
        while self._flying():
            self._turn()
        self._measured.seconds = seconds
        self._measured.cpu_s = time.process_time() - (cpu_before or 0.0)
        return self._measured

    def _flying(self) -> bool:
        return any(line.flying for line in self._lines)

    def _due_ns(self) -> int:
        """When the next call is due."""
        return self._begin_ns + int(self._started * self._gap_ns)

    def _start_due(self, calls: Iterator[Call], now: int) -> None:
        """Start what is due by now, on one connection while it has room: one packet, not many."""
        touched = list[Line]()
        line: Line | None = None
        while (due := self._due_ns()) < now:
            if line is None or len(line.flying) >= self._per_line:
                line = self._free_line()
                if line is None:
                    break
                touched.append(line)
            line.start(next(calls), due)
            self._started += 1
        for line in touched:
            line.send()

    def _free_line(self) -> Line | None:
        for _ in self._lines:
            self._turns += 1
            line = self._lines[self._turns % len(self._lines)]
            if len(line.flying) < self._per_line:
                return line
        return None

    def _turn(self) -> None:
        """Handle what has come in, and wait until the next look."""
        blocked = [line.socket for line in self._lines if line.blocked]
        ready, writable, _ = select.select(self._by_socket, blocked, (), 0)
        for socket in writable:
            self._by_socket[socket].send()
        for socket in ready:
            line = self._by_socket[socket]
            ended = line.receive()
            now = self._answered_ns = time.perf_counter_ns()
            if self._from_ns <= now < self._until_ns:
                self._measured.done += len(ended)
            self._measured.note([each for each in ended if each[0] >= self._from_ns], now)
            line.send()
        if self._flying() and time.perf_counter_ns() - self._answered_ns > SILENCE_S_MAX * 1e9:
            raise silent()
        time.sleep(_TICK_S)
