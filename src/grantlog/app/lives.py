"""Hearing of deletions that other nodes took, so that nothing of a dead life stays in memory."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from grantlog.app.resolve import Resolver
from grantlog.app.schema_cache import SchemaCache
from grantlog.errors import UnavailableError
from grantlog.model.ids import TenantId

LOOK_S: Final = 30.0
"""So long a node that nobody asks about a deleted tenant may keep its compiled schemas."""


async def keep_to_the_living(
    resolver: Resolver, cache: SchemaCache, *, every_s: float = LOOK_S
) -> None:
    """Until cancelled, look now and then where the tenants stand of whom schemas are kept."""
    while True:
        await asyncio.sleep(every_s)
        await look_at_heads(resolver, cache)


async def look_at_heads(resolver: Resolver, cache: SchemaCache) -> None:
    """Learn the heads of the tenants of whom schemas are kept; that drops what is of dead lives.

    Nothing of a dead life is answered whatever is kept: this is for what memory holds. Whom the
    primary does not answer is looked at the next time.
    """
    async with asyncio.TaskGroup() as group:  # heads asked for at once share statements
        for tenant in cache.tenants():
            group.create_task(_learn(resolver, tenant), name="look at a head")


async def _learn(resolver: Resolver, tenant: TenantId) -> None:
    with contextlib.suppress(UnavailableError):
        await resolver.refresh(tenant)
