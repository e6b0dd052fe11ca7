"""CopyTarget on Postgres: pages enter the replica as they left the primary, with their place."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any, Final

import asyncpg

from grantlog.errors import CorruptionError
from grantlog.model.chain import GENESIS
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.ports.copying import Copying, Page, SourceHead, Stage
from grantlog.ports.log import Position
from grantlog.store.postgres.pool import Connection, Pool, acquired
from grantlog.store.postgres.projection import require_replica
from grantlog.store.postgres.rows import ATTRIBUTE_COLUMNS, TUPLE_COLUMNS
from grantlog.store.postgres.statements import load

_SQL: Final = load("copy")
_DOING: Final = "copying into the replica"

_TABLES: Final[dict[Stage, tuple[str, Sequence[str]]]] = {
    Stage.TUPLES: ("relation_tuples", TUPLE_COLUMNS),
    Stage.ATTRIBUTES: ("attributes", ATTRIBUTE_COLUMNS),
    Stage.REVIVED_TUPLES: ("incoming", TUPLE_COLUMNS),
    Stage.REVIVED_ATTRIBUTES: ("incoming", ATTRIBUTE_COLUMNS),
    Stage.PAST_TUPLES: ("relation_tuples_history", (*TUPLE_COLUMNS, "expired_rev")),
    Stage.PAST_ATTRIBUTES: ("attributes_history", (*ATTRIBUTE_COLUMNS, "expired_rev")),
    Stage.SCHEMAS: ("schemas", ("tenant_key", "version", "created_rev", "created_at", "source")),
}

_REVIVED: Final = {Stage.REVIVED_TUPLES: "tuples", Stage.REVIVED_ATTRIBUTES: "attributes"}


class PostgresCopyTarget:
    """Fills a replica's tables; see the port."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def copies(self) -> dict[TenantId, Copying]:
        """The copies under way."""
        async with acquired(self._pool, doing=_DOING) as connection:
            rows = await connection.fetch(_SQL["copies"])
        return {TenantId(row["tenant_id"]): _copying(tuple(row.values())) for row in rows}

    async def begin(self, tenant: TenantId, head: SourceHead) -> Copying | None:
        """Begin a tenant's copy anew; what was copied of it before is purged."""
        copying = Copying(tenant, 0, head)
        async with (
            acquired(self._pool, doing=_DOING) as connection,
            connection.transaction(),
        ):
            await require_replica(connection)
            await connection.execute(_SQL["give_up_copy"], tenant)
            if await connection.fetchval(_SQL["is_folded"], tenant):
                return None
            key = await connection.fetchval(
                _SQL["begin_copy"],
                tenant,
                head.key,
                head.position.epoch,
                head.position.revision,
                head.position.digest,
                head.begins,
                head.floor,
                head.salt,
                head.commit_time,
                head.schema_version,
                copying.stage,
                copying.place,
            )
        return Copying(tenant, key, head)

    async def add(self, copying: Copying, page: Page, following: Copying) -> bool:
        """Add a page and note how far the copy is then."""
        try:
            async with (
                acquired(self._pool, doing=_DOING) as connection,
                connection.transaction(),
            ):
                status = await connection.execute(
                    _SQL["move_copy"],
                    copying.tenant,
                    copying.key,
                    copying.stage,
                    copying.place,
                    following.stage,
                    following.place,
                    following.bound,
                    following.rows,
                )
                if status != "UPDATE 1":
                    return False
                if page.rows:
                    await _fill(connection, copying.stage, page)
        except asyncpg.UniqueViolationError as error:
            raise CorruptionError("a row of the primary was copied twice") from error
        return True

    async def finish(self, copying: Copying, floor: Revision) -> None:
        """Let the tenant's head name the copied rows, unless more has been folded by now."""
        async with (
            acquired(self._pool, doing=_DOING) as connection,
            connection.transaction(),
        ):
            await require_replica(connection)
            status = await connection.execute(
                _SQL["move_copy"],
                copying.tenant,
                copying.key,
                copying.stage,
                copying.place,
                copying.stage,
                copying.place,
                copying.bound,
                copying.rows,
            )
            if status != "UPDATE 1":
                return
            await connection.execute(
                _SQL["place_head"],
                copying.tenant,
                GENESIS,
                copying.head.salt,
                copying.head.commit_time,
            )
            folded = await connection.fetchrow(_SQL["lock_copied_head"], copying.tenant)
            assert folded is not None, "it was placed in this transaction, or stood there before"
            if folded["revision"] >= copying.revision:
                await connection.execute(_SQL["give_up_copy"], copying.tenant)
                return
            await connection.execute(_SQL["end_replaced"], folded["tenant_key"], copying.tenant)
            await connection.execute(_SQL["install_copy"], copying.tenant, floor)
            await connection.execute(_SQL["forget_copy"], copying.tenant)


async def _fill(connection: Connection, stage: Stage, page: Page) -> None:
    table, columns = _TABLES[stage]
    revived = _REVIVED.get(stage)
    if revived is not None:
        await connection.execute(_SQL[f"incoming_{revived}"])
    assert isinstance(page.content, bytes)
    with BytesIO(page.content) as source:  # closed, it holds no memory, whoever still knows it
        await connection.copy_to_table(table, source=source, columns=columns, format="binary")
    if revived is not None:
        await connection.execute(_SQL[f"revive_{revived}"])


def _copying(row: Sequence[Any]) -> Copying:
    tenant, key, source_key, epoch, revision, digest, begins, floor, *rest = row
    salt, commit_time, version, stage, place, bound, rows = rest
    head = SourceHead(
        key=source_key,
        position=Position(Epoch(epoch), Revision(revision), digest),
        begins=Revision(begins),
        floor=Revision(floor),
        salt=salt,
        commit_time=commit_time,
        schema_version=SchemaVersion(version),
    )
    return Copying(TenantId(tenant), key, head, Stage(stage), tuple(place), Revision(bound), rows)
