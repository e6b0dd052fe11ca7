"""The tuples of every tenant in SQLite, and where they stand, always from one transaction."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from grantlog.consumer import Entry, PartitionPlace, Positions, TenantPosition
from grantlog.model.change import DataWritten, Operation, TenantDeleted, TupleChange
from grantlog.model.ids import TenantId
from grantlog.model.tuples import RelationTuple

TABLES = """
CREATE TABLE IF NOT EXISTS tuples (
    tenant TEXT NOT NULL, entity_type TEXT NOT NULL, entity_id TEXT NOT NULL,
    relation TEXT NOT NULL, subject_type TEXT NOT NULL, subject_id TEXT NOT NULL,
    subject_relation TEXT NOT NULL,
    PRIMARY KEY (tenant, entity_type, entity_id, relation, subject_type, subject_id,
                 subject_relation)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tenants (
    tenant TEXT PRIMARY KEY, epoch INTEGER NOT NULL, revision INTEGER NOT NULL,
    digest BLOB NOT NULL, stopped TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS partitions (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, next_offset INTEGER NOT NULL,
    epoch INTEGER NOT NULL, publisher_epoch INTEGER NOT NULL, time_ms INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
);
"""

INSERT = "INSERT INTO tuples VALUES (?, ?, ?, ?, ?, ?, ?)"
DELETE = (
    "DELETE FROM tuples WHERE (tenant, entity_type, entity_id, relation, subject_type, subject_id,"
    " subject_relation) = (?, ?, ?, ?, ?, ?, ?)"
)
TENANT = "INSERT OR REPLACE INTO tenants VALUES (?, ?, ?, ?, ?)"
PARTITION = "INSERT OR REPLACE INTO partitions VALUES (?, ?, ?, ?, ?, ?)"


class TupleTable:
    """A `grantlog.consumer.Store`. A change applied twice, or one left out, is an error here."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    async def positions(self) -> Positions:
        """All that was kept."""
        tenants = {
            TenantId(tenant): TenantPosition(*position)
            for tenant, *position in self._database.execute("SELECT * FROM tenants")
        }
        rows = self._database.execute("SELECT * FROM partitions").fetchall()
        partitions = {
            partition: PartitionPlace(offset, (epoch, publisher), time_ms)
            for _, partition, offset, epoch, publisher, time_ms in rows
        }
        return Positions(rows[0][0] if rows else "", tenants, partitions)

    async def apply(self, batch: Sequence[Entry], positions: Positions) -> None:
        """Apply the entries and keep the positions, in one transaction."""
        with self._transaction():
            for entry in batch:
                self._apply(entry)
            self._keep_tenants(positions)
            self._database.execute("DELETE FROM partitions WHERE topic <> ?", (positions.topic,))
            self._database.executemany(
                PARTITION,
                [
                    (positions.topic, partition, place.offset, *place.publisher, place.time_ms)
                    for partition, place in positions.partitions.items()
                ],
            )

    def replace(
        self, tenant: str, tuples: Iterable[RelationTuple], position: TenantPosition
    ) -> None:
        """What is held of a tenant is exactly this, as of this position."""
        with self._transaction():
            self._database.execute("DELETE FROM tuples WHERE tenant = ?", (tenant,))
            self._database.executemany(INSERT, (_row(tenant, each) for each in tuples))
            self._keep_tenants(Positions(tenants={TenantId(tenant): position}))

    def _apply(self, entry: Entry) -> None:
        match entry.body:
            case TenantDeleted():
                self._database.execute("DELETE FROM tuples WHERE tenant = ?", (entry.tenant,))
            case DataWritten(changes, _):
                for change in changes:
                    if isinstance(change, TupleChange):
                        self._change(entry, change)
            case _:
                pass  # schemas, bundles and tenants' names are not in this table

    def _change(self, entry: Entry, change: TupleChange) -> None:
        is_created = change.operation is Operation.CREATE
        row = _row(entry.tenant, change.tuple)
        if self._database.execute(INSERT if is_created else DELETE, row).rowcount != 1:
            raise AssertionError(f"revision {entry.revision} deletes what is not held: {row}")

    def _keep_tenants(self, positions: Positions) -> None:
        self._database.executemany(
            TENANT,
            [
                (tenant, at.epoch, at.revision, at.digest, at.stopped)
                for tenant, at in positions.tenants.items()
            ],
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")


def _row(tenant: str, fact: RelationTuple) -> tuple[str, ...]:
    entity, relation, subject = fact
    return (tenant, *entity, relation, *subject)


@contextmanager
def opened(path: Path) -> Iterator[TupleTable]:
    """The table in a file, for this process alone; others may read it meanwhile.

    Raises:
        BlockingIOError: another process follows into it.
    """
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(TABLES)
            yield TupleTable(database)
