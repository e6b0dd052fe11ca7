"""Finding out, beside all reads, which replicas are well and still copies of this node's log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from grantlog.errors import GrantlogError, UnavailableError
from grantlog.store.postgres.driver_errors import DRIVER_ERRORS
from grantlog.store.postgres.lives import Identity, Lives, read_identity
from grantlog.store.postgres.migrate import check_schema_range
from grantlog.store.postgres.pool import Connection, Pool, Setup, acquired, discard
from grantlog.store.postgres.replica_first import ReplicaLimits
from grantlog.store.postgres.replica_state import OwnLog, ReplicaState
from grantlog.waiting import set_within


def proving(log: OwnLog) -> Setup:
    """What every new connection to a replica must pass before anyone reads through it.

    The same address may be another server's by now: recreated, promoted, moved behind its name.
    """

    async def prove(connection: Connection) -> None:
        await check_schema_range(connection)
        misfit = (await read_identity(connection)).misfit(log.lives)
        if misfit:
            raise UnavailableError(f"the replica cannot be read: {misfit}")

    return prove


class ReplicaProbe:
    """Asks one replica again and again whether it is well and whose copy it is.

    Args:
        state: where that is noted.
        pool: a lazy pool of one connection, this probe's own: reads may fill the others.
        log: the log whose copy it must be.
        limits: how often.
    """

    def __init__(self, state: ReplicaState, pool: Pool, log: OwnLog, limits: ReplicaLimits) -> None:
        self._state = state
        self._pool = pool
        self._log = log
        self._limits = limits

    async def run(self) -> None:
        """Probe until cancelled: soon after a failure, else once in a while."""
        while True:
            state = self._state
            if state.is_in:
                await set_within(state.failed_now, self._limits.probe_s)
            if not state.is_in:
                await asyncio.sleep(self._limits.back_s(max(1, state.failures)))
            await self.probe()

    async def probe(self) -> None:
        """Ask once and note what came of it."""
        state = self._state
        state.failed_now.clear()
        try:
            async with asyncio.timeout(self._limits.probe_timeout_s):
                identity = await self._identity()
        except TimeoutError:
            state.unfit("it does not answer in time")
        except GrantlogError as error:
            state.unfit(error.explanation or error.reason)
        except ValueError:  # by the driver, which shows the address
            state.unfit("its address is not a valid connection string")
        else:
            misfit = identity.misfit(self._log.lives)
            if misfit:
                state.unfit(misfit)
                self._log.doubted.set()  # perhaps it is the primary that was asked long ago
            else:
                state.fits(identity.kind)

    async def _identity(self) -> Identity:
        async with acquired(self._pool, doing="probing a replica") as connection:
            try:
                await check_schema_range(connection)
                return await read_identity(connection)
            except BaseException:
                discard(connection)  # giving it back would wait for a server that may hang
                raise


def entering(
    log: OwnLog, states: Sequence[ReplicaState], pools: Sequence[Pool]
) -> Callable[[Lives], Awaitable[None]]:
    """What is to be told another newest epoch of the log.

    Args:
        log: where it is noted.
        states: the replicas, which must prove themselves anew in it.
        pools: of the replicas: their connections proved themselves in the one before.
    """

    async def enter(lives: Lives) -> None:
        log.lives = lives
        for state in states:
            state.doubt()
        for pool in pools:
            with suppress(*DRIVER_ERRORS):
                await pool.expire_connections()

    return enter
