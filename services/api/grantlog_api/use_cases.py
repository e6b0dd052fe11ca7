"""The use cases over the parts that `wiring` opened, and the handlers over them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypedDict

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
from grantlog.app.schemas import Schemas
from grantlog.app.tenants import Tenants
from grantlog.ports.writer import TransactionWriter
from grantlog.serving.call_lines import CallLines
from grantlog.serving.calls import Calls
from grantlog.store.postgres.bundles import PostgresBundles
from grantlog.store.postgres.pool import Pool
from grantlog.store.postgres.replica_state import Reads
from grantlog.store.postgres.schemas import PostgresSchemas
from grantlog.store.postgres.tenants import PostgresTenants
from grantlog_api.handlers.bundle import BundleHandlers
from grantlog_api.handlers.data import DataHandlers
from grantlog_api.handlers.lookup import LookupHandlers
from grantlog_api.handlers.permission import PermissionHandlers
from grantlog_api.handlers.schema import SchemaHandlers
from grantlog_api.handlers.tenancy import TenancyHandlers
from grantlog_api.memory import Memory
from grantlog_api.settings import ApiSettings
from grantlog_api.tables import WatchCall, handler_table, stream_table

_WRITE_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Parts:
    """What the use cases stand on.

    Attributes:
        lookups: connections to the primary, for schemas, bundles and tenants.
        reads: facts.
        writer: commits.
        resolver: gives each question its revision.
        kept: what this node has in memory.
        pages: seals and opens continuation tokens.
    """

    lookups: Pool
    reads: Reads
    writer: TransactionWriter
    resolver: Resolver
    kept: Memory
    pages: Continuations


class _Writing(TypedDict):
    """What every use case that writes takes."""

    writer: TransactionWriter
    known: KnownHeads
    new_id: Callable[[], bytes]


def calls_over(
    parts: Parts, settings: ApiSettings, watch: WatchCall, lines: CallLines | None = None
) -> Calls:
    """What answers the API's calls, and says lines of them."""
    reads, kept = parts.reads, parts.kept
    writing = _Writing(writer=parts.writer, known=kept.known, new_id=new_write_id)
    at = Places(parts.resolver, kept.cache, reads.facts, reads.reverse, kept.caches)
    write_data = WriteData(
        resolver=parts.resolver,
        cache=kept.cache,
        facts_per_write_max=settings.facts_per_write_max,
        **writing,
    )
    lookup = LookupHandlers(Lookup(at, parts.pages, asyncio.get_running_loop().time))
    tenants = Tenants(lister=PostgresTenants(parts.lookups), **writing)
    bundles = Bundles(reader=PostgresBundles(parts.lookups), write_data=write_data, **writing)
    handlers = handler_table(
        permission=_permission(parts, at),
        lookup=lookup,
        schema=_schema(parts, writing),
        data=DataHandlers(write_data, ListFacts(parts.resolver, reads.lister, parts.pages)),
        bundle=BundleHandlers(bundles),
        tenancy=TenancyHandlers(tenants, parts.pages),
    )
    return Calls(
        handlers,
        stream_table(lookup=lookup, watch=watch),
        timeout_s=settings.request_timeout_s,
        streams_max=settings.streams_max,
        now=kept.known.now,
        lines=lines,
    )


def _permission(parts: Parts, at: Places) -> PermissionHandlers:
    kept = parts.kept
    return PermissionHandlers(
        Check(parts.resolver, kept.cache, parts.reads.facts, kept.caches),
        BulkCheck(at),
        SubjectPermissions(at),
        Expand(at),
    )


def _schema(parts: Parts, writing: _Writing) -> SchemaHandlers:
    reader = PostgresSchemas(parts.lookups)
    return SchemaHandlers(
        Schemas(reader=reader, resolver=parts.resolver, cache=parts.kept.cache, **writing),
        ListSchemas(parts.resolver, reader, parts.pages),
    )


def new_write_id() -> bytes:
    """The id under which the outcome of a lost COMMIT is found again."""
    return secrets.token_bytes(_WRITE_ID_BYTES)
