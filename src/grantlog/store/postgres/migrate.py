"""Bring a database to the shape this version works with, and refuse one of another shape.

Migrations are files `migrations/NNNN_name.sql`, applied in order, each in a transaction of its own
with a bound on how long it may wait for a lock. They only go forward.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from grantlog.errors import PreconditionError
from grantlog.store.postgres.connecting import THE_PRIMARY, THE_REPLICA
from grantlog.store.postgres.driver_errors import translating
from grantlog.store.postgres.pool import Connection, connect
from grantlog.store.postgres.seed import seed_primary
from grantlog.store.postgres.statements import load

_SQL: Final = load("migrate")

SCHEMA_NUMBER_MIN: Final = 5
"""The oldest shape that this version works with; the newest is the last migration's."""

SERVER_VERSION_MIN: Final = 140000
LOCK_TIMEOUT: Final = "5s"
STATEMENT_TIMEOUT: Final = "10min"

_LOCK_KEY: Final = 0x6772_616E_746D_6967
"""Of the advisory lock under which one process migrates ("grantmig")."""

_FILE: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered step."""

    number: int
    name: str
    sql: str


@cache
def migrations() -> tuple[Migration, ...]:
    """All migrations of this version, in order; numbered 1, 2, 3 and so on."""
    found = [
        Migration(int(match[1]), match[2], entry.read_text(encoding="utf-8"))
        for entry in (files("grantlog.store.postgres") / "migrations").iterdir()
        if (match := _FILE.fullmatch(entry.name))
    ]
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError("migrations are not numbered 1, 2, 3 …")
    return tuple(found)


async def migrate(dsn: str, *, seed: bool = True) -> list[int]:
    """Apply what is missing; concurrent calls wait for each other. Idempotent.

    Args:
        dsn: the database.
        seed: whether it is a primary: it then gets its first epoch, the key of continuation
            tokens and, once in its life, the tenant `t1`. A replica is marked as one instead, so
            that no primary ever begins in it.

    Returns:
        The numbers applied now.

    Raises:
        PreconditionError: a newer version's database, a server too old, not UTF-8, or a replica
            that is to be seeded.
        UnavailableError: the server does not answer, or a lock was not granted in time.
    """
    async with connect(
        dsn, application_name="grantlog migrate", whose=THE_PRIMARY if seed else THE_REPLICA
    ) as connection:
        with translating("migrating the database"):
            await _check_server(connection)
            await connection.execute(_SQL["lock_migrations"], _LOCK_KEY)
            try:
                done = await _apply_missing(connection)
            finally:
                await connection.execute(_SQL["unlock_migrations"], _LOCK_KEY)
        if seed:
            await seed_primary(connection)
        else:
            with translating("marking the replica"):
                await connection.execute(_SQL["mark_replica"])
    return done


async def check_schema_range(connection: Connection) -> int:
    """The number of the database's shape, if this version works with it.

    Raises:
        PreconditionError: it does not; the text says who must be upgraded.
    """
    with translating("reading the database's version"):
        exists = await connection.fetchval(_SQL["table_exists"])
        applied = await _applied(connection) if exists else []
    number = applied[-1] if applied else 0
    if number < SCHEMA_NUMBER_MIN:
        raise PreconditionError(
            f"the database is at migration {number}, this version needs {SCHEMA_NUMBER_MIN} or "
            "later: run `grantlog migrate`"
        )
    _refuse_newer(number)
    return number


async def _check_server(connection: Connection) -> None:
    row = await connection.fetchrow(_SQL["encoding"])
    assert row is not None
    if row["version"] < SERVER_VERSION_MIN:
        raise PreconditionError(
            f"the server is PostgreSQL {row['version'] // 10000}, "
            f"{SERVER_VERSION_MIN // 10000} or later is needed"
        )
    if row["encoding"] != "UTF8":
        raise PreconditionError(f"the database's encoding is {row['encoding']}, UTF8 is needed")


async def _apply_missing(connection: Connection) -> list[int]:
    await connection.execute(_SQL["create_table"])
    applied = await _applied(connection)
    if applied:
        _refuse_newer(applied[-1])
    missing = [migration for migration in migrations() if migration.number not in applied]
    for migration in missing:
        async with connection.transaction():
            await connection.execute(_SQL["bounds"], LOCK_TIMEOUT, STATEMENT_TIMEOUT)
            await connection.execute(migration.sql)
            await connection.execute(_SQL["record"], migration.number, migration.name)
    return [migration.number for migration in missing]


async def _applied(connection: Connection) -> list[int]:
    return [row["number"] for row in await connection.fetch(_SQL["applied"])]


def _refuse_newer(number: int) -> None:
    newest = migrations()[-1].number
    if number > newest:
        raise PreconditionError(
            f"the database is at migration {number}, this version knows {newest}: "
            "a newer version of grantlog made it, run that one"
        )
