"""CopySource on Postgres: pages leave the primary as COPY's binary form, undecoded."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Final

from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.ports.copying import Copying, Page, SourceHead, Stage
from grantlog.ports.log import Position
from grantlog.store.postgres.pool import Connection, Pool, acquired
from grantlog.store.postgres.statements import load

_SQL: Final = load("copy")
_DOING: Final = "copying from the primary"

_BY_KEY: Final = {
    Stage.TUPLES: ("tuples", 6),
    Stage.ATTRIBUTES: ("attributes", 3),
    Stage.SCHEMAS: ("schemas", 1),
}
"""Names of the statements, and how many columns the key has."""

_BY_EXPIRY: Final = {
    Stage.REVIVED_TUPLES: ("past_tuples_end", "revived_tuples_page"),
    Stage.REVIVED_ATTRIBUTES: ("past_attributes_end", "revived_attributes_page"),
    Stage.PAST_TUPLES: ("past_tuples_end", "past_tuples_page"),
    Stage.PAST_ATTRIBUTES: ("past_attributes_end", "past_attributes_page"),
}


class PostgresCopySource:
    """Reads a primary's tables; see the port."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def head(self, tenant: TenantId, seen: Position | None = None) -> SourceHead | None:
        """The tenant's head now; None if it is unknown, or `seen` is not in its log."""
        revision = seen.revision if seen else 0
        async with acquired(self._pool, doing=_DOING) as connection:
            row = await connection.fetchrow(_SQL["source_head"], tenant, revision)
        if row is None or (seen is not None and row["digest_there"] != seen.digest):
            return None
        key, epoch, revision, digest, begins, floor, salt, commit_time, version, _ = row
        return SourceHead(
            key=key,
            position=Position(Epoch(epoch), Revision(revision), digest),
            begins=Revision(begins),
            floor=Revision(floor),
            salt=salt,
            commit_time=commit_time,
            schema_version=SchemaVersion(version),
        )

    async def page(self, copying: Copying, rows_max: int) -> Page:
        """The rows behind `copying.place`; the content is bytes for COPY."""
        async with acquired(self._pool, doing=_DOING) as connection:
            if copying.stage in _BY_KEY:
                return await _page_by_key(connection, copying, rows_max)
            return await _page_by_expiry(connection, copying, rows_max)


async def _page_by_key(connection: Connection, copying: Copying, rows_max: int) -> Page:
    name, width = _BY_KEY[copying.stage]
    after = copying.place or ("",) * width
    end = await connection.fetchrow(
        _SQL[f"{name}_end"], copying.head.key, *after, max(rows_max, 1) - 1
    )
    upto = tuple(end.values()) if end is not None else None
    to_the_end = upto is None
    return await _copied(
        connection,
        _SQL[f"{name}_page"],
        (copying.key, copying.head.key, copying.revision, *after, to_the_end, *(upto or after)),
        upto,
    )


async def _page_by_expiry(connection: Connection, copying: Copying, rows_max: int) -> Page:
    end_name, page_name = _BY_EXPIRY[copying.stage]
    revived = copying.stage < Stage.PAST_TUPLES
    first = copying.revision if revived else copying.head.floor
    last = copying.bound if revived else copying.revision
    after = int(copying.place[0]) if copying.place else first
    found = await connection.fetchval(
        _SQL[end_name], copying.head.key, after, last, max(rows_max, 1) - 1
    )
    ends: list[object] = [copying.key, copying.head.key, after, last if found is None else found]
    if revived:
        ends.append(copying.revision)
    return await _copied(
        connection, _SQL[page_name], ends, None if found is None else (str(found),)
    )


async def _copied(
    connection: Connection, query: str, arguments: Sequence[object], upto: tuple[str, ...] | None
) -> Page:
    with BytesIO() as content:  # closed, it holds no memory, whoever in the driver still knows it
        status = await connection.copy_from_query(
            query, *arguments, output=content, format="binary"
        )
        return Page(int(status.rpartition(" ")[2]), upto, content.getvalue())
