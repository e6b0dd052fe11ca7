"""HeadReader on Postgres: one statement answers everybody who asked before it was sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from grantlog.background import background_tasks
from grantlog.errors import GrantlogError
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.ports.heads import Head
from grantlog.store.postgres.pool import Pool, acquired
from grantlog.store.postgres.statements import load

_SQL: Final = load("heads")
_HEADS: Final = _SQL["heads"]
_RECORDED_HEAD: Final = _SQL["recorded_head"]

STATEMENTS_MAX: Final = 2
"""In flight at once: while one is on its way, those who come gather for the next."""

TENANTS_PER_STATEMENT_MAX: Final = 1_000

_DOING: Final = "reading heads"


class PostgresHeads:
    """Reads heads from the primary."""

    def __init__(self, pool: Pool, group: asyncio.TaskGroup) -> None:
        self._pool = pool
        self._group = group
        self._asked: dict[TenantId, asyncio.Future[Head]] = {}
        self._sending = 0

    async def head(self, tenant: TenantId) -> Head:
        """The head as of some moment after the call began."""
        future = self._asked.get(tenant)
        if future is None:
            future = self._asked[tenant] = asyncio.get_running_loop().create_future()
            if self._sending < STATEMENTS_MAX:
                self._sending += 1
                self._group.create_task(self._answer(), name="read heads")
        # Others wait for the same answer: one of them being cancelled must not take it from them.
        return await asyncio.shield(future)

    async def recorded_head(self, tenant: TenantId, epoch: Epoch) -> Revision:
        """The last revision that survived of `epoch`, 0 if the next one did not know the tenant."""
        async with acquired(self._pool, doing=_DOING) as connection:
            revision: int | None = await connection.fetchval(_RECORDED_HEAD, tenant, epoch)
        return Revision(revision or 0)

    async def _answer(self) -> None:
        """Send statements until nobody waits."""
        taken: dict[TenantId, asyncio.Future[Head]] = {}
        try:
            while self._asked:
                try:
                    async with acquired(self._pool, doing=_DOING) as connection:
                        # Taken with the connection in hand: who came while it was waited for is in.
                        taken = self._take()
                        rows = await connection.fetch(_HEADS, list(taken)) if taken else []
                except GrantlogError as error:
                    _refuse(taken or self._take(), error)
                else:
                    _tell(taken, rows)
                taken = {}
        finally:
            self._sending -= 1
            for future in taken.values():
                future.cancel()

    def _take(self) -> dict[TenantId, asyncio.Future[Head]]:
        tenants = list(self._asked)[:TENANTS_PER_STATEMENT_MAX]
        return {tenant: self._asked.pop(tenant) for tenant in tenants}


def _tell(taken: dict[TenantId, asyncio.Future[Head]], rows: list[asyncpg.Record]) -> None:
    for tenant, epoch, revision, version, begins, digest in rows:
        head = Head(
            Epoch(epoch), Revision(revision), SchemaVersion(version), Revision(begins), digest
        )
        future = taken[TenantId(tenant)]
        if not future.done():
            future.set_result(head)


def _refuse(taken: dict[TenantId, asyncio.Future[Head]], error: GrantlogError) -> None:
    for future in taken.values():
        if not future.done():
            future.set_exception(error)
            future.exception()  # whoever asked may have gone: nobody need retrieve it


@asynccontextmanager
async def open_heads(pool: Pool) -> AsyncGenerator[PostgresHeads]:
    """A reader of heads for the block, over connections of `open_primary_pool`."""
    async with background_tasks() as group:
        yield PostgresHeads(pool, group)
