"""The API's handlers over the store in memory, without doors: what a lone tenant is told."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from grantlog_api.handlers.bundle import BundleHandlers
from grantlog_api.handlers.data import DataHandlers
from grantlog_api.handlers.lookup import LookupHandlers
from grantlog_api.handlers.permission import PermissionHandlers
from grantlog_api.handlers.schema import SchemaHandlers
from grantlog_api.handlers.tenancy import TenancyHandlers
from grantlog_api.tables import handler_table, stream_table

from grantlog.app.ask_many import BulkCheck, SubjectPermissions
from grantlog.app.bundles import Bundles
from grantlog.app.check import Check
from grantlog.app.continuation import Continuations
from grantlog.app.data import WriteData
from grantlog.app.expand import Expand
from grantlog.app.known import KnownHeads
from grantlog.app.list_schemas import ListSchemas
from grantlog.app.listing import ListFacts
from grantlog.app.lookup import Lookup
from grantlog.app.places import Places
from grantlog.app.resolve import Resolver
from grantlog.app.schema_cache import SchemaCache
from grantlog.app.schemas import Schemas
from grantlog.app.tenants import Tenants
from grantlog.app.terms import Consistency
from grantlog.app.watch import Watch
from grantlog.app.watch_hub import WatchHub, WatchLimits
from grantlog.changelog.memory.log import MemoryChangeLog
from grantlog.serving.calls import Calls
from grantlog.serving.watching import WatchHandlers
from grantlog.store.memory.heads import MemoryHeads, MemoryPast
from grantlog.store.memory.reader import MemoryFactLister, MemoryFactReader
from grantlog.store.memory.reverse import MemoryReverseReader
from grantlog.store.memory.tables import MemoryTables
from grantlog.store.memory.writer import MemoryWriter

_START = datetime(2030, 1, 1, tzinfo=UTC)
_SOON = WatchLimits(heartbeat_s=0.01, poll_s=0.01)


def _ticking() -> Callable[[], datetime]:
    readings = itertools.count()
    return lambda: _START + timedelta(milliseconds=next(readings))


@asynccontextmanager
async def memory_api(*, facts_per_write_max: int = 1_000) -> AsyncGenerator[Calls]:
    """The calls for the block, over tables of their own."""
    tables = MemoryTables()
    clock, ids = _ticking(), itertools.count(1)
    log = MemoryChangeLog(clock)

    def new_bytes() -> bytes:
        return next(ids).to_bytes(16, "big")

    writer = MemoryWriter(tables, log.record, clock=clock, new_salt=new_bytes)
    heads = MemoryHeads(tables)
    cache = SchemaCache(heads)
    known = KnownHeads(life_began=cache.forget_before)
    past = MemoryPast(tables, lambda: _START + timedelta(days=1))
    resolver = Resolver(heads, past, known, Consistency.HEAD)
    pages = Continuations(b"k" * 32)
    common = {"writer": writer, "known": known, "new_id": new_bytes}
    write_data = WriteData(
        resolver=resolver, cache=cache, facts_per_write_max=facts_per_write_max, **common
    )
    facts = MemoryFactReader(tables)
    at = Places(resolver, cache, facts, MemoryReverseReader(tables))
    hub = WatchHub(log, _SOON)
    watch = WatchHandlers(Watch(resolver, log, hub, _SOON, asyncio.get_running_loop().time))
    lookup = LookupHandlers(Lookup(at, pages, asyncio.get_running_loop().time))
    permission = PermissionHandlers(
        Check(resolver, cache, facts), BulkCheck(at), SubjectPermissions(at), Expand(at)
    )
    schema = SchemaHandlers(
        Schemas(reader=heads, resolver=resolver, cache=cache, **common),
        ListSchemas(resolver, heads, pages),
    )
    data = DataHandlers(write_data, ListFacts(resolver, MemoryFactLister(tables), pages))
    bundle = BundleHandlers(Bundles(reader=heads, write_data=write_data, **common))
    tenancy = TenancyHandlers(Tenants(lister=heads, **common), pages)
    async with asyncio.TaskGroup() as group:
        following = group.create_task(hub.run())
        yield Calls(
            handler_table(
                permission=permission, lookup=lookup, schema=schema, data=data,
                bundle=bundle, tenancy=tenancy,
            ),
            stream_table(lookup=lookup, watch=watch.watch),
            timeout_s=30,
        )  # fmt: skip
        following.cancel()
