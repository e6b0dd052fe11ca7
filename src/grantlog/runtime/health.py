"""Asking a node over HTTP whether it is serving."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

_TIMEOUT_S: Final = 3.0


async def is_serving(host: str, port: int) -> bool:
    """Whether `GET /healthz` there says SERVING; False where nobody answers."""
    return bool(await health_of(host, port))


async def health_of(host: str, port: int) -> bool | None:
    """Whether `GET /healthz` there says SERVING; None where nobody answers in time."""
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(reachable(host), port)
            try:
                writer.write(
                    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                )
                head = await reader.readline()
                body = await reader.read()
            finally:
                writer.close()
            return b" 200 " in head and b'"SERVING"' in body if head else None
    return None


def reachable(host: str) -> str:
    """An address at which a server that listens on `host` is reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
