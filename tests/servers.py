"""Running services for tests; import the fixtures in a conftest."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_READY = re.compile(r"grantlog is serving {2}REST (http://\S+) {2}gRPC (\S+) {2}")
_GRANTLOG = Path(sys.executable).with_name("grantlog")

WAYS = {
    "primary": ("--grpc-server", "native"),
    "replica": ("--with-replica", "--grpc-server", "native"),
    "grpcio": ("--grpc-server", "grpcio"),
}
"""Reading the primary's own tables, reading a projected replica, and the other gRPC server."""

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
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                _GRANTLOG, "serve", "--http-port", "0", "--grpc-port", "0",
                "--data-dir", str(folder / "data"), *WAYS.get(way, ()),
            ],
            env={name: value for name, value in own.items() if not name.startswith("GRANTLOG_")},
            stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        ready = _READY.match(line)
        assert ready, f"said {line!r}; log: {(folder / 'log').read_text()}"
        yield Server(way, ready[1], ready[2], process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0, (folder / "log").read_text()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)
        process.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", params=list(WAYS))
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A service that many tests share."""
    with running(request.param) as shared:
        yield shared


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A service that only the tests of one module use."""
    with running("primary") as own:
        yield own
