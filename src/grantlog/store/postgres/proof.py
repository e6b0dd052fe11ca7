"""What a process knows of the primary's log, held against every server that it connects to.

A database that was put back to an earlier state may look like the same server: a copied data
directory keeps identifier and timeline. But it is another run of it, and it lacks what was seen of
the log since. So each new run of the server is asked for that before anyone uses the connection.
A run that was left for another one never comes back: if it answers again, there are two primaries.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

import structlog

from grantlog.errors import GrantlogError, UnavailableError
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.store.postgres.epoch import Seen, Server, identify, open_if_set_back
from grantlog.store.postgres.lives import Lives, read_lives
from grantlog.store.postgres.pool import Connection, Pool, acquired, discard
from grantlog.waiting import set_within

_LOG: Final = structlog.get_logger("grantlog.epoch")

LOOK_S: Final = 1.0
"""Between looks: so late a process may hear of an epoch that another one opened."""
SOON_S: Final = 0.05
"""Until the next look where something was met that does not fit, or a connection was lost."""
AGAIN_S: Final = 0.2
"""More than that after a look that failed: many nodes may wait for one primary."""
LOOK_TIMEOUT_S: Final = 3.0
"""A look that takes longer is given up with its connection."""
RUNS_LEFT_MAX: Final = 64
"""Runs of servers that are remembered as left."""
RIVAL_TOLD_S: Final = 60.0
"""So long after it answered last, a second primary is told of."""

Witness: TypeAlias = "Callable[[], Mapping[TenantId, Seen]]"
"""Tells what a process saw of each tenant's log, whenever it is asked."""
Entered: TypeAlias = "Callable[[Epoch], None]"
"""Told an epoch when this process meets it; what is known of earlier ones may be lost."""
Moved: TypeAlias = "Callable[[], None]"
"""Told when this process moves to another run of the server, before anything is read of it."""
Met: TypeAlias = "Callable[[Lives], Awaitable[None]]"
"""Told the log's epochs whenever a look finds another newest one."""


def _saw_nothing() -> Mapping[TenantId, Seen]:
    return {}


def _nobody(epoch: Epoch) -> None:
    del epoch


def _nothing() -> None:
    """Nothing is kept of a run of the server."""


def later_of(one: Mapping[TenantId, Seen], other: Mapping[TenantId, Seen]) -> dict[TenantId, Seen]:
    """By tenant, the later of what two memories hold; of equal places the one with a digest."""
    merged = dict(one)
    for tenant, seen in other.items():
        known = merged.get(tenant)
        if known is None or _rank(seen) >= _rank(known):
            merged[tenant] = seen
    return merged


def _rank(seen: Seen) -> tuple[Epoch, Revision, bool]:
    return seen.epoch, seen.revision, seen.digest is not None


class Proof:
    """Proves connections to the primary, on behalf of one process, and looks at its epoch.

    Args:
        seen: what the process saw of the log.
        entered: is told each later epoch that is met.
        moved: is told of each move to another run of the server.
        who: whose memory it is, for people.
        now: seconds by a clock that never goes back.

    Attributes:
        doubted: set where something was met that does not fit: the next look comes soon.
    """

    def __init__(
        self,
        seen: Witness = _saw_nothing,
        entered: Entered = _nobody,
        *,
        moved: Moved = _nothing,
        who: str = "a process",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.doubted = asyncio.Event()
        self._seen = seen
        self._entered = entered
        self._moved = moved
        self._who = who
        self._now = now
        self._server: Server | None = None
        self._is_proven = False
        self._epoch = Epoch(0)
        self._lives: Lives | None = None
        self._met: list[Met] = []
        self._left: deque[Server] = deque(maxlen=RUNS_LEFT_MAX)
        self._open: dict[Connection, Server] = {}
        self._rival = ""
        self._rival_at = 0.0

    @property
    def epoch(self) -> Epoch:
        """The latest epoch that was met, 0 before the first connection."""
        return self._epoch

    @property
    def life(self) -> str:
        """The full name of the log's newest epoch as the last look found it, "" before that."""
        return self._lives.newest if self._lives is not None else ""

    @property
    def rival(self) -> str:
        """What was seen of a second primary in the last minute, "" if nothing."""
        return self._rival if self._now() - self._rival_at < RIVAL_TOLD_S else ""

    def on_new_lives(self, met: Met) -> None:
        """Have `met` told of the log's epochs when a look finds another newest one."""
        self._met.append(met)

    async def prove(self, connection: Connection) -> None:
        """Make sure that a new connection leads to the log as this process knows it.

        If it does not, an epoch is open afterwards that tells the two histories apart.

        Raises:
            UnavailableError: the server is no primary, does not answer, or was left for another.
            PreconditionError: the database has not been migrated.
        """
        self._open[connection] = await self._proven(connection)
        connection.add_termination_listener(lambda _: self._lost(connection))

    def forget_server(self) -> None:
        """More is known than when the server was proven: the next look or connection asks anew."""
        self._is_proven = False

    async def look(self, pool: Pool) -> Lives:
        """Prove a connection that stands, and meet the epoch that is written in now.

        Raises:
            UnavailableError: the primary does not answer.
        """
        async with acquired(pool, doing="looking at the epoch") as connection:
            try:
                async with asyncio.timeout(LOOK_TIMEOUT_S):
                    await self._proven(connection)
                    lives = await read_lives(connection)
            except BaseException:
                discard(connection)  # it hangs, or leads to a server that was left
                raise
        if self._lives is None or lives.newest != self._lives.newest:
            self._lives = lives
            for met in self._met:
                await met(lives)
        return lives

    async def keep_looking(self, pool: Pool, *, every_s: float = LOOK_S) -> None:
        """Look now and then, and soon after a doubt or while it fails, until cancelled."""
        while True:
            if await set_within(self.doubted, every_s):
                await asyncio.sleep(SOON_S)  # many may doubt the same
            self.doubted.clear()
            try:
                await self.look(pool)
            except GrantlogError:
                self.doubted.set()  # a restored primary is to be met as soon as it is there
                await asyncio.sleep(AGAIN_S)

    async def _proven(self, connection: Connection) -> Server:
        epoch, server = await identify(connection)
        self._refuse_left(server)
        if server != self._server or not self._is_proven:
            opened = await open_if_set_back(connection, self._seen(), who=self._who)
            self._refuse_left(server)  # another connection may have met its successor meanwhile
            epoch = epoch if opened is None else opened
            self._move_to(server)
        self._enter(epoch)
        return server

    def _move_to(self, server: Server) -> None:
        """From now on `server` is the primary; nothing goes on over connections to another."""
        before, self._server, self._is_proven = self._server, server, True
        if before is None or before == server:
            return
        self._left.append(before)
        self._moved()
        for connection in [c for c, of in self._open.items() if of == before]:
            # Who waits for a COMMIT on it looks up on the new primary what became of it.
            discard(connection)

    def _refuse_left(self, server: Server) -> None:
        if server not in self._left:
            return
        told, self._rival_at = self.rival, self._now()
        self._rival = (
            f"two primaries: the server that was started {server.started:%Y-%m-%d %H:%M:%S} UTC "
            f"(timeline {server.timeline}) answers beside the one that took its place; stop it"
        )
        if not told:
            _LOG.error("a primary that was left answers again", because=self._rival)
        raise UnavailableError(self._rival)

    def _lost(self, connection: Connection) -> None:
        self._open.pop(connection, None)
        self.doubted.set()

    def _enter(self, epoch: Epoch) -> None:
        if epoch > self._epoch:
            self._epoch = epoch
            self.doubted.set()
            self._entered(epoch)
