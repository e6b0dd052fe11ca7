"""A replica on Postgres: ProjectionStore. Rows and position move in one transaction of the replica.

So exactly-once is a property of Postgres: whatever is sent twice is skipped, whatever was not
committed was not folded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from grantlog.errors import PreconditionError
from grantlog.model.chain import GENESIS
from grantlog.model.change import TenantDeleted, Transaction
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.ports.log import NOWHERE, Position
from grantlog.projection.chain import unapplied
from grantlog.projection.fold import fold, lives
from grantlog.store.postgres.digest import tenant_digest
from grantlog.store.postgres.lives import RUN_AS_PRIMARY, unfollow
from grantlog.store.postgres.pool import INDEX_PLANS, Connection, Pool, acquired
from grantlog.store.postgres.rows import LifeChanges, apply_rows
from grantlog.store.postgres.statements import load

_SQL: Final = load("project")
_DOING: Final = "folding the log into the replica"
_A_PRIMARY: Final = "the replica's address is a primary's database: give the replica one of its own"

PROJECTING: Final[Mapping[str, str]] = MappingProxyType(
    # A commit that a crash of the replica loses is folded again: position and rows go together.
    {**INDEX_PLANS, "synchronous_commit": "off"}
)
"""Settings for the connections of a projection's pool."""


class PostgresProjection:
    """Folds transactions into a replica's tables; a primary's can be digested with it too."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def require_replica(self) -> None:
        """Refuse a database that is somebody's primary.

        Raises:
            PreconditionError: it is.
        """
        async with acquired(self._pool, doing=_DOING) as connection:
            await require_replica(connection)

    async def refuse_run_as_primary(self) -> None:
        """Refuse a replica on which a service was run as on a primary; physical copies pass.

        Raises:
            PreconditionError: it is one; the text says what to do.
        """
        async with acquired(self._pool, doing=_DOING) as connection:
            if all(await _is_primary(connection)):
                raise PreconditionError(RUN_AS_PRIMARY)

    async def positions(self) -> dict[TenantId, Position]:
        """How far each tenant has been folded."""
        async with acquired(self._pool, doing=_DOING) as connection:
            rows = await connection.fetch(_SQL["positions"])
        return {
            TenantId(tenant): Position(Epoch(epoch), Revision(revision), digest)
            for tenant, epoch, revision, digest in rows
        }

    async def apply(self, transactions: Sequence[Transaction]) -> None:
        """Fold transactions, as the port says.

        Raises:
            CorruptionError: a gap, another history, or facts that the log contradicts.
            PreconditionError: the database is a primary.
            UnavailableError: the replica does not answer; nothing was applied.
        """
        found: dict[TenantId, list[Transaction]] = {}
        for transaction in transactions:
            found.setdefault(transaction.tenant, []).append(transaction)
        if not found:
            return
        async with (
            acquired(self._pool, doing=_DOING) as connection,
            connection.transaction(),
        ):
            heads = await _lock_heads(
                connection, {each[0].tenant: each[0] for each in found.values()}
            )
            moved = [
                (heads[tenant], fresh)
                for tenant, each in found.items()
                if (fresh := unapplied(heads[tenant].position, each))
            ]
            if moved:
                await _fold(connection, moved)

    async def adopt_epoch(self, tenant: TenantId, head: Position) -> bool:
        """Go on in the head's epoch, if what is folded here is exactly what the head stands on."""
        async with acquired(self._pool, doing=_DOING) as connection:
            status = await connection.execute(
                _SQL["adopt_epoch"], tenant, head.revision, head.digest, head.epoch
            )
        return status == "UPDATE 1"

    async def digest(self, tenant: TenantId, at: Revision | None = None) -> tuple[Position, bytes]:
        """The tenant's position, and a digest of its state there or at an earlier revision."""
        return await tenant_digest(self._pool, tenant, at)

    async def forget(self, tenant: TenantId, at: Position) -> bool:
        """Forget one tenant if it stands there; its rows are purged like those of an ended life.

        Raises:
            PreconditionError: the database is a primary.
        """
        async with (
            acquired(self._pool, doing="forgetting a tenant of the replica") as connection,
            connection.transaction(),
        ):
            await require_replica(connection)
            key = await connection.fetchval(
                _SQL["forget"], tenant, at.epoch, at.revision, at.digest
            )
        return key is not None

    async def clear(self) -> None:
        """Forget everything, to be rebuilt from nothing; readers are refused from then on.

        Raises:
            PreconditionError: the database is a primary.
        """
        async with (
            acquired(self._pool, doing="clearing the replica") as connection,
            connection.transaction(),
        ):
            await require_replica(connection)
            await connection.execute(_SQL["clear"])
            await unfollow(connection)


async def require_replica(connection: Connection) -> None:
    """Refuse a database that is somebody's primary.

    Raises:
        PreconditionError: it is.
    """
    is_primary, was_replica = await _is_primary(connection)
    if is_primary:
        raise PreconditionError(RUN_AS_PRIMARY if was_replica else _A_PRIMARY)


async def _is_primary(connection: Connection) -> tuple[bool, bool]:
    """Whether the database has a log of its own, and whether it was a replica before."""
    row = await connection.fetchrow(_SQL["is_primary"])
    assert row is not None
    return row["is_primary"], row["was_replica"]


class _Head:
    """A tenant's locked head row in the replica."""

    def __init__(self, tenant: TenantId, row: Sequence[Any]) -> None:
        self._tenant = tenant
        key, epoch, revision, digest, begins, version = row
        self._key: int = key
        self._begins = Revision(begins)
        self._schema_version = SchemaVersion(version)
        self.position = Position(Epoch(epoch), Revision(revision), digest)

    async def fold(self, connection: Connection, fresh: Sequence[Transaction]) -> list[LifeChanges]:
        """The changes of rows, life by life, of transactions that continue the position."""
        changes: list[LifeChanges] = []
        for run in lives(fresh):
            last = run[-1]
            if isinstance(last.body, TenantDeleted):
                self._key = await connection.fetchval(
                    _SQL["next_life"], self._key, self._tenant, last.revision
                )
                self._begins, self._schema_version = last.revision, SchemaVersion("")
            else:
                rows = fold(run)
                changes.append((self._key, rows))
                self._schema_version = rows.schema_version or self._schema_version
        return changes

    def behind(self, last: Transaction) -> tuple[object, ...]:
        """The row as it is to be when that is the last transaction folded."""
        return (
            self._tenant,
            self._key,
            last.epoch,
            last.revision,
            last.digest,
            last.commit_time,
            self._begins,
            self._schema_version,
        )


async def _fold(
    connection: Connection, moved: Sequence[tuple[_Head, Sequence[Transaction]]]
) -> None:
    """Fold transactions that continue these heads' positions, and move the heads."""
    changes = [life for head, fresh in moved for life in await head.fold(connection, fresh)]
    await apply_rows(connection, changes)
    rows = [head.behind(fresh[-1]) for head, fresh in moved]
    columns = [list(column) for column in zip(*rows, strict=True)]
    await connection.execute(_SQL["move_heads"], *columns)


async def _lock_heads(
    connection: Connection, firsts: Mapping[TenantId, Transaction]
) -> dict[TenantId, _Head]:
    """The tenants' rows, made where there is none; the same statement tells whose database this is.

    Args:
        connection: in the transaction that is going to move them.
        firsts: by tenant, the first transaction to be folded.

    Raises:
        PreconditionError: the database is a primary.
    """
    heads = await _locked(connection, firsts)
    new = [first for tenant, first in sorted(firsts.items()) if tenant not in heads]
    if new:
        await require_replica(connection)
        for first in new:
            unapplied(NOWHERE, [first])
        await connection.execute(
            _SQL["insert_heads"],
            [first.tenant for first in new],
            GENESIS,
            [first.salt for first in new],
            [first.commit_time for first in new],
        )
        heads |= await _locked(connection, [first.tenant for first in new])
    return heads


async def _locked(connection: Connection, tenants: Iterable[TenantId]) -> dict[TenantId, _Head]:
    """Those of the tenants' rows that there are, locked."""
    heads: dict[TenantId, _Head] = {}
    for row in await connection.fetch(_SQL["lock_heads"], list(tenants)):
        tenant, *values, is_primary = row.values()
        if is_primary:
            raise PreconditionError(_A_PRIMARY)
        heads[TenantId(tenant)] = _Head(tenant, values)
    return heads
