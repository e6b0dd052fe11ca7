"""Running services for tests; import the fixtures in a conftest."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from grantlog.cli.databases import PRIMARY
from grantlog.runtime.embedded import dsn_of
from tests.ports import kept_port
from tests.service_process import ServiceProcess

_READY = re.compile(r"grantlog is serving {2}REST (http://\S+) {2}gRPC (\S+) {2}")
_GRANTLOG = Path(sys.executable).with_name("grantlog")

WAYS = {
    "primary": ("--grpc-server", "native"),
    "replica": ("--with-replica", "--grpc-server", "native"),
    "grpcio": ("--grpc-server", "grpcio"),
}
"""Reading the primary's own tables, reading a projected replica, and the other gRPC server."""

WATCH_SERVICE = "watch_service"
"""Reading the primary's own tables; watchers are answered by a service of its own."""

AS_IT_COMES = "as it comes"
"""Without any flag, as the pages start it."""


@dataclass(frozen=True)
class Server:
    """A running `grantlog serve`."""

    way: str
    rest: str
    grpc: str
    pid: int


@contextmanager
def running(way: str) -> Iterator[Server]:
    """A service with a data directory of its own, stopped with SIGTERM; it must end with 0."""
    folder = Path(tempfile.mkdtemp(prefix="grantlog-server-", dir="/tmp"))
    own = os.environ  # noqa: TID251 - handed on to a child
    bare = {name: value for name, value in own.items() if not name.startswith("GRANTLOG_")}
    watch_port = kept_port()
    if way == WATCH_SERVICE:
        bare["GRANTLOG_WATCH_ADDRESS"] = f"127.0.0.1:{watch_port}"
    watch = None
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                _GRANTLOG, "serve", "--http-port", "0", "--grpc-port", "0",
                "--data-dir", str(folder / "data"), *WAYS.get(way, ()),
            ],
            env=bare,
            stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        ready = _READY.match(line)
        assert ready, f"said {line!r}; log: {(folder / 'log').read_text()}"
        if way == WATCH_SERVICE:
            watch = ServiceProcess(
                "watch", folder / "watch.log", _beside(folder / "data", watch_port)
            )
            watch.start()
            _wait_open(watch_port)
        yield Server(way, ready[1], ready[2], process.pid)
        if watch is not None:
            assert watch.end() == 0, watch.said()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0, (folder / "log").read_text()
    finally:
        if watch is not None:
            watch.end(signal.SIGKILL)
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)
        process.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_open(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"nobody listens at port {port}")


def _beside(data: Path, port: int) -> dict[str, str]:
    """Settings of a watch service over an embedded database."""
    socket_folder = (data / "postgres" / "postmaster.pid").read_text().split("\n")[4]
    url = dsn_of(Path(socket_folder), PRIMARY)
    return {"GRANTLOG_DATABASE_URL": url, "GRANTLOG_GRPC_PORT": str(port)}


@pytest.fixture(scope="session", params=list(WAYS))
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A service that many tests share."""
    with running(request.param) as shared:
        yield shared


WATCHED_EVERY_WAY = pytest.mark.parametrize(
    "server", [*WAYS, WATCH_SERVICE], indirect=True, scope="session"
)
"""As a module's `pytestmark`: its `server` is one with a watch service too."""


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A service that only the tests of one module use."""
    with running("primary") as own:
        yield own
