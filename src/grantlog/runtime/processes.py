"""Service processes under a supervisor: started, watched, ended, and never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import structlog

from grantlog.errors import PreconditionError, UnavailableError
from grantlog.runtime.os_process import die_with_parent, started_at
from grantlog.runtime.service import EXIT_SETTINGS
from grantlog.waiting import set_within

_LOG: Final = structlog.get_logger("grantlog.processes")
_ORPHAN_S_MAX: Final = 5.0
_POLL_S: Final = 0.02
_BACKOFF_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_HEALTHY_S: Final = 30.0
"""A process that ran this long did not fail at its start: the backoff begins anew."""


@dataclass(frozen=True, slots=True)
class ServiceProcess:
    """A running service that loads its code and waits for its settings, or already serves."""

    name: str
    process: Process

    def begin(self, settings: Mapping[str, str]) -> None:
        """Let it serve with these `GRANTLOG_*` variables. One that is gone already stays gone."""
        assert self.process.stdin is not None
        with contextlib.suppress(ConnectionError):
            self.process.stdin.write(json.dumps(dict(settings)).encode() + b"\n")
            self.process.stdin.close()

    async def end(self, grace_s: float) -> None:
        """Tell it to stop, and kill it if it has not `grace_s` seconds later."""
        if self.process.returncode is not None:
            return
        self.process.terminate()
        try:
            async with asyncio.timeout(grace_s):
                await self.process.wait()
        except TimeoutError:
            _LOG.warning("process killed: it did not stop", process=self.name, grace_s=grace_s)
            self.process.kill()
            await self.process.wait()
        except asyncio.CancelledError:
            self.process.kill()
            raise


@contextlib.asynccontextmanager
async def service_process(
    name: str, environment: Mapping[str, str], run_folder: Path | None, *, grace_s: float
) -> AsyncGenerator[ServiceProcess]:
    """Start a service's process; it is ended when the block ends, killed if this process is.

    `run_folder` takes its identity, for `end_orphans` of the next start. Ctrl-C does not reach it:
    the order in which processes end is the supervisor's.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "grantlog.runtime.service", name),
        stdin=PIPE,
        env=environment,
        preexec_fn=die_with_parent(signal.SIGTERM),
        start_new_session=True,
    )
    service = ServiceProcess(name, process)
    identity = run_folder / f"{name}.json" if run_folder else None
    try:
        if identity:
            marks = {"pid": process.pid, "started": started_at(process.pid)}
            identity.write_text(json.dumps(marks))
        yield service
    finally:
        await service.end(grace_s)
        if identity:
            identity.unlink(missing_ok=True)


async def end_orphans(run_folder: Path) -> None:
    """End service processes that a killed supervisor left behind; they still hold its ports."""
    for name, pid, started in _identities(run_folder):
        for signum in (signal.SIGTERM, signal.SIGKILL):
            if started_at(pid) != started:
                break
            _LOG.info("ending a process that an earlier run left", pid=pid, process=name)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)
            await _wait_gone(pid, started)


def _identities(run_folder: Path) -> list[tuple[str, int, str]]:
    """Name, pid and start of the processes noted in a folder; the notes are taken away."""
    found: list[tuple[str, int, str]] = []
    for note in run_folder.glob("*.json"):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            marks = json.loads(note.read_text())
            found.append((note.stem, int(marks["pid"]), str(marks["started"])))
        note.unlink()
    return found


async def _wait_gone(pid: int, started: str) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_ORPHAN_S_MAX):
            while started_at(pid) == started:  # noqa: ASYNC110 - only a parent is told
                await asyncio.sleep(_POLL_S)


def backoff_s(failures: int, rng: Random) -> float:
    """How long to wait before the next attempt after so many failures in a row, with jitter."""
    return _BACKOFF_S[min(failures, len(_BACKOFF_S)) - 1] * rng.uniform(0.8, 1.2)


async def ended_before(process: Process, stop: asyncio.Event) -> bool:
    """Wait until the process has ended or `stop` is set; whether it ended by itself."""
    async with asyncio.TaskGroup() as group:
        exited = group.create_task(process.wait())
        told = group.create_task(stop.wait())
        await asyncio.wait({exited, told}, return_when=asyncio.FIRST_COMPLETED)
        exited.cancel()
        told.cancel()
    return process.returncode is not None and not stop.is_set()


async def watch(name: str, process: Process, stop: asyncio.Event) -> None:
    """Return when `stop` is set.

    Raises:
        UnavailableError: the process ended by itself.
    """
    if await ended_before(process, stop):
        raise UnavailableError(
            f"the {name} process {_how(process)}: everything stops, the lines above say more"
        )


async def keep_running(
    first: ServiceProcess,
    *,
    settings: Mapping[str, str],
    environment: Mapping[str, str],
    run_folder: Path | None,
    stop: asyncio.Event,
    grace_s: float,
    rng: Random,
) -> None:
    """Keep a service running until `stop`: when its process ends by itself, start another.

    `first` already runs and belongs to the caller. Attempts that fail soon are further apart.

    Raises:
        PreconditionError: it refuses its settings.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    failures = 0
    service = first
    async with contextlib.AsyncExitStack() as stack:
        while await ended_before(service.process, stop):
            if service.process.returncode == EXIT_SETTINGS:
                raise PreconditionError(
                    f"the {service.name} process refuses its settings: the line above says which"
                )
            failures = 1 if loop.time() - begun > _HEALTHY_S else failures + 1
            wait_s = backoff_s(failures, rng)
            _LOG.error(
                "process ended, starting it again",
                process=service.name,
                how=_how(service.process),
                in_s=round(wait_s, 2),
            )
            if await set_within(stop, wait_s):
                return
            await stack.aclose()
            service = await stack.enter_async_context(
                service_process(first.name, environment, run_folder, grace_s=grace_s)
            )
            begun = loop.time()
            service.begin(settings)


def _how(process: Process) -> str:
    code = process.returncode
    if code is not None and code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
