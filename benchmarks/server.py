"""A server of its own for the benchmark: free ports, a data directory that goes with it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from processes import descendants, role

from grantlog.runtime.embedded import dsn_of
from grantlog.runtime.settings import inherited_environment

HOST: Final = "127.0.0.1"
_READY_S_MAX: Final = 60.0
_STOP_S_MAX: Final = 60.0
_POLL_S: Final = 0.05
_SAID_MAX: Final = 10_000
"""So many characters of its log are shown when something goes wrong."""
_SOCKET_LINE: Final = 4
"""Of Postgres's pid file: the folder of its socket."""

Post = Callable[[str, object], dict[str, Any]]
"""A REST call that must succeed: path and body to answer."""


class ServerFailedError(Exception):
    """The server did not start or did not do as it was told; its own words are on stderr."""


@dataclass(frozen=True)
class Server:
    """A running `grantlog serve`."""

    pid: int
    http_port: int
    grpc_port: int
    data: Path
    """Its data directory."""

    def post(self, path: str, body: object) -> dict[str, Any]:
        """A REST call that must succeed."""
        with self.rest() as post:
            return post(path, body)

    @contextmanager
    def rest(self) -> Generator[Post]:
        """REST calls that must succeed, over one connection that stays open between them."""
        connection = http.client.HTTPConnection(HOST, self.http_port, timeout=60)

        def post(path: str, body: object) -> dict[str, Any]:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read()
            if response.status != http.client.OK:
                raise ServerFailedError(f"POST {path}: HTTP {response.status} {text[:500]!r}")
            return json.loads(text)

        with closing(connection):
            yield post

    def get(self, path: str) -> str:
        """The text at a path."""
        connection = http.client.HTTPConnection(HOST, self.http_port, timeout=60)
        connection.request("GET", path)
        text = connection.getresponse().read()
        connection.close()
        return text.decode()

    def pin(self, *, api: int, others: int) -> None:
        """Keep the API's process on one processor core, and all others on another one."""
        for pid in descendants(self.pid):
            core = api if role(pid) == "api" else others
            for task in Path(f"/proc/{pid}/task").iterdir():
                with suppress(OSError):  # a thread that has ended meanwhile
                    os.sched_setaffinity(int(task.name), {core})

    def dsn(self, database: str) -> str:
        """The address of a database of its embedded Postgres."""
        lines = (self.data / "postgres" / "postmaster.pid").read_text().split("\n")
        return dsn_of(Path(lines[_SOCKET_LINE]), database)


@contextmanager
def running_server(
    flags: Sequence[str],
    environment: Mapping[str, str] = MappingProxyType({}),
    *,
    data: Path | None = None,
) -> Generator[Server]:
    """Start `grantlog serve`, with more in its environment, and stop it again.

    `data` is a folder to keep the data in; without one, it goes with the server.
    """
    ports = _free_ports()
    with tempfile.TemporaryDirectory(prefix="grantlog-bench-") as own:
        folder = data or Path(own)
        folder.mkdir(parents=True, exist_ok=True)
        command = [
            *(str(Path(sys.executable).with_name("grantlog")), "serve"),
            *(f"--http-port={ports[0]}", f"--grpc-port={ports[1]}", f"--data-dir={folder}/data"),
            *flags,
        ]
        log = folder / "serve.log"
        with log.open("ab") as said:
            process = subprocess.Popen(
                command,
                stdout=said,
                stderr=said,
                env=inherited_environment(without=()) | dict(environment),
            )
        try:
            server = Server(process.pid, *ports, folder / "data")
            _wait_ready(server, process)
            yield server
        except Exception:
            sys.stderr.write(log.read_text(errors="replace")[-_SAID_MAX:])
            raise
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(_STOP_S_MAX)


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind((HOST, 0))
        other.bind((HOST, 0))
        return one.getsockname()[1], other.getsockname()[1]


def _wait_ready(server: Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _READY_S_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServerFailedError(f"grantlog serve ended with status {process.returncode}")
        if _is_serving(server.http_port):
            return
        time.sleep(_POLL_S)
    raise ServerFailedError(f"grantlog serve was not ready after {_READY_S_MAX:.0f} s")


def _is_serving(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
