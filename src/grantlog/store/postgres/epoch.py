"""Lives of the log: each begins with a record of how far the one before it survived.

A failover or a restore may lose acknowledged writes and then give their revisions to others. The
epoch tells the two histories apart: a token of the older life is worth what the newer one recorded.
"""

from __future__ import annotations

from typing import Final

import asyncpg

from grantlog.errors import CorruptionError
from grantlog.model.ids import Epoch
from grantlog.store.postgres.driver_errors import translating
from grantlog.store.postgres.pool import Connection, connect
from grantlog.store.postgres.statements import load

_SQL: Final = load("epoch")
_LIFE: Final = _SQL["life"]
_LOCK_EPOCHS: Final = _SQL["lock_epochs"]
_STOP_WRITERS: Final = _SQL["stop_writers"]
_INSERT_EPOCH: Final = _SQL["insert_epoch"]
_RECORD_HEADS: Final = _SQL["record_heads"]
_MOVE_HEADS: Final = _SQL["move_heads"]

_LOCK_KEY: Final = 0x6772_616E_7465_7063
"""Of the advisory lock under which epochs open ("grantepc")."""


async def ensure_epoch(connection: Connection) -> Epoch:
    """The epoch of the server behind a new connection, opened if it is another server than known.

    Raises:
        UnavailableError: the server is no primary.
        PreconditionError: the database has not been migrated.
    """
    with translating("comparing the database with the log's last known one"):
        life = await _life(connection)
        if _is_known(life):
            return Epoch(life["epoch"])
        async with connection.transaction():
            await connection.execute(_LOCK_EPOCHS, _LOCK_KEY)
            life = await _life(connection)
            if _is_known(life):
                return Epoch(life["epoch"])
            return await _open(connection, life, _reason(life))


async def open_epoch(dsn: str, *, reason: str) -> Epoch:
    """Open a new epoch, whatever the server: part of every restore.

    Raises:
        UnavailableError: the server does not answer, or is no primary.
        PreconditionError: the database has not been migrated.
    """
    async with connect(dsn, application_name="grantlog epoch") as connection:
        return await open_epoch_on(connection, reason=reason)


async def open_epoch_on(connection: Connection, *, reason: str) -> Epoch:
    """As `open_epoch`, on a connection that is in no transaction."""
    with translating("opening an epoch"):
        async with connection.transaction():
            await connection.execute(_LOCK_EPOCHS, _LOCK_KEY)
            return await _open(connection, await _life(connection), reason)


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


def _reason(life: asyncpg.Record) -> str:
    if life["epoch"] is None:
        return "first start"
    if life["known_identifier"] != life["system_identifier"]:
        return "another database system (restored or moved)"
    return f"timeline {life['known_timeline']} became {life['timeline']} (failover or restore)"


async def _open(connection: Connection, life: asyncpg.Record, reason: str) -> Epoch:
    # Writers hold a row lock under a ROW SHARE table lock until they end: from here to the end of
    # this transaction none is under way and none starts, so the heads recorded are the heads kept.
    await connection.execute(_STOP_WRITERS)
    epoch: int = await connection.fetchval(
        _INSERT_EPOCH, life["system_identifier"], life["timeline"], reason
    )
    await connection.execute(_RECORD_HEADS, epoch)
    await connection.execute(_MOVE_HEADS, epoch)
    return Epoch(epoch)
