"""A deployment over Kafka for the benchmark, in processes of their own; it goes with its folder."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from server import HOST, Server, ServerFailedError, running_server

from grantlog.cli.databases import PRIMARY, REPLICA
from grantlog.runtime.settings import inherited_environment

_KAFKA: Final = Path(__file__).resolve().parents[1] / "scripts" / "kafka" / "run.py"


def missing() -> str:
    """What this machine lacks to run it; "" if nothing."""
    probe = (
        f"import sys; sys.path.insert(0, {str(_KAFKA.parent)!r}); import run; print(run.missing())"
    )
    return subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True
    ).stdout.strip()


@dataclass(frozen=True)
class Place:
    """A running deployment."""

    server: Server
    primary: str
    replica: str
    """Both as DSNs."""
    pids: dict[str, int]
    """Of the processes that the server did not start, by role."""


@contextmanager
def deployment() -> Generator[Place]:
    """Kafka, `grantlog serve` with a replica, and a watch service that it hands watchers to."""
    kafka_port, watch_port = _free_port(), _free_port()
    settings = {"GRANTLOG_KAFKA_BOOTSTRAP": f"{HOST}:{kafka_port}"}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="grantlog-lag-")))
        broker = [sys.executable, str(_KAFKA), "--data-dir", str(folder), "--port", str(kafka_port)]
        kafka = stack.enter_context(_process(broker, {}, folder / "kafka.log"))
        _wait_open(kafka_port)
        watched = {"GRANTLOG_WATCH_ADDRESS": f"{HOST}:{watch_port}"}
        server = stack.enter_context(
            running_server(["--with-replica"], environment=settings | watched)
        )
        primary = server.dsn(PRIMARY)
        own = {"GRANTLOG_DATABASE_URL": primary, "GRANTLOG_GRPC_PORT": str(watch_port)}
        command = [sys.executable, "-m", "grantlog_watch"]
        watch = stack.enter_context(_process(command, settings | own, folder / "watch.log"))
        _wait_open(watch_port)
        yield Place(server, primary, server.dsn(REPLICA), {"kafka": kafka, "watch": watch})


@contextmanager
def _process(command: list[str], settings: dict[str, str], log: Path) -> Generator[int]:
    with log.open("wb") as said:
        process = subprocess.Popen(
            command, env=inherited_environment(without=()) | settings, stdout=said, stderr=said
        )
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind((HOST, 0))
        return one.getsockname()[1]


def _wait_open(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise ServerFailedError(f"nobody listens at port {port}")
