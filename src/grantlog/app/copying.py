"""Copying tenants from the primary into a replica, one page at a time.

Nothing here needs a snapshot that lasts, and nothing is lost by a kill: how far a copy is stands in
the replica beside its rows. Before each page, and behind the last one, the primary's head is looked
at: as long as it is of the same life and epoch, still has the copied revision in its log, and has
collected no history behind that revision, what was copied is what the fold gives. If not, the copy
begins anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import structlog

from grantlog.model.ids import TenantId
from grantlog.ports.copying import Copying, CopySource, CopyTarget, Page, SourceHead, Stage
from grantlog.ports.log import Position

_LOG = structlog.get_logger("grantlog.copy")

TUPLES_PER_PAGE_MAX: Final = 20_000
ATTRIBUTES_PER_PAGE_MAX: Final = 5_000
SCHEMAS_PER_PAGE_MAX: Final = 20
"""Values and sources may be long: a page is held in memory once."""

_ROWS_MAX: Final = {
    Stage.ATTRIBUTES: ATTRIBUTES_PER_PAGE_MAX,
    Stage.REVIVED_ATTRIBUTES: ATTRIBUTES_PER_PAGE_MAX,
    Stage.PAST_ATTRIBUTES: ATTRIBUTES_PER_PAGE_MAX,
    Stage.SCHEMAS: SCHEMAS_PER_PAGE_MAX,
}


@dataclass(frozen=True, slots=True)
class CopyProgress:
    """How far this process' copies are, since it began."""

    rows: int = 0
    """Rows copied."""
    tenants: int = 0
    """Tenants copied as a whole."""
    under_way: int = 0
    """Tenants whose copy is under way."""


NOT_COPYING: Final = CopyProgress()


class Copier:
    """Copies tenants into a replica.

    Args:
        source: the primary's tables.
        target: the replica's.
        rows_max: rows of one page, at most; attributes and schemas have lower bounds.
    """

    def __init__(
        self, source: CopySource, target: CopyTarget, *, rows_max: int = TUPLES_PER_PAGE_MAX
    ) -> None:
        self._source = source
        self._target = target
        self._rows_max = rows_max
        self._under_way: dict[TenantId, Copying] = {}
        self._rows = 0
        self._tenants = 0

    @property
    def progress(self) -> CopyProgress:
        """How far the copies are."""
        return CopyProgress(self._rows, self._tenants, len(self._under_way))

    async def start(self) -> None:
        """Find the copies that are under way."""
        self._under_way = await self._target.copies()

    def is_copying(self, tenant: TenantId) -> bool:
        """Whether the tenant's copy is under way."""
        return tenant in self._under_way

    async def step(self, tenant: TenantId) -> Position | None:
        """Copy one page more; the position of the copy if it is whole now, else None.

        With None and `is_copying` False somebody else brought the tenant: look where it stands.

        Raises:
            UnavailableError: a database does not answer; the next step goes on where this one was.
            PreconditionError: the replica's database is a primary.
        """
        copying = self._under_way.get(tenant)
        # Before the page, so that it vouches for all pages before; for this one the next look does.
        now = await self._source.head(tenant, copying.head.position if copying else None)
        if copying is None or now is None or not _vouches(now, copying.head):
            await self._begin(tenant, now, again=copying is not None)
            return None
        if copying.stage is Stage.WHOLE:
            return await self._finish(copying, now)
        if copying.stage >= Stage.REVIVED_TUPLES and not copying.bound:
            copying = replace(copying, bound=now.position.revision)
        rows_max = min(self._rows_max, _ROWS_MAX.get(copying.stage, self._rows_max))
        page = await self._source.page(copying, rows_max)
        following = _behind(copying, page)
        if await self._target.add(copying, page, following):
            self._under_way[tenant] = following
            self._rows += page.rows
        else:  # another process goes on with it, or somebody emptied the replica
            await self.start()
        return None

    async def _begin(self, tenant: TenantId, head: SourceHead | None, *, again: bool) -> None:
        if again:
            _LOG.warning("copy begun anew", tenant=tenant)
            head = head or await self._source.head(tenant)
        self._under_way.pop(tenant, None)
        copying = await self._target.begin(tenant, head) if head is not None else None
        if copying is not None:
            self._under_way[tenant] = copying
            _LOG.info("copy begun", tenant=tenant, revision=copying.revision)

    async def _finish(self, copying: Copying, now: SourceHead) -> Position:
        await self._target.finish(copying, now.floor)
        self._under_way.pop(copying.tenant, None)
        self._tenants += 1
        _LOG.info("copied", tenant=copying.tenant, revision=copying.revision, rows=copying.rows)
        return copying.head.position


def _vouches(now: SourceHead, noted: SourceHead) -> bool:
    """Whether what was read since `noted` and before `now` is of one history, and all of it."""
    return (
        now.key == noted.key
        and now.position.epoch == noted.position.epoch
        and now.floor <= noted.position.revision
    )


def _behind(copying: Copying, page: Page) -> Copying:
    """Where a copy stands behind a page."""
    rows = copying.rows + page.rows
    if page.upto is not None:
        return replace(copying, place=page.upto, rows=rows)
    return replace(copying, stage=Stage(copying.stage + 1), place=(), rows=rows)
