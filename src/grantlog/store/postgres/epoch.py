"""Lives of the log: each begins with a record of how far the one before it survived.

A failover or a restore may lose acknowledged writes and then give their revisions to others. The
epoch tells the two histories apart: a token of the older life is worth what the newer one recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg
import structlog

from grantlog.errors import CorruptionError, PreconditionError
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.store.postgres.connecting import THE_PRIMARY
from grantlog.store.postgres.driver_errors import translating
from grantlog.store.postgres.pool import Connection, Pool, acquired, connect
from grantlog.store.postgres.statements import load

_SQL: Final = load("epoch")
_LIFE: Final = _SQL["life"]
_IS_REPLICA: Final = _SQL["is_replica"]
_LOCK_EPOCHS: Final = _SQL["lock_epochs"]
_STOP_WRITERS: Final = _SQL["stop_writers"]
_INSERT_EPOCH: Final = _SQL["insert_epoch"]
_RECORD_HEADS: Final = _SQL["record_heads"]
_MOVE_HEADS: Final = _SQL["move_heads"]

_LOWER_RECORDED: Final = _SQL["lower_recorded"]
_SET_BACK: Final = _SQL["set_back"]
_NEWEST: Final = _SQL["newest"]

_LOG: Final = structlog.get_logger("grantlog.epoch")

TENANTS_PER_STATEMENT_MAX: Final = 5_000
"""Whose logs are held against what was seen of them, at once."""

_NO_EPOCH: Final = Epoch(0)

_LOCK_KEY: Final = 0x6772_616E_7465_7063
"""Of the advisory lock under which epochs open ("grantepc")."""


class Server(NamedTuple):
    """A run of a server: one that was put back, promoted or only restarted is another one."""

    system_identifier: str
    timeline: int
    started: datetime


class Seen(NamedTuple):
    """What somebody outside the database saw committed of a tenant."""

    epoch: Epoch
    revision: Revision
    digest: bytes | None = None
    """Of the transaction; None where it is not known."""


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """An epoch, for people."""

    epoch: Epoch
    opened_at: datetime
    reason: str

    @property
    def line(self) -> str:
        """What a status says of it."""
        return f"epoch {self.epoch} since {self.opened_at:%Y-%m-%d %H:%M:%S} UTC ({self.reason})"


async def ensure_epoch(connection: Connection) -> Epoch:
    """The epoch of the server behind a new connection, opened if it is another server than known.

    Raises:
        UnavailableError: the server is no primary.
        PreconditionError: the database has not been migrated, or is a replica's.
    """
    epoch, _ = await identify(connection)
    return epoch


async def identify(connection: Connection) -> tuple[Epoch, Server]:
    """As `ensure_epoch`, and which run of which server is behind the connection."""
    with translating("comparing the database with the log's last known one"):
        life = await _life(connection)
        if _is_known(life):
            return Epoch(life["epoch"]), _server(life)
        async with connection.transaction():
            await connection.execute(_LOCK_EPOCHS, _LOCK_KEY)
            life = await _life(connection)
            if _is_known(life):
                return Epoch(life["epoch"]), _server(life)
            epoch = await _open(connection, life, _reason(life))
        return _tell(epoch, _reason(life)), _server(life)


async def refuse_replica(connection: Connection) -> None:
    """Refuse a replica's database where the primary's is wanted.

    Raises:
        PreconditionError: it is one.
        UnavailableError: the server does not answer.
    """
    with translating("asking whether the database is a replica"):
        replica = await connection.fetchval(_IS_REPLICA)
    if replica:
        raise PreconditionError(
            "the primary's address (GRANTLOG_DATABASE_URL) names a replica: swap it with "
            "GRANTLOG_REPLICA_URL; nothing was changed there"
        )


async def open_if_set_back(
    connection: Connection, seen: Mapping[TenantId, Seen], *, who: str
) -> Epoch | None:
    """Open an epoch if the log lacks what was seen of it; the epoch, None if all of it is there.

    The new epoch is later than any that was seen. Of tenants whose log holds something else where
    it was looked at, no more is recorded as survived than what stands before.

    Args:
        connection: to the primary, in no transaction.
        seen: the last that was seen of each tenant.
        who: whose memory it is, for the epoch's reason.

    Raises:
        UnavailableError: the server does not answer, or is no primary.
    """
    if not seen or not await _missing(connection, seen):
        return None
    with translating("opening an epoch"):
        async with connection.transaction():
            await connection.execute(_LOCK_EPOCHS, _LOCK_KEY)
            missing = await _missing(connection, seen)
            if not missing:  # another was quicker
                return None
            reason = _lacks(missing, who)
            latest = Epoch(max(row["epoch"] for row in missing))
            epoch = await _open(connection, await _life(connection), reason, missing, past=latest)
    return _tell(epoch, reason)


async def _missing(connection: Connection, seen: Mapping[TenantId, Seen]) -> list[asyncpg.Record]:
    found: list[asyncpg.Record] = []
    with translating("comparing the log with what was seen of it"):
        everyone = list(seen.items())
        for start in range(0, len(everyone), TENANTS_PER_STATEMENT_MAX):
            some = everyone[start : start + TENANTS_PER_STATEMENT_MAX]
            found += await connection.fetch(
                _SET_BACK,
                [tenant for tenant, _ in some],
                [each.epoch for _, each in some],
                [each.revision for _, each in some],
                [each.digest for _, each in some],
            )
    return found


def _lacks(missing: Sequence[asyncpg.Record], who: str) -> str:
    first = missing[0]
    also = f" (and of {len(missing) - 1} other tenants)" if len(missing) > 1 else ""
    return (
        f"{who} saw revision {first['revision']} of epoch {first['epoch']} of tenant "
        f"{first['tenant_id']}{also}, which the log does not hold; it ends at {first['head']}: "
        "the database was restored or failed over"
    )


async def newest_epoch(pool: Pool) -> EpochRecord | None:
    """The epoch that is written in, None in a database that has none (a replica)."""
    async with acquired(pool, doing="reading the epoch") as connection:
        row = await connection.fetchrow(_NEWEST)
    return EpochRecord(*row.values()) if row is not None else None


async def open_epoch(dsn: str, *, reason: str) -> Epoch:
    """Open a new epoch, whatever the server: part of every restore.

    Raises:
        UnavailableError: the server does not answer, or is no primary.
        PreconditionError: the database has not been migrated.
    """
    async with connect(dsn, application_name="grantlog epoch", whose=THE_PRIMARY) as connection:
        return await _opened(connection, reason)


async def open_epoch_on(connection: Connection, *, reason: str, past: Epoch) -> Epoch:
    """As `open_epoch`, on a connection that is in no transaction, and told to operators.

    Args:
        connection: to the primary.
        reason: noted with the epoch.
        past: an epoch that was seen; the new one is later.
    """
    return _tell(await _opened(connection, reason, past), reason)


async def _opened(connection: Connection, reason: str, past: Epoch = _NO_EPOCH) -> Epoch:
    with translating("opening an epoch"):
        async with connection.transaction():
            await connection.execute(_LOCK_EPOCHS, _LOCK_KEY)
            return await _open(connection, await _life(connection), reason, past=past)


async def _life(connection: Connection) -> asyncpg.Record:
    life = await connection.fetchrow(_LIFE)
    if life is None:
        raise CorruptionError("the database does not know its own identity")
    return life


def _is_known(life: asyncpg.Record) -> bool:
    return (
        life["epoch"] is not None
        and life["known_identifier"] == life["system_identifier"]
        and life["known_timeline"] == life["timeline"]
    )


def _server(life: asyncpg.Record) -> Server:
    return Server(life["system_identifier"], life["timeline"], life["started"])


def _reason(life: asyncpg.Record) -> str:
    if life["epoch"] is None:
        return "first start"
    if life["known_identifier"] != life["system_identifier"]:
        return "another database system (restored or moved)"
    return f"timeline {life['known_timeline']} became {life['timeline']} (failover or restore)"


async def _open(
    connection: Connection,
    life: asyncpg.Record,
    reason: str,
    missing: Sequence[asyncpg.Record] = (),
    *,
    past: Epoch = _NO_EPOCH,
) -> Epoch:
    # Writers hold a row lock under a ROW SHARE table lock until they end: from here to the end of
    # this transaction none is under way and none starts, so the heads recorded are the heads kept.
    await refuse_replica(connection)
    await connection.execute(_STOP_WRITERS)
    epoch: int = await connection.fetchval(
        _INSERT_EPOCH, life["system_identifier"], life["timeline"], reason, past
    )
    await connection.execute(_RECORD_HEADS, epoch)
    rewritten = {r["tenant_id"]: r["revision"] for r in missing if r["epoch"] == life["epoch"]}
    if rewritten:
        lowered = [revision - 1 for revision in rewritten.values()]
        await connection.execute(_LOWER_RECORDED, epoch, list(rewritten), lowered)
    await connection.execute(_MOVE_HEADS, epoch)
    return Epoch(epoch)


def _tell(epoch: Epoch, reason: str) -> Epoch:
    """Tell operators of an epoch that none of them asked for."""
    if epoch > 1:
        _LOG.error("a new epoch of the log began", epoch=epoch, because=reason)
    return epoch
