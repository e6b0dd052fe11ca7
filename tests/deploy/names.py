"""A name server for one test: the addresses that a name has right now."""

from __future__ import annotations

import ipaddress
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_A, _IN = 1, 1
_ANSWER, _RECURSES = 0x8000, 0x0100
_NO_SUCH_NAME = 3
_TTL_S = 1


class Names:
    """Which loopback addresses stand behind which name; may change at any time."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[str]] = {}
        self.port = 0

    def answer(self, query: bytes) -> bytes:
        """The reply to a query about one name (RFC 1035, section 4.1)."""
        (number,) = struct.unpack_from("!H", query)
        name, end = _name_of(query)
        kind = struct.unpack_from("!H", query, end)[0]
        known = name in self.addresses
        found = self.addresses.get(name, []) if kind == _A else []
        flags = _ANSWER | _RECURSES | (0 if known else _NO_SUCH_NAME)
        head = struct.pack("!6H", number, flags, 1, len(found), 0, 0)
        records = [
            # The name is the question's, which stands behind the head's 12 bytes.
            struct.pack("!3HIH", 0xC00C, _A, _IN, _TTL_S, 4) + ipaddress.ip_address(address).packed
            for address in found
        ]
        return head + query[12 : end + 4] + b"".join(records)


def _name_of(query: bytes) -> tuple[str, int]:
    """The name that is asked for, and where the question goes on behind it."""
    labels = []
    at = 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    return ".".join(labels).lower(), at + 1


@contextmanager
def name_server(address: str) -> Iterator[Names]:
    """Answer on a free UDP port of the address while the block runs."""
    names = Names()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            query, socket = self.request
            socket.sendto(names.answer(query), self.client_address)

    with socketserver.UDPServer((address, 0), Handler) as server:
        names.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield names
        finally:
            server.shutdown()
            thread.join()
