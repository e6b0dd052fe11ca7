from __future__ import annotations

import asyncio
import os
import signal

import pytest

from grantlog.runtime.supervise import run_jobs, supervise


async def test_it_ends_when_all_jobs_have_ended():
    ended = []

    async def job() -> None:
        ended.append(1)

    await run_jobs({"a": job, "b": job}, stop=asyncio.Event(), grace_s=1)
    assert ended == [1, 1]


async def test_a_job_that_returns_stops_nobody():
    stop = asyncio.Event()
    first_done = asyncio.Event()

    async def short() -> None:
        first_done.set()

    async def long() -> None:
        await first_done.wait()
        assert not stop.is_set()

    await run_jobs({"short": short, "long": long}, stop=stop, grace_s=1)


async def test_the_first_failure_stops_the_others_and_is_raised():
    stop = asyncio.Event()
    finished = []

    async def fails() -> None:
        raise ValueError("first")

    async def heeds() -> None:
        await stop.wait()
        finished.append("batch")

    with pytest.raises(ValueError, match="first"):
        await run_jobs({"fails": fails, "heeds": heeds}, stop=stop, grace_s=5)
    assert finished == ["batch"]


async def test_a_failure_while_stopping_is_raised():
    stop = asyncio.Event()
    stop.set()

    async def fails() -> None:
        await stop.wait()
        raise ValueError("late")

    with pytest.raises(ValueError, match="late"):
        await run_jobs({"fails": fails}, stop=stop, grace_s=5)


async def test_a_job_that_does_not_heed_stop_is_cancelled_after_the_grace():
    stop = asyncio.Event()
    cancelled = []

    async def deaf() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append("deaf")
            raise

    stop.set()
    await run_jobs({"deaf": deaf}, stop=stop, grace_s=0.01)
    assert cancelled == ["deaf"]


async def test_cancelling_the_supervisor_cancels_its_jobs():
    begun = asyncio.Event()
    cancelled = []

    async def job() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append("job")
            raise

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run_jobs({"job": job}, stop=asyncio.Event(), grace_s=60))
        await begun.wait()
        task.cancel()
    assert cancelled == ["job"]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_sets_stop(signum: int):
    stop = asyncio.Event()

    async def job() -> None:
        os.kill(os.getpid(), signum)
        await stop.wait()

    await supervise({"job": job}, stop=stop, grace_s=5)


async def test_a_second_signal_cuts_the_grace_short():
    stop = asyncio.Event()

    async def deaf() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await stop.wait()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

    async with asyncio.timeout(60):
        await supervise({"deaf": deaf}, stop=stop, grace_s=600)
