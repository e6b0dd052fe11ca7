"""A closed loop: so many calls in flight, a new one for each that ends, latencies kept."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from loadgen.grpc import Reply

_READ_BYTES: Final = 1 << 18
_SILENCE_S_MAX: Final = 60.0


class Connection(Protocol):
    """GrpcConnection or RestConnection."""

    out: bytearray

    def call(self, message: bytes) -> int:
        """Queue a call; its number on this connection."""
        ...

    def feed(self, data: bytes) -> list[Reply]:
        """Take what came in; the calls that ended."""
        ...

    def is_right(self, message: bytes, expected: bytes) -> bool:
        """Whether an answer says what it must."""
        ...


class Call(NamedTuple):
    """A request, and what a right answer says (the connection knows where)."""

    message: bytes
    expected: bytes


@dataclass
class Measured:
    """What a run showed, warm-up and drain apart."""

    seconds: float = 0.0
    calls_total: int = 0
    """Warm-up and drain included."""
    cpu_s: float = 0.0
    """Processor time of the load generator itself."""
    latencies_ns: list[int] = field(default_factory=list[int])
    errors: int = 0
    first_error: str = ""

    def fail(self, error: str) -> None:
        """Count a call that failed or was answered wrongly."""
        self.errors += 1
        self.first_error = self.first_error or error


class _Line:
    """A connection with its socket and its calls in flight."""

    def __init__(self, address: tuple[str, int], connection: Connection) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(0)
        self.connection = connection
        self.flying: dict[int, tuple[int, bytes]] = {}

    def start(self, call: Call) -> None:
        """Queue a call; its time runs from here."""
        stream = self.connection.call(call.message)
        self.flying[stream] = (time.perf_counter_ns(), call.expected)

    def send(self) -> bool:
        """Send what the socket takes; whether something is left."""
        out = self.connection.out
        while out:
            try:
                del out[: self.socket.send(out)]
            except BlockingIOError:
                return True
        return False

    def receive(self) -> list[Reply]:
        """The calls that ended."""
        try:
            data = self.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return []
        if not data:
            raise ConnectionError("the server closed the connection")
        return self.connection.feed(data)


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
        self._lines = [_Line(address, connect()) for _ in range(connections)]
        self._per_line = in_flight // connections
        self._selector = selectors.DefaultSelector()
        for line in self._lines:
            self._selector.register(line.socket, selectors.EVENT_READ, line)
        self._measured = Measured()
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
        return self._measured

    def _turn(self, calls: Iterator[Call]) -> None:
        """Wait for something to come in or go out, and handle it."""
        ready = self._selector.select(_SILENCE_S_MAX)
        if not ready:
            raise TimeoutError(f"the server was silent for {_SILENCE_S_MAX:.0f} s")
        for key, _ in ready:
            line: _Line = key.data
            for reply in line.receive():
                self._settle(line, reply)
            self._fill(line, calls)

    def _fill(self, line: _Line, calls: Iterator[Call]) -> None:
        """Keep the line's share in flight while there is time and there are calls."""
        while len(line.flying) < self._per_line and not self._is_over():
            call = next(calls, None)
            if call is None:
                self._exhausted = True
            else:
                line.start(call)
        blocked = line.send()
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if blocked else 0)
        self._selector.modify(line.socket, events, line)

    def _is_over(self) -> bool:
        return self._exhausted or time.perf_counter_ns() >= self._until_ns

    def _settle(self, line: _Line, reply: Reply) -> None:
        started, expected = line.flying.pop(reply.stream)
        now = time.perf_counter_ns()
        self._measured.calls_total += 1
        if reply.error:
            self._measured.fail(reply.error)
        elif not line.connection.is_right(reply.message, expected):
            self._measured.fail(f"a wrong answer: {reply.message[:200]!r}, expected {expected!r}")
        if self._from_ns <= now <= self._until_ns:
            self._measured.latencies_ns.append(now - started)
