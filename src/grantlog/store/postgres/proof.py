"""What a process knows of the primary's log, held against every server that it connects to.

A database that was put back to an earlier state may look like the same server: a copied data
directory keeps identifier and timeline. But it is another run of it, and it lacks what was seen of
the log since. So each new run of the server is asked for that before anyone uses the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from grantlog.errors import GrantlogError
from grantlog.model.ids import Epoch, TenantId
from grantlog.store.postgres.epoch import Seen, Server, identify, open_if_set_back
from grantlog.store.postgres.pool import Connection, Pool, acquired

LOOK_S: Final = 1.0
"""Between looks: so late a process may hear of an epoch that another one opened."""

Witness: TypeAlias = "Callable[[], Mapping[TenantId, Seen]]"
"""Tells what a process saw of each tenant's log, whenever it is asked."""
Entered: TypeAlias = "Callable[[Epoch], None]"
"""Told an epoch when this process meets it; what is known of earlier ones may be lost."""


def _saw_nothing() -> Mapping[TenantId, Seen]:
    return {}


def _nobody(epoch: Epoch) -> None:
    del epoch


def later_of(one: Mapping[TenantId, Seen], other: Mapping[TenantId, Seen]) -> dict[TenantId, Seen]:
    """By tenant, the later of what two memories hold; of equal places the second one's."""
    merged = dict(one)
    for tenant, seen in other.items():
        known = merged.get(tenant)
        if known is None or (seen.epoch, seen.revision) >= (known.epoch, known.revision):
            merged[tenant] = seen
    return merged


class Proof:
    """Proves connections to the primary, on behalf of one process.

    Args:
        seen: what the process saw of the log.
        entered: is told each later epoch that is met.
        who: whose memory it is, for people.
    """

    def __init__(
        self, seen: Witness = _saw_nothing, entered: Entered = _nobody, *, who: str = "a process"
    ) -> None:
        self._seen = seen
        self._entered = entered
        self._who = who
        self._server: Server | None = None
        self._epoch = Epoch(0)

    @property
    def epoch(self) -> Epoch:
        """The latest epoch that was met, 0 before the first connection."""
        return self._epoch

    async def prove(self, connection: Connection) -> None:
        """Make sure that a new connection leads to the log as this process knows it.

        If it does not, an epoch is open afterwards that tells the two histories apart.

        Raises:
            UnavailableError: the server is no primary, or does not answer.
            PreconditionError: the database has not been migrated.
        """
        epoch, server = await identify(connection)
        if server != self._server:
            opened = await open_if_set_back(connection, self._seen(), who=self._who)
            epoch = epoch if opened is None else opened
            self._server = server
        self._enter(epoch)

    def forget_server(self) -> None:
        """More is known than when the server was proven: the next look or connection asks anew."""
        self._server = None

    async def look(self, pool: Pool) -> None:
        """Prove a connection that stands, and meet the epoch that is written in now.

        Raises:
            UnavailableError: the primary does not answer.
        """
        async with acquired(pool, doing="looking at the epoch") as connection:
            await self.prove(connection)

    async def keep_looking(self, pool: Pool, *, every_s: float = LOOK_S) -> None:
        """Look now and then, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.look(pool)
            except GrantlogError:
                continue  # connections that come back are proven anyway

    def _enter(self, epoch: Epoch) -> None:
        if epoch > self._epoch:
            self._epoch = epoch
            self._entered(epoch)
