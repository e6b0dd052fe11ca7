"""The client's side of one HTTP/1.1 connection: a request at a time, kept alive."""

from __future__ import annotations

from typing import Final

from loadgen.grpc import Reply

_LENGTH: Final = b"content-length:"


class RestConnection:
    """POSTs to some paths; `out` is what to send. The same face as GrpcConnection."""

    def __init__(self, authority: str, *paths: str) -> None:
        self.out = bytearray()
        self._heads = [
            (
                f"POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\n"
                "Content-Length: "
            ).encode()
            for path in paths
        ]
        self._in = bytearray()
        self._number = 0

    def call(self, message: bytes, method: int = 0) -> int:
        """Queue a request to a path, by its place, with a JSON body; its number."""
        self._number += 1
        self.out += self._heads[method] + b"%d\r\n\r\n" % len(message) + message
        return self._number

    def feed(self, data: bytes) -> list[Reply]:
        """Take what came in; the request that was answered, if it was."""
        buffer = self._in
        buffer += data
        head_end = buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return []
        head = bytes(buffer[:head_end]).lower()
        at = head.find(_LENGTH)
        if at < 0:
            return [Reply(self._number, b"", "an answer without a length")]
        length = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0])
        body_end = head_end + 4 + length
        if len(buffer) < body_end:
            return []
        body = bytes(buffer[head_end + 4 : body_end])
        del buffer[:body_end]
        status = head[9:12]
        error = "" if status == b"200" else f"HTTP {status.decode()} {body[:200]!r}"
        return [Reply(self._number, body, error)]

    @staticmethod
    def is_right(message: bytes, expected: bytes) -> bool:
        """Whether the expected text is in the answer."""
        return expected in message
