"""Which log a database holds, and whether it may be read in the place of a primary.

A log's newest epoch names it: its number, when it opened, on which system and timeline. A physical
copy has that row as all others; a projector writes it down where it folds. Nobody writes under
another server's epoch, so two databases that name the same one hold the same history.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Final

import structlog

from grantlog.errors import CorruptionError, PreconditionError
from grantlog.model.ids import Epoch
from grantlog.store.postgres.connecting import THE_REPLICA
from grantlog.store.postgres.driver_errors import translating
from grantlog.store.postgres.pool import Connection, Pool, acquired, connect
from grantlog.store.postgres.statements import load

_LOG = structlog.get_logger("grantlog.follow")
_SQL: Final = load("lives")

READERS: Final = "grantlog replica reads"
"""What connections that read facts from a replica call themselves: `end_readers` ends these."""


NOT_BEGUN: Final = "it follows no log: no projector has begun to fold into it"
"""Why a projected replica is not read at first, also where all is as it should be."""


RUN_AS_PRIMARY: Final = (
    "the replica's database has an epoch of its own: a service was run on it once as on a primary, "
    "and what was written there is in no log but its own. Drop it, create it anew and run "
    "`grantlog migrate` (save what you need of it before); a projector then fills it"
)
"""Of a database that was a replica before somebody's mistake made it a primary."""


class Kind(Enum):
    """What stands behind a reader's address."""

    STANDBY = "standby"
    PROJECTED = "projected"
    PRIMARY = "primary"


@dataclass(frozen=True, slots=True)
class Lives:
    """The epochs of a primary's log, and the server that writes it.

    Attributes:
        newest: names the newest epoch; "" of a database that was never seeded.
        earlier: names of all before it.
        started: when the server was started, in µs: no other server has that instant and this log.
    """

    newest: str
    earlier: frozenset[str]
    started: int

    @property
    def epoch(self) -> Epoch:
        """The newest epoch's number."""
        return Epoch(int(self.newest.partition("/")[0] or 0))


@dataclass(frozen=True, slots=True)
class Identity:
    """What a database to be read says of itself.

    Attributes:
        started: as `Lives`.
        in_recovery: whether it is a physical standby now.
        has_log: whether it has epochs: a primary's, or its copy's.
        life: as `Lives.newest`.
        was_replica: whether it was made, or folded into, as a replica.
    """

    started: int
    in_recovery: bool
    has_log: bool
    life: str
    was_replica: bool = False

    @property
    def kind(self) -> Kind:
        """By whether it has a log of its own and whether it may write it."""
        if not self.has_log:
            return Kind.PROJECTED
        return Kind.STANDBY if self.in_recovery else Kind.PRIMARY

    def misfit(self, log: Lives) -> str:
        """Why the database may not be read in the place of a log's primary, "" if it may."""
        is_primary = self.kind is Kind.PRIMARY
        if self.life == log.newest and not (is_primary and self.started != log.started):
            return ""
        if is_primary and self.was_replica:
            return RUN_AS_PRIMARY
        if is_primary and self.started != log.started:
            return "it is a primary of its own: promoted, or never a copy"
        if not self.life:
            return NOT_BEGUN
        if self.life in log.earlier:
            return "it has not reached the log's newest epoch"
        return "it holds another log than this primary's"


async def read_lives(connection: Connection) -> Lives:
    """The epochs of the primary behind a connection.

    Raises:
        UnavailableError: it does not answer.
    """
    with translating("asking for the log's epochs"):
        row = await connection.fetchrow(_SQL["lives"])
    if row is None:
        raise CorruptionError("the database does not know its own epochs")
    newest, *earlier = row["lives"] or [""]
    return Lives(newest, frozenset(earlier), row["started"])


async def read_identity(connection: Connection) -> Identity:
    """What the database behind a connection says of itself; it must be migrated.

    Raises:
        UnavailableError: it does not answer.
    """
    with translating("asking a replica whose copy it is"):
        row = await connection.fetchrow(_SQL["identity"])
    if row is None:
        raise CorruptionError("the replica does not know itself")
    return Identity(*row.values())


async def is_standby(dsn: str) -> bool:
    """Whether the server behind an address is a physical standby now.

    Raises:
        UnavailableError: it does not answer.
    """
    async with connect(dsn, application_name="grantlog", whose=THE_REPLICA) as connection:
        with translating("asking whether a replica is a standby"):
            standby: bool = await connection.fetchval(_SQL["in_recovery"])
    return standby


async def follow_life(primary: Pool, replica: Pool) -> None:
    """Write down in a projected replica which log it follows; called again and again.

    Raises:
        PreconditionError: it was folded from another log.
        UnavailableError: a database does not answer.
    """
    async with acquired(primary, doing="asking for the log's epochs") as connection:
        lives = await read_lives(connection)
    async with acquired(replica, doing="noting which log the replica follows") as connection:
        followed = await connection.fetchval(_SQL["followed"])
        if followed == lives.newest:
            return
        if followed is not None and followed not in lives.earlier:
            raise PreconditionError(
                "the replica was folded from another log than this primary's: "
                "`grantlog projector rebuild` empties it and folds this one"
            )
        await connection.execute(_SQL["follow"], lives.newest)
    _LOG.info("replica follows the log", epoch=lives.epoch)


async def foreign_life(primary: Pool, replica: Pool) -> str:
    """Why what a projected replica holds is not of this primary's log; "" if it is.

    Raises:
        UnavailableError: a database does not answer.
    """
    async with acquired(primary, doing="asking for the log's epochs") as connection:
        lives = await read_lives(connection)
    async with acquired(replica, doing="asking which log the replica follows") as connection:
        followed: str | None = await connection.fetchval(_SQL["followed"])
    if followed is None or followed == lives.newest or followed in lives.earlier:
        return ""
    return (
        f"the replica follows {_told(followed)}, which this primary's log never was in: the log "
        f"here is in {_told(lives.newest)}. Either two primaries take writes, or this one was put "
        "back: stop the one that is not to be, then `grantlog projector rebuild`"
    )


def _told(life: str) -> str:
    """The name of a life, for people."""
    epoch, opened, system, timeline = life.split("/")
    at = datetime.fromtimestamp(int(opened) / 1_000_000, UTC)
    return f"epoch {epoch} of {at:%Y-%m-%d %H:%M:%S} UTC (system {system}, timeline {timeline})"


async def unfollow(connection: Connection) -> None:
    """Let a replica that was emptied follow any log; who reads it has to find out anew."""
    await connection.execute(_SQL["unfollow"])
    await connection.fetch(_SQL["end_readers"])
