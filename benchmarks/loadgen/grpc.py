"""The client's side of one HTTP/2 connection that carries gRPC calls. Bytes in, bytes out."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from loadgen.hpack import StatusReader, encode

_FRAME: Final = struct.Struct(">HBBBI")  # length (high, low), type, flags, stream
_FRAME_HEAD: Final = 9
_STREAM_AT: Final = 5
_MESSAGE_HEAD: Final = 5
_STREAM: Final = struct.Struct(">I")
_WHOLE: Final = struct.Struct(">HBBBIBI")  # a frame's head, then that of a message in one piece
_SETTING: Final = struct.Struct(">HI")
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 1, 1, 4, 8, 32
_HEADER_TABLE_SIZE, _ENABLE_PUSH, _MAX_STREAMS, _INITIAL_WINDOW, _MAX_FRAME = 1, 2, 3, 4, 5
_STREAMS_AT_FIRST: Final = 100
_WINDOW_MAX: Final = 2**31 - 1
_WINDOW_DEFAULT: Final = 65_535
_REFILL_BYTES: Final = 2**28
_OK: Final = 0


class Http2Error(Exception):
    """The connection is not usable any more."""


class Reply(NamedTuple):
    """The end of a call."""

    stream: int
    message: bytes
    error: str
    """"" if the call succeeded."""


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    return _FRAME.pack(size >> 8, size & 255, kind, flags, stream) + payload


def _head(authority: str, method: str) -> bytes:
    """The frame of headers that begins a call of a method, for stream 0."""
    block = encode(
        [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ]
    )
    return _frame(_HEADERS, _END_HEADERS, 0, block)


def _taken(data: bytes, take: Callable[[bytes], object]) -> bytes:
    """Give away the whole messages of a stream; what is left of them."""
    at, end_of_data = 0, len(data)
    while end_of_data - at >= _MESSAGE_HEAD:
        end = at + _MESSAGE_HEAD + int.from_bytes(data[at + 1 : at + _MESSAGE_HEAD], "big")
        if end_of_data < end:
            break
        take(data[at + _MESSAGE_HEAD : end])
        at = end
    return data[at:]


class GrpcConnection:
    """Calls of some methods on one connection; `out` is what to send."""

    def __init__(self, authority: str, *methods: str) -> None:
        self.out = bytearray(_PREFACE)
        settings = ((_HEADER_TABLE_SIZE, 0), (_ENABLE_PUSH, 0), (_INITIAL_WINDOW, _WINDOW_MAX))
        self.out += _frame(_SETTINGS, 0, 0, b"".join(_SETTING.pack(*pair) for pair in settings))
        self._grant(_WINDOW_MAX - _WINDOW_DEFAULT)
        self.streams_max = _STREAMS_AT_FIRST
        """Calls at a time that the server takes; more of them it refuses."""
        self._heads = [_head(authority, method) for method in methods]
        self._statuses = StatusReader()
        self._in = b""
        self._next_stream = 1
        self._bodies: dict[int, bytes] = {}
        self._takers: dict[int, Callable[[bytes], object]] = {}
        self._received = 0
        self._window = _WINDOW_DEFAULT
        self._stream_window = _WINDOW_DEFAULT
        self._frame_max = 16_384
        self._waiting: dict[int, bytes] = {}
        self._credit: dict[int, int] = {}
        self._goaway = ""
        self._handlers: dict[int, Callable[[int, int, bytes], Reply | None]] = {
            _DATA: self._on_data,
            _HEADERS: self._on_headers,
            _RESET: self._on_reset,
            _SETTINGS: self._on_settings,
            _PING: self._on_ping,
            _GOAWAY: self._on_goaway,
            _WINDOW: self._on_window,
        }

    def call(self, message: bytes, method: int = 0) -> int:
        """Queue a call of a method, by its place, with a serialised request; its stream."""
        stream = self._next_stream
        self._next_stream = stream + 2
        out = self.out
        stream_at = len(out) + _STREAM_AT
        out += self._heads[method]
        _STREAM.pack_into(out, stream_at, stream)
        size = len(message) + 5
        if size <= self._frame_max and size <= self._window and size <= self._stream_window:
            self._window -= size
            out += _WHOLE.pack(size >> 8, size & 255, _DATA, _END_STREAM, stream, 0, size - 5)
            out += message
        else:
            self._waiting[stream] = b"\x00" + (size - 5).to_bytes(4, "big") + message
            self._credit[stream] = self._stream_window
            self._send_waiting()
        return stream

    def subscribe(self, message: bytes, method: int, take: Callable[[bytes], object]) -> int:
        """As `call`, of a method that answers with a stream: each message is given to `take`."""
        stream = self.call(message, method)
        self._takers[stream] = take
        return stream

    def feed(self, data: bytes) -> list[Reply]:
        """Take what came in; the calls that ended."""
        if self._in:
            data = self._in + data
        at, end_of_data, replies = 0, len(data), list[Reply]()
        handlers = self._handlers
        while end_of_data - at >= _FRAME_HEAD:
            high, low, kind, flags, stream = _FRAME.unpack_from(data, at)
            end = at + _FRAME_HEAD + (high << 8 | low)
            if end_of_data < end:
                break
            handle = handlers.get(kind)
            if handle is not None:
                reply = handle(flags, stream, data[at + _FRAME_HEAD : end])
                if reply is not None:
                    replies.append(reply)
            at = end
        self._in = data[at:]
        return replies

    @staticmethod
    def is_right(message: bytes, expected: bytes) -> bool:
        """Whether the answer's first field is the expected one."""
        return message.startswith(expected)

    def _on_data(self, flags: int, stream: int, payload: bytes) -> Reply | None:
        self._received += len(payload)
        if self._received >= _REFILL_BYTES:
            self._grant(self._received)
            self._received = 0
        if flags & _PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        body = self._bodies.get(stream)
        payload = payload if body is None else body + payload
        take = self._takers.get(stream)
        self._bodies[stream] = payload if take is None else _taken(payload, take)
        return self._end(stream, None) if flags & _END_STREAM else None

    def _on_headers(self, flags: int, stream: int, payload: bytes) -> Reply | None:
        if not flags & _END_HEADERS or flags & (_PADDED | _PRIORITY):
            raise Http2Error("header blocks in pieces are not read here")
        status = self._statuses.status(payload)
        return self._end(stream, status) if flags & _END_STREAM else None

    def _end(self, stream: int, status: int | None) -> Reply:
        body = self._bodies.pop(stream, b"")
        if status != _OK:
            return Reply(stream, b"", f"grpc-status {status}")
        if self._takers.pop(stream, None) is not None and not body:
            return Reply(stream, b"", "")
        if len(body) < 5 or len(body) - 5 != int.from_bytes(body[1:5], "big"):
            return Reply(stream, b"", f"an answer of {len(body)} bytes that is no message")
        return Reply(stream, body[5:], "")

    def _on_reset(self, _flags: int, stream: int, payload: bytes) -> Reply:
        self._bodies.pop(stream, None)
        self._waiting.pop(stream, None)
        return Reply(stream, b"", f"stream reset, code {int.from_bytes(payload, 'big')}")

    def _on_settings(self, flags: int, _stream: int, payload: bytes) -> None:
        if flags & _ACK:
            return
        for setting, value in _SETTING.iter_unpack(payload):
            if setting == _INITIAL_WINDOW:
                for waiting in self._credit:
                    self._credit[waiting] += value - self._stream_window
                self._stream_window = value
            elif setting == _MAX_STREAMS:
                self.streams_max = value
            elif setting == _MAX_FRAME:
                self._frame_max = value
        self.out += _frame(_SETTINGS, _ACK, 0)
        self._send_waiting()

    def _on_ping(self, flags: int, _stream: int, payload: bytes) -> None:
        if not flags & _ACK:
            self.out += _frame(_PING, _ACK, 0, payload)

    def _on_goaway(self, _flags: int, _stream: int, payload: bytes) -> None:
        raise Http2Error(f"the server says goodbye: {payload[8:]!r}")

    def _on_window(self, _flags: int, stream: int, payload: bytes) -> None:
        credit = int.from_bytes(payload, "big")
        if stream == 0:
            self._window += credit
        elif stream in self._credit:
            self._credit[stream] += credit
        if self._waiting:
            self._send_waiting()

    def _grant(self, credit: int) -> None:
        self.out += _frame(_WINDOW, 0, 0, credit.to_bytes(4, "big"))

    def _send_waiting(self) -> None:
        """Send as much of the large bodies as the windows allow, first come first served."""
        for stream in deque(self._waiting):
            body = self._waiting[stream]
            while body:
                size = min(len(body), self._frame_max, self._window, self._credit[stream])
                if size <= 0:
                    break
                flags = _END_STREAM if size == len(body) else 0
                self.out += _frame(_DATA, flags, stream, body[:size])
                body = body[size:]
                self._window -= size
                self._credit[stream] -= size
            if body:
                self._waiting[stream] = body
            else:
                del self._waiting[stream], self._credit[stream]
