"""A connection with its socket, its calls in flight, and what became of them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, TypeAlias

from loadgen.grpc import Reply

_READ_BYTES: Final = 1 << 18
SILENCE_S_MAX: Final = 60.0


class Connection(Protocol):
    """GrpcConnection or RestConnection."""

    out: bytearray

    def call(self, message: bytes, method: int = 0) -> int:
        """Queue a call of a method, by its place; its number on this connection."""
        ...

    def feed(self, data: bytes) -> list[Reply]:
        """Take what came in; the calls that ended."""
        ...

    def is_right(self, message: bytes, expected: bytes) -> bool:
        """Whether an answer says what it must."""
        ...


Judge = Callable[[bytes, bytes], bool]
"""Whether a message (first) says what is expected (second)."""


class Call(NamedTuple):
    """A request, and what a right answer says: the connection knows where, or the judge does."""

    message: bytes
    expected: bytes
    method: int = 0
    """Its place among the connection's methods; the second one is of writes between checks."""
    judge: Judge | None = None


Flown: TypeAlias = tuple[int, Call]
"""A call in flight, or one that has ended, behind the time from which on it is measured."""


@dataclass
class Measured:
    """What a run showed, warm-up and drain apart."""

    seconds: float = 0.0
    calls_total: int = 0
    """Warm-up and drain included."""
    done: int = 0
    """Answers that came while the clock ran."""
    cpu_s: float = 0.0
    """Processor time of the load generator itself."""
    latencies_ns: list[int] = field(default_factory=list[int])
    writes_ns: list[int] = field(default_factory=list[int])
    """Latencies of writes between checks: where each hundredth call waits for the disk, the p99 of
    all calls tells nothing of checks."""
    errors: int = 0
    first_error: str = ""

    def note(self, ended: Iterable[Flown], now: int) -> None:
        """Keep the latencies of calls that have just ended."""
        latencies, writes = self.latencies_ns, self.writes_ns
        for began, call in ended:
            (writes if call.method else latencies).append(now - began)

    def fail(self, error: str) -> None:
        """Count a call that failed or was answered wrongly."""
        self.errors += 1
        self.first_error = self.first_error or error


class Line:
    """One connection; errors of its calls are counted in `measured`."""

    def __init__(
        self, address: tuple[str, int], connection: Connection, measured: Measured
    ) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(0)
        self.blocked = False
        """Whether the socket takes no more for now."""
        self.flying: dict[int, Flown] = {}
        self._connection = connection
        self._measured = measured

    def start(self, call: Call, at_ns: int) -> None:
        """Queue a call whose time runs from then."""
        stream = self._connection.call(call.message, call.method)
        self.flying[stream] = (at_ns, call)

    def send(self) -> None:
        """Send what the socket takes."""
        out = self._connection.out
        self.blocked = False
        while out:
            try:
                del out[: self.socket.send(out)]
            except BlockingIOError:
                self.blocked = True
                return

    def receive(self) -> list[Flown]:
        """The calls that ended now."""
        try:
            data = self.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return []
        if not data:
            raise ConnectionError("the server closed the connection")
        return [self._settle(reply) for reply in self._connection.feed(data)]

    def _settle(self, reply: Reply) -> Flown:
        flown = self.flying.pop(reply.stream)
        call = flown[1]
        self._measured.calls_total += 1
        judge = call.judge or self._connection.is_right
        if reply.error:
            self._measured.fail(reply.error)
        elif not judge(reply.message, call.expected):
            self._measured.fail(
                f"a wrong answer: {reply.message[:200]!r}, expected {call.expected[:200]!r}"
            )
        return flown


def silent() -> TimeoutError:
    """The server has not said anything for too long."""
    return TimeoutError(f"the server was silent for {SILENCE_S_MAX:.0f} s")
