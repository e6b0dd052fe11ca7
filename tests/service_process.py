"""A service as a process of its own, as its runbook starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from grantlog.runtime.os_process import die_with_parent


class ServiceProcess:
    """`python -m grantlog_NAME` with these settings and no others; killed, and started again."""

    def __init__(self, name: str, log: Path, settings: dict[str, str]) -> None:
        self._command = [sys.executable, "-m", f"grantlog_{name}"]
        self._log = log
        own = os.environ  # noqa: TID251 - handed on to a child
        bare = {key: value for key, value in own.items() if not key.startswith("GRANTLOG_")}
        self._environment = bare | settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it need not answer yet."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - only calls prctl
            )

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it, and return its exit code when it is gone. SIGKILL is a crash."""
        if self._process is None:
            return 0
        process, self._process = self._process, None
        process.send_signal(how)
        return process.wait(timeout=60)

    def signal(self, signum: signal.Signals) -> None:
        """Send it a signal, SIGSTOP say, as long as it runs."""
        if self._process is not None:
            self._process.send_signal(signum)

    def said(self) -> str:
        """All that it logged."""
        return self._log.read_text() if self._log.exists() else ""
