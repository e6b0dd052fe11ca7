"""Reading facts backwards on Postgres: ReverseReader. The guard is in the same statement."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from grantlog.model.ids import ANY_EPOCH, Epoch, Revision, TenantId
from grantlog.ports.reverse import IDS_PER_PAGE_MAX, EntitiesKey, IdPage, OfKindKey, ValuePage
from grantlog.store.postgres.connecting import THE_PRIMARY
from grantlog.store.postgres.guard import Admit, Guard, admit_any
from grantlog.store.postgres.lister import LISTING_PLANS
from grantlog.store.postgres.pool import Pool, Setup, acquired, open_pool
from grantlog.store.postgres.statements import load
from grantlog.store.postgres.values import decode_value

_SQL: Final = {**load("reverse"), **load("reverse_pages")}
_DOING: Final = "looking up ids"
_GUARD: Final = 4
"""The first columns of every row."""

KEYS_PER_STATEMENT_MAX: Final = 1_000


class PostgresReverseReader:
    """Finds ids in a primary or a replica, over a pool with `LISTING_PLANS`."""

    def __init__(self, pool: Pool, admit: Admit = admit_any) -> None:
        self._pool = pool
        self._admit = admit

    async def entities(
        self,
        tenant: TenantId,
        revision: Revision,
        keys: Sequence[EntitiesKey],
        *,
        limit: int,
        epoch: Epoch = ANY_EPOCH,
    ) -> Sequence[IdPage]:
        """For every key, in order, the first `limit` entities behind its `after`."""
        return await self._paged("entities", tenant, revision, epoch, keys, limit)

    async def of_kind(
        self,
        tenant: TenantId,
        revision: Revision,
        keys: Sequence[OfKindKey],
        *,
        limit: int,
        epoch: Epoch = ANY_EPOCH,
    ) -> Sequence[IdPage]:
        """For every key, in order, the ids of the first `limit` subjects behind its `after`."""
        return await self._paged("of_kind", tenant, revision, epoch, keys, limit)

    async def _paged(
        self,
        name: str,
        tenant: TenantId,
        revision: Revision,
        epoch: Epoch,
        keys: Sequence[EntitiesKey] | Sequence[OfKindKey],
        limit: int,
    ) -> Sequence[IdPage]:
        pages: list[IdPage] = []
        for start in range(0, len(keys), KEYS_PER_STATEMENT_MAX):
            part = keys[start : start + KEYS_PER_STATEMENT_MAX]
            columns = list(zip(*part, strict=True))
            rows = await self._fetch(name, tenant, revision, epoch, *columns, _one_more(limit))
            ids: list[list[str]] = [[] for _ in part]
            for slot, id_ in zip(rows[0]["slots"] or (), rows[0]["ids"] or (), strict=True):
                ids[slot - 1].append(id_)
            pages += [_page(found, limit) for found in ids]
        return pages

    async def known(
        self,
        tenant: TenantId,
        revision: Revision,
        entity_type: str,
        *,
        after: str,
        limit: int,
        among: Sequence[str] = (),
        epoch: Epoch = ANY_EPOCH,
    ) -> IdPage:
        """Ids of a type that occur in any tuple, on either side, or in any attribute."""
        name, ids = ("known_among", (list(among),)) if among else ("known", ())
        rows = await self._fetch(
            name, tenant, revision, epoch, entity_type, after, _one_more(limit), *ids
        )
        return _page(_ids(rows), limit)

    async def having(
        self,
        tenant: TenantId,
        revision: Revision,
        entity_type: str,
        attribute: str,
        *,
        after: str,
        limit: int,
        epoch: Epoch = ANY_EPOCH,
    ) -> ValuePage:
        """Ids of a type for which an attribute is set, with its values."""
        rows = await self._fetch(
            "having", tenant, revision, epoch, entity_type, attribute, after, _one_more(limit)
        )
        found = [row for row in rows if row["id"] is not None]
        page = found[:limit]
        return ValuePage(
            [row["id"] for row in page],
            [decode_value(row["value_type"], row["value"]) for row in page],
            more=len(found) > limit,
        )

    async def subjects(  # noqa: PLR0913 - tenant, revision and epoch are one place
        self,
        tenant: TenantId,
        revision: Revision,
        subject_type: str,
        subject_relation: str,
        *,
        after: str,
        limit: int,
        among: Sequence[str] = (),
        epoch: Epoch = ANY_EPOCH,
    ) -> IdPage:
        """Ids that are subjects of any tuple with exactly that type and relation."""
        name, ids = ("subjects_among", (list(among),)) if among else ("subjects", ())
        kind = (subject_type, subject_relation)
        rows = await self._fetch(
            name, tenant, revision, epoch, *kind, after, _one_more(limit), *ids
        )
        return _page(_ids(rows), limit)

    async def _fetch(
        self, name: str, tenant: TenantId, revision: Revision, epoch: Epoch, *arguments: object
    ) -> list[asyncpg.Record]:
        """The rows; there is always one, which holds the guard and perhaps nothing else."""
        async with acquired(self._pool, doing=_DOING) as connection:
            rows = await connection.fetch(_SQL[name], tenant, revision, *arguments)
        guard = Guard._make(list(rows[0].values())[:_GUARD])
        refusal = self._admit(tenant, revision, epoch, guard)
        if refusal is not None:
            raise refusal
        return rows


def _one_more(limit: int) -> int:
    """What to ask for in order to learn whether others follow."""
    assert 0 < limit <= IDS_PER_PAGE_MAX, "the caller keeps to the bound of the port"
    return limit + 1


def _ids(rows: Sequence[asyncpg.Record]) -> list[str]:
    return [row["id"] for row in rows if row["id"] is not None]


def _page(found: list[str], limit: int) -> IdPage:
    return IdPage(found[:limit], more=len(found) > limit)


@asynccontextmanager
async def open_reverse_reader(
    dsn: str,
    *,
    size_max: int = 4,
    application_name: str = "grantlog lookups",
    admit: Admit = admit_any,
    on_connect: Setup | None = None,
) -> AsyncGenerator[PostgresReverseReader]:
    """A reader of the primary, with a pool of its own; errors as `open_pool`."""
    async with open_pool(
        dsn,
        size_max=size_max,
        application_name=application_name,
        settings=LISTING_PLANS,
        on_connect=on_connect,
        whose=THE_PRIMARY,
    ) as pool:
        yield PostgresReverseReader(pool, admit)
