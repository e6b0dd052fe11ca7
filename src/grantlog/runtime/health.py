"""Asking a node over HTTP how it does."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Any, Final

_TIMEOUT_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What `GET /healthz` said: whether the node serves, else why not, and what is degraded."""

    serving: bool
    because: str = ""
    degraded: str = ""


async def health_of(host: str, port: int) -> Answer | None:
    """What `GET /healthz` there says; None where nobody answers in time."""
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(reachable(host), port)
            try:
                writer.write(
                    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                )
                head = await reader.readline()
                rest = await reader.read()
            finally:
                writer.close()
            return _answer(head, rest) if head else None
    return None


def _answer(head: bytes, rest: bytes) -> Answer:
    told: dict[str, Any] = {}
    with contextlib.suppress(ValueError, TypeError):
        told = dict(json.loads(rest.partition(b"\r\n\r\n")[2]))
    serving = b" 200 " in head and told.get("status") == "SERVING"
    return Answer(serving, str(told.get("because", "")), str(told.get("degraded", "")))


def reachable(host: str) -> str:
    """An address at which a server that listens on `host` is reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
