"""Opens the caches of this node, and what keeps their clocks moving."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from grantlog.app.cached import NO_CACHES, Caches
from grantlog.app.follow_clocks import ClockFollower, FollowLimits
from grantlog.background import background_tasks
from grantlog.cache.clocks import Clocks
from grantlog.cache.relations import RelationCache
from grantlog.cache.results import ResultCache
from grantlog.changelog.counts import TopicCounts
from grantlog.changelog.postgres.log import open_change_log
from grantlog.runtime.watching import open_tenant_log
from grantlog.store.postgres.connecting import THE_PRIMARY
from grantlog.store.postgres.pool import INDEX_PLANS, open_pool
from grantlog.store.postgres.proof import Proof
from grantlog_api.settings import ApiSettings

_MEBIBYTE: Final = 1024 * 1024
_CONNECTIONS_MAX: Final = 2
"""To the primary, for reading the log: one for the follower, one for questions ahead of it."""


@asynccontextmanager
async def open_caches(
    settings: ApiSettings, proof: Proof, counts: TopicCounts | None = None
) -> AsyncGenerator[Caches]:
    """The caches that the settings ask for, and one follower of the log for them, for the block.

    Args:
        settings: how large they may grow.
        proof: of this node's memory, for connections to the log.
        counts: where is counted what is read of the topic.

    Raises:
        UnavailableError: the primary does not answer.
        PreconditionError: the topic is not the one that the primary records, or not safe.
    """
    results = ResultCache(settings.result_cache_mb * _MEBIBYTE)
    relations = RelationCache(settings.relation_cache_mb * _MEBIBYTE)
    if not (settings.result_cache_mb or settings.relation_cache_mb):
        yield NO_CACHES
        return
    dsn = settings.database_url.get_secret_value()
    clocks, limits = Clocks(), FollowLimits()
    async with (
        open_pool(
            dsn,
            size_max=_CONNECTIONS_MAX,
            application_name="grantlog api caches",
            settings=INDEX_PLANS,
            on_connect=proof.prove,
            whose=THE_PRIMARY,
        ) as pool,
        open_change_log(pool, listen_dsn=dsn) as primary,
        open_tenant_log(settings, pool, primary, gather_s=limits.pause_s, counts=counts) as log,
        background_tasks() as group,
    ):
        follower = ClockFollower(log, clocks, limits)
        following = group.create_task(follower.run(), name="clocks of the caches")
        try:
            yield Caches(
                clocks,
                follower,
                results if settings.result_cache_mb else None,
                relations if settings.relation_cache_mb else None,
            )
        finally:
            following.cancel()
