"""A whole service in processes of its own, started the way a user starts it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pytest

from grantlog.runtime.os_process import command_of, started_at
from tests.servers import own_server, server
from tests.waiting import until

__all__ = ["own_server", "server"]

READY = re.compile(
    r"grantlog is serving  REST (http://[^ ]+)  gRPC ([^ ]+)  \(docs: http://[^ ]+/docs\)"
)
GRANTLOG = Path(sys.executable).with_name("grantlog")


@dataclass
class Served:
    """A running `grantlog serve`."""

    process: asyncio.subprocess.Process
    rest: str
    grpc: str
    log: Path
    """What it says on stderr."""

    @property
    def rest_port(self) -> int:
        return int(self.rest.rpartition(":")[2])

    @property
    def grpc_port(self) -> int:
        return int(self.grpc.rpartition(":")[2])

    def pids(self) -> dict[str, int]:
        """Its children by name: api, projector, postgres."""
        named = {}
        for pid in children(self.process.pid):
            command = command_of(pid).split()
            if command and command[0].endswith("postgres"):
                named["postgres"] = pid
            elif "grantlog.runtime.service" in command:
                named[command[-1]] = pid
        return named

    async def ended(self) -> tuple[int, str]:
        """Wait until it ends by itself: its exit code and all that it said on stderr."""
        async with asyncio.timeout(120):
            return await self.process.wait(), self.log.read_text()

    async def stop(self, signum: int = signal.SIGINT) -> int:
        """Tell it to stop; its exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signum)
        async with asyncio.timeout(120):
            return await self.process.wait()


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid and fields[0] not in "ZX":
                found.append(int(stat.parent.name))
    return found


async def all_gone(pids: dict[str, int]) -> None:
    """Wait until none of these processes is left."""
    await until(lambda: all(started_at(pid) is None for pid in pids.values()))


@pytest.fixture
def data_path() -> Iterator[Path]:
    """A path for a data directory that does not exist yet."""
    folder = Path(tempfile.mkdtemp(prefix="grantlog-e2e-", dir="/tmp"))
    yield folder / "data"
    shutil.rmtree(folder, ignore_errors=True)


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve(data_path: Path) -> AsyncIterator[Serve]:
    """Start `grantlog serve` on free ports and wait until it says that it serves."""
    running: list[Served] = []

    async def start(*flags: str, data: Path | None = data_path, **environment: str) -> Served:
        log = data_path.parent / f"log-{len(running)}"  # a pipe that nobody reads fills up
        with log.open("wb") as stderr:
            process = await spawn(
                "serve", "--http-port", "0", "--grpc-port", "0",
                *(("--data-dir", str(data)) if data else ()), *flags,
                stderr=stderr, **environment,
            )  # fmt: skip
        served = Served(process, "", "", log)
        running.append(served)
        line = await first_line(process)
        match = READY.fullmatch(line)
        assert match, f"said {line!r}, then {await served.ended()}"
        served.rest, served.grpc = match[1], match[2]
        return served

    yield start
    for served in running:
        await served.stop(signal.SIGTERM)


async def spawn(
    *arguments: str, stderr: BinaryIO | int = asyncio.subprocess.PIPE, **environment: str
) -> asyncio.subprocess.Process:
    """Run the `grantlog` command, with its output in pipes and nothing of ours in its settings."""
    own = os.environ  # noqa: TID251 - handed on to a child
    inherited = {k: v for k, v in own.items() if not k.startswith("GRANTLOG_")}
    return await asyncio.create_subprocess_exec(
        GRANTLOG, *arguments, env=inherited | environment, start_new_session=True,
        stdout=asyncio.subprocess.PIPE, stderr=stderr,
    )  # fmt: skip


async def first_line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(120):
        return (await process.stdout.readline()).decode().rstrip("\n")


async def failed(*arguments: str, **environment: str) -> tuple[int, str]:
    """Run a command that is to fail: its exit code and what it said on stderr."""
    process = await spawn(*arguments, **environment)
    async with asyncio.timeout(120):
        _, said = await process.communicate()
    return process.returncode or 0, said.decode()
