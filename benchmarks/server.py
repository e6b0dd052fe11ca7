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
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from processes import descendants, role

from grantlog.runtime.settings import inherited_environment

HOST: Final = "127.0.0.1"
_READY_S_MAX: Final = 60.0
_STOP_S_MAX: Final = 60.0
_POLL_S: Final = 0.05


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
        connection = http.client.HTTPConnection(HOST, self.http_port, timeout=60)
        headers = {"Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        if response.status != http.client.OK:
            raise ServerFailedError(f"POST {path}: HTTP {response.status} {text[:500]!r}")
        return json.loads(text)

    def pin_api(self, core: int) -> None:
        """Keep the API's process on one processor core."""
        for pid in descendants(self.pid):
            if role(pid) == "api":
                for task in Path(f"/proc/{pid}/task").iterdir():
                    os.sched_setaffinity(int(task.name), {core})


@contextmanager
def running_server(
    flags: Sequence[str], environment: Mapping[str, str] = MappingProxyType({})
) -> Generator[Server]:
    """Start `grantlog serve`, with more in its environment, and stop it again."""
    ports = _free_ports()
    with tempfile.TemporaryDirectory(prefix="grantlog-bench-") as folder:
        command = [
            *(str(Path(sys.executable).with_name("grantlog")), "serve"),
            *(f"--http-port={ports[0]}", f"--grpc-port={ports[1]}", f"--data-dir={folder}/data"),
            *flags,
        ]
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            env=inherited_environment(without=()) | dict(environment),
        )
        try:
            server = Server(process.pid, *ports, Path(folder) / "data")
            _wait_ready(server, process)
            yield server
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
