"""Containers without a container engine: what compose.yaml says, run as processes of this machine.

A container becomes a process with a loopback address of its own, so that every one of them listens
on the ports that compose.yaml knows. Its command and environment are those that are written there
and nothing else, but for what an image and a network would be here: names become addresses.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from grantlog.runtime.os_process import die_with_parent
from tests.deploy.compose_file import ROOT, ComposeService

_PROGRAMS = Path(sys.executable).parent
_POSTGRES = re.compile(r"^postgresql://[^@]+@(\w+):5432/\w+$")
_PLACE = re.compile(r"\b([a-z]+):(\d+)\b")
_OWN = re.compile(r"\b(?:0\.0\.0\.0|127\.0\.0\.1)\b")
_LISTED = re.compile(r"[\w.,:-]+")


@dataclass
class Network:
    """Where names lead."""

    databases: Mapping[str, str]
    """Addresses of databases, by the name of their service."""
    brokers: Mapping[str, str]
    """`host:port`, by the name of the service."""
    nodes: dict[str, list[str]] = field(default_factory=dict)
    """Addresses of our own containers, by the name of their service."""

    def localised(self, text: str, own: str) -> str:
        """A text of compose.yaml with the addresses that hold here.

        Args:
            text: a variable's value or a word of a command.
            own: the container's address, which it knows as 0.0.0.0 and 127.0.0.1.
        """
        if found := _POSTGRES.match(text):
            return self.databases[found[1]]
        text = _OWN.sub(own, text)
        return _PLACE.sub(self._place, text) if _LISTED.fullmatch(text) else text

    def _place(self, found: re.Match[str]) -> str:
        name, port = found[1], found[2]
        if name in self.brokers:
            return self.brokers[name]
        return ",".join(f"{address}:{port}" for address in self.nodes[name])


class Container:
    """One container of a service."""

    def __init__(
        self,
        service: ComposeService,
        network: Network,
        address: str,
        log: Path,
        extra: Mapping[str, str],
    ) -> None:
        """Prepare it; `extra` is added to its environment, for what only tests need."""
        self.service = service
        self.address = address
        self.log = log
        self._mounts = _mounts(service, log.parent)
        self.command = [self._mounted(network.localised(word, address)) for word in service.command]
        said = {
            name: network.localised(value, address) for name, value in service.environment.items()
        }
        self.environment = _image_environment() | said | dict(extra)
        self._network = network
        self._process: subprocess.Popen[bytes] | None = None

    def _mounted(self, word: str) -> str:
        """A word of a command with the folders of this machine in the place of the container's."""
        for inside, here in self._mounts.items():
            word = re.sub(rf"^{re.escape(inside)}/", f"{here}/", word)
        return word

    def start(self) -> None:
        """Run its command."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                env=self.environment,
                cwd=self.log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - only calls prctl
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def ended(self, within_s: float) -> int:
        """Wait until it ends by itself; its exit code."""
        assert self._process is not None
        return self._process.wait(timeout=within_s)

    def stop(self) -> int:
        """What Compose does: SIGTERM and the grace that compose.yaml gives; its exit code.

        Raises:
            AssertionError: it had to be killed.
        """
        self.tell_to_stop()
        try:
            return self.ended(self.service.stop_grace_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.service.name} did not stop: {self.said()}") from None

    def tell_to_stop(self) -> None:
        assert self._process is not None
        self._process.terminate()

    def kill(self) -> None:
        """Let it die at once."""
        if self.runs:
            assert self._process is not None
            self._process.kill()
            self._process.wait(timeout=30)

    def trouble(self) -> str:
        """What its health check of compose.yaml says; "" if it is healthy."""
        health = self.service.health
        assert health is not None
        words = [self._network.localised(word, self.address) for word in health.command]
        done = self.run(*words, within_s=health.timeout_s)
        return "" if done.returncode == 0 else f"exit code {done.returncode}: {done.stdout}"

    def run(self, *words: str, within_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as `docker compose exec` does."""
        return subprocess.run(
            words,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=within_s + 20,  # this machine is busier than a container's
            check=False,
        )

    def become_healthy(self) -> None:
        """Return when its health check is content.

        Raises:
            AssertionError: it ended, or was not content for longer than compose.yaml bears with it.
        """
        health = self.service.health
        assert health is not None
        deadline = time.monotonic() + health.patience_s
        while trouble := self.trouble():
            told = f"{self.service.name}: {trouble}\n{self.said()}"
            assert self.runs, f"ended with {self._code()}; {told}"
            assert time.monotonic() < deadline, told
            time.sleep(health.start_interval_s / 4)

    def _code(self) -> int | None:
        return self._process.poll() if self._process else None

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


def _mounts(service: ComposeService, folder: Path) -> dict[str, Path]:
    """What stands where in a container, by the path there; volumes are folders below `folder`."""
    found: dict[str, Path] = {}
    for said in service.said.get("volumes", []):
        source, inside = said.split(":")[:2]
        found[inside] = ROOT / source
        if not source.startswith("."):
            found[inside] = folder / f"volume-{source}"
            found[inside].mkdir(exist_ok=True)
    return found


def _image_environment() -> dict[str, str]:
    """What the image gives: its programs on the path, and here this checkout's code."""
    own = os.environ  # noqa: TID251 - handed on to a child
    path = f"{_PROGRAMS}{os.pathsep}{own['PATH']}"
    handed_on = ("PYTHONPATH", "HOME", "LANG")
    return {"PATH": path} | {name: own[name] for name in handed_on if name in own}
