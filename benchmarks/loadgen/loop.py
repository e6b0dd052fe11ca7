"""A closed loop: so many calls in flight, a new one for each that ends, latencies kept."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable, Iterator

from loadgen.line import SILENCE_S_MAX, Call, Connection, Line, Measured, silent


class ClosedLoop:
    """Drives calls over several connections from one thread."""

    def __init__(
        self,
        address: tuple[str, int],
        connect: Callable[[], Connection],
        *,
        connections: int,
        in_flight: int,
    ) -> None:
        self._measured = Measured()
        self._lines = [Line(address, connect(), self._measured) for _ in range(connections)]
        self._per_line = in_flight // connections
        self._selector = selectors.DefaultSelector()
        for line in self._lines:
            self._selector.register(line.socket, selectors.EVENT_READ, line)
        self._from_ns = self._until_ns = 0
        self._exhausted = False

    def run(self, calls: Iterator[Call], *, warmup_s: float, seconds: float) -> Measured:
        """Drive `calls` until the time is over or they end, then wait for those in flight."""
        try:
            return self._run(calls, warmup_s, seconds)
        finally:
            self._selector.close()
            for line in self._lines:
                line.socket.close()

    def _run(self, calls: Iterator[Call], warmup_s: float, seconds: float) -> Measured:
        begin = time.perf_counter_ns()
        self._from_ns = begin + int(warmup_s * 1e9)
        self._until_ns = self._from_ns + int(seconds * 1e9)
        cpu_before: float | None = None
        for line in self._lines:
            self._fill(line, calls)
        while any(line.flying for line in self._lines):
            if cpu_before is None and time.perf_counter_ns() >= self._from_ns:
                cpu_before = time.process_time()
            self._turn(calls)
        ended = min(time.perf_counter_ns(), self._until_ns)
        self._measured.seconds = (ended - self._from_ns) / 1e9
        self._measured.cpu_s = time.process_time() - (cpu_before or 0.0)
        self._measured.done = len(self._measured.latencies_ns) + len(self._measured.writes_ns)
        return self._measured

    def _turn(self, calls: Iterator[Call]) -> None:
        """Wait for something to come in or go out, and handle it."""
        ready = self._selector.select(SILENCE_S_MAX)
        if not ready:
            raise silent()
        for key, _ in ready:
            line: Line = key.data
            ended = line.receive()
            now = time.perf_counter_ns()
            if self._from_ns <= now <= self._until_ns:
                self._measured.note(ended, now)
            self._fill(line, calls)

    def _fill(self, line: Line, calls: Iterator[Call]) -> None:
        """Keep the line's share in flight while there is time and there are calls."""
        now = time.perf_counter_ns()
        while len(line.flying) < self._per_line and now < self._until_ns and not self._exhausted:
            call = next(calls, None)
            if call is None:
                self._exhausted = True
            else:
                line.start(call, now)
        was_blocked = line.blocked
        line.send()
        if line.blocked != was_blocked:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if line.blocked else 0)
            self._selector.modify(line.socket, events, line)
