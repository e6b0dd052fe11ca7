"""A real Kafka for tests: the one that GRANTLOG_TEST_KAFKA names, or Apache's own, run here."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from grantlog.runtime.os_process import die_with_parent
from tests.ports import kept_port

_SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "kafka" / "run.py"
_LIB = _SCRIPT.parents[2] / ".make" / "kafka" / "lib"
_STARTED_WITHIN_S = 60.0


class Broker:
    """Apache Kafka in a folder and on a port of its own; it may be killed and started again."""

    def __init__(self, folder: Path, *, advertised_port: int = 0) -> None:
        self.folder = folder
        self.port = kept_port()
        self.advertised_port = advertised_port
        """Of a proxy that clients are to come through; 0 for none."""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def launch(self) -> None:
        """Start it."""
        command = [sys.executable, _SCRIPT, "--data-dir", self.folder, "--port", str(self.port)]
        command += ["--advertised-port", str(self.advertised_port)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - only calls prctl
            )

    def start(self) -> None:
        """Start it, and return when it answers connections."""
        self.launch()
        assert self._process is not None
        deadline = time.monotonic() + _STARTED_WITHIN_S
        while not self.answers():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, and return when it is gone. SIGKILL is a crash."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(how)
            self._process.wait(timeout=60)
            self._process = None

    def pause(self) -> None:
        """Stop its clock: connections stay open, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def answers(self) -> bool:
        """Whether it accepts connections."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


def why_not_here() -> str:
    """What this machine lacks to run a broker of its own, "" if nothing."""
    if shutil.which("java") is None:
        return "no Kafka: java is not here, and GRANTLOG_TEST_KAFKA names none"
    if not list(_LIB.glob("kafka_*.jar")):
        return "no Kafka: `make kafka` fetches it, or GRANTLOG_TEST_KAFKA names one"
    return ""


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The bootstrap address of a broker for the whole run."""
    configured = os.environ.get("GRANTLOG_TEST_KAFKA")  # noqa: TID251 - the run's own setting
    if configured:
        yield configured
        return
    with running_broker() as broker:
        yield broker.bootstrap


@pytest.fixture
def own_broker() -> Iterator[Broker]:
    """A broker of the test's own, to be killed and started again."""
    with running_broker() as broker:
        yield broker


@contextmanager
def running_broker() -> Iterator[Broker]:
    """A broker in a folder of its own; skips the test where none can run."""
    if reason := why_not_here():
        pytest.skip(reason)
    broker = Broker(Path(tempfile.mkdtemp(prefix="grantlog-kafka-", dir="/tmp")))
    try:
        broker.start()
        yield broker
    finally:
        broker.stop(signal.SIGKILL)
        shutil.rmtree(broker.folder, ignore_errors=True)


_numbers = count(1)


@pytest.fixture
def new_topic() -> Callable[[], str]:
    """Names of topics that nobody used before."""
    return lambda: f"grantlog.test.{os.getpid()}.{time.time_ns()}.{next(_numbers)}"
