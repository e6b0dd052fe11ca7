"""Every row of a database, found without knowing its tables: a new table cannot be forgotten."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

TABLES = """
SELECT c.table_name, array_agg(c.column_name::text)
FROM information_schema.columns AS c
JOIN information_schema.tables AS t USING (table_schema, table_name)
WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE'
GROUP BY c.table_name
"""


@dataclass(frozen=True)
class Left:
    """What a database holds of a tenant."""

    rows: dict[str, int]
    """By table, of the tenant: by its id, or by any key that it ever had; tables without any are
    left out."""
    traces: set[str]
    """Tables in which some text that only the tenant's data hold occurs, in whatever column."""


async def left_of(dsn: str, tenant: str, *, keys: set[int], secret: str) -> Left:
    """Look at every table.

    Args:
        dsn: the database.
        tenant: its id.
        keys: the keys of its lives.
        secret: a text that occurs in each of its facts, schemas and bundles.
    """
    connection = await asyncpg.connect(dsn)
    try:
        rows: dict[str, int] = {}
        traces: set[str] = set()
        for table, columns in await connection.fetch(TABLES):
            of_tenant = [
                condition
                for column, condition in (
                    ("tenant_id", "tenant_id = $1"),
                    ("tenant_key", "tenant_key = ANY ($2)"),
                )
                if column in columns
            ]
            if of_tenant:
                asks = f"SELECT count(*) FROM {table} WHERE ({' OR '.join(of_tenant)})"
                asks += " AND ($1::text IS NOT NULL AND $2::bigint[] IS NOT NULL)"
                count = await connection.fetchval(asks, tenant, sorted(keys))
                if count:
                    rows[table] = count
            # bytea is shown in hexadecimal
            asks = f"SELECT count(*) FROM {table} AS r WHERE r::text LIKE $1 OR r::text LIKE $2"
            if await connection.fetchval(asks, f"%{secret}%", f"%{secret.encode().hex()}%"):
                traces.add(table)
        return Left(rows, traces)
    finally:
        await connection.close()


async def keys_of(dsn: str, tenant: str) -> set[int]:
    """The key of the tenant's present life, and of those that wait to be purged."""
    connection = await asyncpg.connect(dsn)
    try:
        asks = (
            "SELECT tenant_key FROM heads WHERE tenant_id = $1 "
            "UNION SELECT tenant_key FROM dead_lives WHERE tenant_id = $1"
        )
        return {key for (key,) in await connection.fetch(asks, tenant)}
    finally:
        await connection.close()


async def count_deleted_rows(dsn: str) -> None:
    """From now on every DELETE statement notes how many rows it took, in the table `deleted`."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "CREATE TABLE deleted (rows bigint);"
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "INSERT INTO deleted SELECT count(*) FROM gone; RETURN NULL; END $$"
        )
        for table, columns in await connection.fetch(TABLES):
            if {"tenant_id", "tenant_key"} & set(columns):
                await connection.execute(
                    f"CREATE TRIGGER note AFTER DELETE ON {table} REFERENCING OLD TABLE AS gone "
                    "FOR EACH STATEMENT EXECUTE FUNCTION note()"
                )
    finally:
        await connection.close()
