"""Small services in the place of the real ones, found before them on PYTHONPATH."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time

import asyncpg

from grantlog.runtime.service import run_service
from grantlog.runtime.supervise import supervise

_SETTINGS = os.environ  # noqa: TID251 - these services have no settings module


def api() -> None:
    """Answers /healthz, SERVING when the database answers and the follower beats."""
    sys.exit(run_service(_api))


def projector() -> None:
    """Beats."""
    sys.exit(run_service(_projector))


def stubborn() -> None:
    """Does not heed SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stderr.write("begun\n")
    while True:
        time.sleep(1)


def short_lived() -> None:
    """Ends at once."""
    sys.exit(7)


async def _api() -> None:
    stop = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        word = b"SERVING" if await _well() else b"NOT_SERVING"
        writer.write(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"status":"%s"}' % word)
        writer.close()

    async def serve() -> None:
        host, port = _SETTINGS["GRANTLOG_HOST"], int(_SETTINGS["GRANTLOG_HTTP_PORT"])
        async with await asyncio.start_server(answer, host, port):
            await stop.wait()

    await supervise({"serve": serve}, stop=stop, grace_s=1)


async def _well() -> bool:
    try:
        connection = await asyncpg.connect(_SETTINGS["GRANTLOG_DATABASE_URL"])
    except (OSError, asyncpg.PostgresError):
        return False
    try:
        return bool(
            await connection.fetchval(
                "SELECT 1 FROM followers WHERE beat_at > now() - interval '1 second'"
            )
        )
    finally:
        await connection.close()


async def _projector() -> None:
    stop = asyncio.Event()

    async def beat() -> None:
        connection = await asyncpg.connect(_SETTINGS["GRANTLOG_DATABASE_URL"])
        while not stop.is_set():
            await connection.execute(
                "INSERT INTO followers (name, kind, beat_at) VALUES ('follower', 'maintenance', "
                "now()) ON CONFLICT (name) DO UPDATE SET beat_at = now()"
            )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await stop.wait()
        await connection.close()

    await supervise({"beat": beat}, stop=stop, grace_s=1)
