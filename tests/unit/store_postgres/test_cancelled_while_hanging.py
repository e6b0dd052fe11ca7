"""Who is cancelled while a server hangs ends, whatever the driver says about the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import pytest

from grantlog.errors import UnavailableError
from grantlog.model.ids import Revision, TenantId
from grantlog.store.postgres.guard import admit_any
from grantlog.store.postgres.pool import Pool, acquired
from grantlog.store.postgres.proof import Proof
from grantlog.store.postgres.reader import PostgresFactReader


class HungPool:
    """As asyncpg's over a server that stopped: a connection cannot be given back in time."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.lent = asyncio.Event()
        self._refuses = refuses
        self._hangs = True

    @asynccontextmanager
    async def acquire(self, *, timeout: float) -> AsyncGenerator[Any]:  # noqa: ASYNC109 - theirs
        if self._refuses:
            raise TimeoutError
        try:
            self.lent.set()
            await asyncio.sleep(1000 * timeout)
            yield None
        except asyncio.CancelledError:
            if not self._hangs:
                raise
            self._hangs = False  # once, so that a test that fails comes to an end
            raise TimeoutError from None


async def ask(hung: HungPool) -> None:
    async with acquired(cast("Pool", hung), doing="asking"):
        pass


async def ends_when_cancelled(hung: HungPool, work: Coroutine[Any, Any, None]) -> bool:
    """Whether one cancellation, while the pool hangs, is all that it takes."""
    async with asyncio.TaskGroup() as group:
        working = group.create_task(work)
        await hung.lent.wait()
        working.cancel()
        done, _ = await asyncio.wait([working], timeout=60)
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
    return bool(done) and working.cancelled()


async def test_a_cancelled_statement_is_no_outage() -> None:
    hung = HungPool()
    assert await ends_when_cancelled(hung, ask(hung))


async def test_a_deadline_over_a_hung_server_is_a_timeout_of_whoever_set_it() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await ask(HungPool())


async def test_the_drivers_own_timeout_is_an_outage() -> None:
    with pytest.raises(UnavailableError):
        await ask(HungPool(refuses=True))


async def test_a_loop_that_outlives_outages_ends_when_it_is_cancelled() -> None:
    hung = HungPool()
    assert await ends_when_cancelled(hung, Proof().keep_looking(cast("Pool", hung), every_s=0))


async def test_a_worker_of_a_reader_ends_when_it_is_cancelled() -> None:
    hung = HungPool()
    reader = PostgresFactReader(cast("Pool", hung), keys_max=10, admit=admit_any)
    async with asyncio.TaskGroup() as group:

        async def read() -> None:
            with pytest.raises(UnavailableError):
                await reader.read(TenantId("acme"), Revision(1), ())

        reading = group.create_task(read())
        assert await ends_when_cancelled(hung, reader.work())
        await reading
