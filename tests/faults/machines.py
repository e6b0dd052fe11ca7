"""What a deployment is made of: Postgres servers, and services that are kept running."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from grantlog.runtime.data_dir import DataDir
from grantlog.runtime.embedded import embedded_postgres, service_settings
from grantlog.runtime.os_process import die_with_parent, running_in
from grantlog.runtime.postgres_binaries import find_binaries
from grantlog.runtime.postgres_place import PORT

# Processes are killed here, the machine is not: what is in its memory survives.
_SETTINGS = service_settings(2**29) | {"fsync": "off", "max_wal_size": "256MB"}
_BACKOFF_S = 0.5


class Database:
    """A Postgres server with a data directory of its own, to be killed and started again."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._data = DataDir(folder.resolve())
        self._binaries = find_binaries()
        self._stack = AsyncExitStack()
        self._pid = 0
        self._socket = ""

    def dsn(self, database: str) -> str:
        """Where it is reached without any proxy."""
        return f"postgresql://grantlog@/{database}?host={self._socket}"

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A raw connection, for a proxy."""
        return await asyncio.open_unix_connection(f"{self._socket}/.s.PGSQL.{PORT}")

    async def start(self) -> None:
        """Start it, and return when it accepts connections."""
        server = await self._stack.enter_async_context(
            embedded_postgres(self._data, self._binaries, _SETTINGS)
        )
        self._pid, self._socket = server.process.pid, str(server.socket_folder)

    async def stop(self) -> None:
        await self._stack.aclose()

    async def crash(self) -> None:
        """Kill the server; its children see that and end."""
        os.kill(self._pid, signal.SIGKILL)
        await self._stack.aclose()

    def pause(self) -> None:
        """Stop the clock of the server and of all its sessions."""
        for pid in running_in(self._data.postgres, "postgres"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        for pid in running_in(self._data.postgres, "postgres"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    async def execute(self, database: str, *statements: str) -> None:
        """Run statements by a session of their own."""
        async with self.session(database) as connection:
            for statement in statements:
                await connection.execute(statement)

    @asynccontextmanager
    async def session(self, database: str) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.dsn(database))
        try:
            yield connection
        finally:
            await connection.close()


@dataclass
class Service:
    """A service's process, started again whenever it ends, as an orchestrator does.

    Attributes:
        name: `api-a`.
        module: what `python -m` is told.
        environment: its settings.
        log: what it says on stderr.
    """

    name: str
    module: str
    environment: dict[str, str]
    log: Path
    starts: int = 0
    ends: list[int] = field(default_factory=list)
    """Exit codes, negative for a signal."""
    _process: asyncio.subprocess.Process | None = None

    async def run(self) -> None:
        """Keep it running until cancelled; then it is killed."""
        inherited = os.environ  # noqa: TID251 - handed on to a child
        environment = {k: v for k, v in inherited.items() if not k.startswith("GRANTLOG_")}
        try:
            while True:
                with self.log.open("ab") as log:
                    self._process = await asyncio.create_subprocess_exec(
                        sys.executable, "-m", self.module,
                        env=environment | self.environment, stderr=log,
                        stdout=asyncio.subprocess.DEVNULL,
                        preexec_fn=die_with_parent(signal.SIGKILL),
                    )  # fmt: skip
                self.starts += 1
                code = await self._process.wait()
                self.ends.append(code)
                if code != -signal.SIGKILL:  # by itself: not in a hurry, as orchestrators do
                    await asyncio.sleep(_BACKOFF_S)
        finally:
            self.kill()
            if self._process is not None:
                await self._process.wait()

    @property
    def pid(self) -> int:
        """Of the running process, 0 between two."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process else 0

    def kill(self) -> bool:
        """kill -9; whether there was anybody."""
        return self._signal(signal.SIGKILL)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, signum: signal.Signals) -> bool:
        if not self.pid:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signum)
        return True
