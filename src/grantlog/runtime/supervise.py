"""Running a process's jobs until it is told to stop, or one of them fails."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Final

import structlog

_LOG: Final = structlog.get_logger("grantlog.supervise")
_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)

Job = Callable[[], Awaitable[None]]


async def supervise(jobs: Mapping[str, Job], *, stop: asyncio.Event, grace_s: float) -> None:
    """Run a process's named jobs, as `run_jobs`, under its signals.

    SIGTERM and SIGINT set `stop`; a second one cancels what still runs.

    Raises:
        Exception: what the first failed job raised.
    """
    hurry = asyncio.Event()
    with _signals_set(stop, hurry):
        await run_jobs(jobs, stop=stop, grace_s=grace_s, hurry=hurry)


async def run_jobs(
    jobs: Mapping[str, Job],
    *,
    stop: asyncio.Event,
    grace_s: float,
    hurry: asyncio.Event | None = None,
) -> None:
    """Run named jobs side by side until all have ended.

    The first one that fails sets `stop`. Jobs end what they have in hand when they see it set; one
    that has not ended `grace_s` seconds later, or when `hurry` is set, is cancelled. A job that
    returns is done and stops nobody.

    Raises:
        Exception: what the first failed job raised.
    """
    failures: list[Exception] = []
    async with asyncio.TaskGroup() as group:
        tasks = {
            group.create_task(_guarded(name, job, stop, failures), name=name)
            for name, job in jobs.items()
        }
        late = await _pending_after(tasks, stop)
        late = await _pending_after(late, hurry or asyncio.Event(), timeout_s=grace_s)
        for task in late:
            _LOG.warning("job cut short", job=task.get_name())
            task.cancel()
    if failures:
        raise failures[0]


async def _guarded(name: str, job: Job, stop: asyncio.Event, failures: list[Exception]) -> None:
    try:
        await job()
    except Exception as error:  # noqa: BLE001 - raised again by supervise once all have ended
        _LOG.debug("job failed", job=name, exc_info=True)
        failures.append(error)
        stop.set()


async def _pending_after(
    tasks: set[asyncio.Task[None]], event: asyncio.Event, *, timeout_s: float | None = None
) -> set[asyncio.Task[None]]:
    """The tasks that still run when the event is set or the time is over."""
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(event.wait())
        pending = tasks
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while pending and not waiting.done():
                    done, _ = await asyncio.wait(
                        {*pending, waiting}, return_when=asyncio.FIRST_COMPLETED
                    )
                    pending = pending - done
        waiting.cancel()
    return pending


@contextlib.contextmanager
def _signals_set(stop: asyncio.Event, hurry: asyncio.Event) -> Generator[None]:
    """Until the block ends, the first signal sets `stop` and the next one `hurry`."""
    loop = asyncio.get_running_loop()

    def told() -> None:
        (hurry if stop.is_set() else stop).set()

    for signum in _STOPPING:
        loop.add_signal_handler(signum, told)
    try:
        yield
    finally:
        for signum in _STOPPING:
            loop.remove_signal_handler(signum)
