"""Where ports meet their adapters: everything that the watch service opens, in order."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from grantlog.app.known import KnownHeads
from grantlog.app.terms import OfNow
from grantlog.app.watch_hub import WatchHub
from grantlog.runtime.watching import open_watch
from grantlog.serving.calls import Calls
from grantlog.serving.health import HealthProbe
from grantlog.serving.watching import METHOD, WatchHandlers
from grantlog.store.postgres.health import missing_followers
from grantlog.store.postgres.primary import open_primary_pool
from grantlog_watch.relaying import RelayLimits, RelayService
from grantlog_watch.settings import WatchServiceSettings


@dataclass(frozen=True, slots=True)
class Service:
    """What the door needs."""

    calls: Calls
    probe: HealthProbe
    watches: WatchHub
    relay: RelayService


@asynccontextmanager
async def open_service(settings: WatchServiceSettings) -> AsyncGenerator[Service]:
    """The service's parts for the block; they close in reverse order.

    Raises:
        UnavailableError: the database does not answer.
        PreconditionError: the database is of another version, or was not seeded, or Kafka refuses
            to work with us.
    """
    dsn = settings.database_url.get_secret_value()
    size_max = settings.lookup_connections_max
    known = KnownHeads()
    async with (
        open_primary_pool(dsn, size_max=size_max, application_name="grantlog watch") as lookups,
        open_watch(settings, dsn, lookups, known) as (hub, watch),
    ):

        async def degraded() -> str:
            await missing_followers(lookups, ())  # it asks the primary, which is what matters
            return ""

        calls = Calls(
            {},
            {METHOD: OfNow(WatchHandlers(watch).watch)},
            timeout_s=settings.request_timeout_s,
            streams_max=settings.streams_max,
            now=known.now,
        )
        limits = RelayLimits(stall_s_max=settings.stream_stall_s_max)
        yield Service(calls, HealthProbe(degraded), hub, RelayService(calls, limits))
