"""Ports for tests that listen, stop, and listen there again."""

from __future__ import annotations

import random
import socket
from pathlib import Path

_given: set[int] = set()


def kept_port() -> int:
    """A free port that the kernel hands out to nobody, so that it is still free later on.

    Nor is any given twice.

    Ports that it does hand out (`bind` to 0, or the own end of a connection) may be another's as
    soon as nobody listens there.
    """
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(10_000, first)
        if port in _given:
            continue
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        _given.add(port)
        return port
