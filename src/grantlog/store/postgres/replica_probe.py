"""Finding out, beside all reads, which replicas are well and still copies of this node's log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from grantlog.errors import GrantlogError, UnavailableError
from grantlog.model.ids import Epoch
from grantlog.store.postgres.driver_errors import DRIVER_ERRORS
from grantlog.store.postgres.lives import Identity, read_identity, read_lives
from grantlog.store.postgres.migrate import check_schema_range
from grantlog.store.postgres.pool import Connection, Pool, Setup, acquired, discard
from grantlog.store.postgres.replica_first import ReplicaLimits
from grantlog.store.postgres.replica_state import OwnLog, ReplicaState


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
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._limits.probe_s):
                        await state.failed_now.wait()
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


class LogWatch:
    """Asks the primary again and again which epoch its log is in.

    Args:
        log: where that is noted.
        primary: a pool of the primary.
        states: the replicas, which must prove themselves anew in a new epoch.
        pools: of the replicas: their connections proved themselves in the old one.
        began: is told the new epoch.
        limits: how often.
    """

    def __init__(
        self,
        log: OwnLog,
        primary: Pool,
        states: Sequence[ReplicaState],
        pools: Sequence[Pool],
        *,
        began: Callable[[Epoch], None],
        limits: ReplicaLimits,
    ) -> None:
        self._log = log
        self._primary = primary
        self._states = states
        self._pools = pools
        self._began = began
        self._limits = limits

    async def run(self) -> None:
        """Ask until cancelled; with the primary away, what is known goes on to count."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.probe_s):
                    await self._log.doubted.wait()
                    await asyncio.sleep(self._limits.back_s_min)  # many may doubt the same
            self._log.doubted.clear()
            with suppress(GrantlogError):
                await self.ask()

    async def ask(self) -> None:
        """Ask once; errors as `read_lives`."""
        lives = await read_lives(self._primary)
        new = lives.newest != self._log.lives.newest
        self._log.lives = lives
        if not new:
            return
        for state in self._states:
            state.doubt()
        for pool in self._pools:
            with suppress(*DRIVER_ERRORS):
                await pool.expire_connections()
        self._began(lives.epoch)
