"""A barrier in a replica: who fills it comes so far and no further, however late a test looks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

_RAISE = """
CREATE TABLE barrier (place bigint NOT NULL);
INSERT INTO barrier VALUES (0);
CREATE FUNCTION barrier() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (to_jsonb(NEW) ->> TG_ARGV[0])::bigint > (SELECT place FROM barrier) THEN
        PERFORM pg_advisory_xact_lock(7, 7);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER barrier BEFORE INSERT OR UPDATE ON {table}
FOR EACH ROW EXECUTE FUNCTION barrier('{column}')
"""
_LOWER = "DROP TRIGGER barrier ON {table}; DROP FUNCTION barrier; DROP TABLE barrier"
_END_ORPHANS = """
SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'grantlog %'
"""


class Barrier:
    """Stands at 0 at first."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def move(self, place: int) -> None:
        """Let rows come up to a place; a transaction with one beyond it waits in its middle."""
        await self._connection.execute("UPDATE barrier SET place = $1", place)

    async def end_orphans(self) -> None:
        """End the server's half of a process that was killed: waiting here, it would not notice."""
        await self._connection.fetch(_END_ORPHANS)


@asynccontextmanager
async def barrier(dsn: str, *, table: str, column: str) -> AsyncIterator[Barrier]:
    """A barrier for the block, by a column of a table that grows as the replica does."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(_RAISE.format(table=table, column=column))
        await connection.execute("SELECT pg_advisory_lock(7, 7)")
        made = Barrier(connection)
        yield made
        await made.end_orphans()
        await connection.execute(_LOWER.format(table=table))
    finally:
        await connection.close()
