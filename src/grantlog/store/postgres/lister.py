"""Listing facts on Postgres: FactLister. Pages in key order, the guard in the same statement."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Final

import asyncpg

from grantlog.model.attributes import Attribute
from grantlog.model.ids import ANY_EPOCH, Epoch, Revision, TenantId
from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.ports.facts import AttributeFilter, TupleFilter
from grantlog.store.postgres.connecting import THE_PRIMARY
from grantlog.store.postgres.guard import Admit, Guard, admit_any
from grantlog.store.postgres.pool import Pool, Setup, acquired, open_pool
from grantlog.store.postgres.statements import load
from grantlog.store.postgres.values import decode_value

_SQL: Final = load("list")
_TUPLES: Final = _SQL["list_tuples"]
_ATTRIBUTES: Final = _SQL["list_attributes"]
_DOING: Final = "listing facts"

LISTING_PLANS: Final[Mapping[str, str]] = MappingProxyType(
    {"plan_cache_mode": "force_custom_plan", "enable_seqscan": "off"}
)
"""Settings for connections that list: a plan for each filter, by whichever index serves it."""


class PostgresFactLister:
    """Lists tuples and attributes of a primary or a replica, over a pool with `LISTING_PLANS`."""

    def __init__(self, pool: Pool, admit: Admit = admit_any) -> None:
        self._pool = pool
        self._admit = admit

    async def tuples(
        self,
        tenant: TenantId,
        revision: Revision,
        where: TupleFilter,
        *,
        limit: int,
        after: RelationTuple | None = None,
        epoch: Epoch = ANY_EPOCH,
    ) -> Sequence[RelationTuple]:
        """The first `limit` tuples behind `after`, in key order; errors as FactReader."""
        rows = await self._fetch(
            _TUPLES,
            tenant,
            revision,
            epoch,
            where.entity_type,
            where.entity_ids,
            where.relation,
            where.subject_type,
            where.subject_ids,
            where.subject_relation,
            *_place(after),
            limit,
        )
        return [_tuple(row) for row in rows]

    async def attributes(
        self,
        tenant: TenantId,
        revision: Revision,
        where: AttributeFilter,
        *,
        limit: int,
        after: tuple[str, str, str] | None = None,
        epoch: Epoch = ANY_EPOCH,
    ) -> Sequence[Attribute]:
        """The first `limit` attributes behind `after`, in key order; errors as FactReader."""
        rows = await self._fetch(
            _ATTRIBUTES,
            tenant,
            revision,
            epoch,
            where.entity_type,
            where.entity_ids,
            where.attributes,
            *(after or ("", "", "")),
            limit,
        )
        return [_attribute(row) for row in rows]

    async def _fetch(
        self,
        statement: str,
        tenant: TenantId,
        revision: Revision,
        epoch: Epoch,
        *arguments: object,
    ) -> list[asyncpg.Record]:
        """The rows found; there is always one, which holds the guard and, if no more, no fact."""
        async with acquired(self._pool, doing=_DOING) as connection:
            rows = await connection.fetch(statement, tenant, revision, *arguments)
        guard = Guard._make(list(rows[0].values())[:4])
        refusal = self._admit(tenant, revision, epoch, guard)
        if refusal is not None:
            raise refusal
        return [row for row in rows if row["entity_type"] is not None]


def _place(after: RelationTuple | None) -> tuple[str, ...]:
    """A tuple in the order of the key; empty for the beginning."""
    if after is None:
        return ("",) * 6
    entity, relation, subject = after
    return (entity.type, entity.id, relation, subject.relation, subject.type, subject.id)


def _tuple(row: asyncpg.Record) -> RelationTuple:
    subject = Subject(row["subject_type"], row["subject_id"], row["subject_relation"])
    return RelationTuple(Entity(row["entity_type"], row["entity_id"]), row["relation"], subject)


def _attribute(row: asyncpg.Record) -> Attribute:
    entity = Entity(row["entity_type"], row["entity_id"])
    return Attribute(entity, row["attribute"], decode_value(row["value_type"], row["value"]))


@asynccontextmanager
async def open_fact_lister(
    dsn: str,
    *,
    size_max: int = 4,
    application_name: str = "grantlog lists",
    admit: Admit = admit_any,
    on_connect: Setup | None = None,
) -> AsyncGenerator[PostgresFactLister]:
    """A lister of the primary, with a pool of its own; errors as `open_pool`."""
    async with open_pool(
        dsn,
        size_max=size_max,
        application_name=application_name,
        settings=LISTING_PLANS,
        on_connect=on_connect,
        whose=THE_PRIMARY,
    ) as pool:
        yield PostgresFactLister(pool, admit)
