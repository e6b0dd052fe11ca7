"""A Postgres of a test's own on a port of its own: to be killed, backed up and put back."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncpg

from grantlog.runtime.os_process import die_with_parent
from grantlog.runtime.postgres_binaries import find_binaries, readable_binaries
from grantlog.runtime.postgres_place import give, run_as, server_uid
from tests.ports import kept_port

_STARTED_WITHIN_S = 60.0
_SETTINGS = {
    "shared_buffers": "32MB",
    "max_connections": "100",
    "wal_level": "replica",
    "max_wal_senders": "4",
    "hot_standby": "on",
    "fsync": "off",  # a killed server's pages stay with the kernel
}


class OwnPostgres:
    """A server over `folder/data`; its address stays the same whatever is started there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = kept_port()
        self._uid = server_uid(folder / "data")
        self._binaries = readable_binaries(find_binaries(), self._uid).folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def dsn(self, database: str = "grantlog", port: int | None = None) -> str:
        return f"postgresql://grantlog@127.0.0.1:{port or self.port}/{database}"

    def make(self) -> None:
        """Make an empty cluster."""
        self.run("initdb", "-D", str(self.data), "-U", "grantlog", "--auth=trust", "--locale=C",
                 "--encoding=UTF8")  # fmt: skip

    def start(self) -> None:
        """Start it, and return when it answers."""
        self._process = self._started(self.data, self.port)
        self._await(self._process, self.port)

    def kill(self) -> None:
        """End all of its processes at once, as a power cut does."""
        self._tell(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(timeout=60)
        self._process = None
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def back_up(self, name: str) -> Path:
        """A base backup, taken while it runs."""
        to = self.folder / name
        self.run("pg_basebackup", "-D", str(to), "-h", "127.0.0.1", "-p", str(self.port),
                 "-U", "grantlog", "-X", "stream", "-c", "fast")  # fmt: skip
        return to

    def put_back(self, backup: Path) -> None:
        """Replace the data directory of the stopped server by a copy of a backup."""
        assert self._process is None
        shutil.rmtree(self.data)
        subprocess.run(["/bin/cp", "-a", str(backup), str(self.data)], check=True)

    def restore(self, backup: Path) -> Path:
        """Lose what was committed since a backup, as an operator does who puts it back.

        Returns:
            A copy of what was there before.
        """
        self.kill()
        lost = self.folder / "lost"
        shutil.rmtree(lost, ignore_errors=True)
        self.data.rename(lost)
        self.data.mkdir()
        self.put_back(backup)
        self.start()
        return lost

    @contextmanager
    def beside(self, data: Path) -> Iterator[str]:
        """Run a server over another data directory for the block; the address of its database."""
        port = kept_port()
        process = self._started(data, port)
        try:
            self._await(process, port)
            yield self.dsn(port=port)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)

    def promote(self, standby: Path) -> None:
        """Run a base backup as a standby, promote it, and put it in the place of this one."""
        assert self._process is None
        (standby / "standby.signal").touch()
        give(standby / "standby.signal", self._uid)
        port = kept_port()
        process = self._started(standby, port)
        self._await(process, port)
        self.run("pg_ctl", "promote", "-D", str(standby), "-w")
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        self.put_back(standby)

    def pause(self) -> None:
        """Stop its clock: connections stay open, nothing is answered."""
        self._tell(signal.SIGSTOP)

    def resume(self) -> None:
        self._tell(signal.SIGCONT)

    def _tell(self, signum: signal.Signals) -> None:
        for pid in self._pids():
            with suppress(ProcessLookupError):  # a backend whose client went
                os.kill(pid, signum)

    def _pids(self) -> list[int]:
        """The server, stopped first so that it starts nothing more, and its backends."""
        assert self._process is not None
        main = self._process.pid
        os.kill(main, signal.SIGSTOP)
        backends = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        return [main, *map(int, backends)]

    def run(self, program: str, *arguments: str) -> None:
        """Run one of Postgres's programs to its end."""
        done = subprocess.run(
            [str(self._binaries / program), *arguments],
            capture_output=True, text=True, check=False, **run_as(self._uid, self.folder),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def close(self) -> None:
        if self._process is not None:
            self.kill()

    def _started(self, data: Path, port: int) -> subprocess.Popen[bytes]:
        flags = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [str(self._binaries / "postgres"), "-D", str(data), "-h", "127.0.0.1",
                 "-p", str(port), "-k", "", *flags],
                stdout=log, stderr=log, start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGINT),  # noqa: PLW1509 - only calls prctl
                **run_as(self._uid, self.folder),
            )  # fmt: skip

    def _await(self, process: subprocess.Popen[bytes], port: int) -> None:
        deadline = time.monotonic() + _STARTED_WITHIN_S
        ready = [str(self._binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        while subprocess.run(ready, check=False).returncode:
            log = (self.folder / "log").read_text()[-2000:]
            assert process.poll() is None, log
            assert time.monotonic() < deadline, log
            time.sleep(0.05)


@contextmanager
def own_postgres() -> Iterator[OwnPostgres]:
    """A running server with an empty database `grantlog`."""
    folder = Path(tempfile.mkdtemp(prefix="grantlog-own-", dir="/tmp"))
    give(folder, server_uid(folder / "data"))
    server = OwnPostgres(folder)
    try:
        server.make()
        server.start()
        server.run("createdb", "-h", "127.0.0.1", "-p", str(server.port), "-U", "grantlog",
                   "grantlog")  # fmt: skip
        yield server
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


async def one(dsn: str, query: str, *arguments: object) -> object:
    """The value that a query gives."""
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query, *arguments)
    finally:
        await connection.close()
