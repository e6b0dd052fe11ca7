"""The use cases wired over the memory store, as a service wires them over Postgres."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import count

from grantlog.app.check import Check
from grantlog.app.continuation import Continuations
from grantlog.app.data import WriteData
from grantlog.app.known import KnownHeads
from grantlog.app.listing import ListFacts
from grantlog.app.lookup import Lookup
from grantlog.app.places import Places
from grantlog.app.resolve import Resolver
from grantlog.app.schema_cache import SchemaCache
from grantlog.app.schemas import Schemas
from grantlog.app.tenants import Tenants
from grantlog.app.terms import Consistency, Terms
from grantlog.engine.question import CheckQuery
from grantlog.model.ids import TenantId
from grantlog.model.tuples import parse_entity, parse_subject, parse_tuple
from grantlog.store.memory.heads import MemoryHeads, MemoryPast
from grantlog.store.memory.reader import MemoryFactLister, MemoryFactReader
from grantlog.store.memory.reverse import MemoryReverseReader
from grantlog.store.memory.tables import MemoryTables
from grantlog.store.memory.writer import MemoryWriter

T1 = TenantId("t1")
SCHEMA = """
entity user {}
entity doc {
  relation viewer @user
  attribute public boolean
  permission view = viewer or public
}
"""


class Node:
    """One node; several may share tables."""

    def __init__(self, tables=None, consistency=Consistency.HEAD, writer=None, now=time.monotonic):
        self.tables = tables or MemoryTables()
        readings, salts, ids = count(), count(1), count(1)
        start = datetime(2030, 1, 1, tzinfo=UTC)
        self.writer = writer or MemoryWriter(
            self.tables,
            lambda transactions: None,
            clock=lambda: start + timedelta(milliseconds=next(readings)),
            new_salt=lambda: next(salts).to_bytes(16, "big"),
        )
        heads = MemoryHeads(self.tables)
        self.cache = SchemaCache(heads)
        self.known = KnownHeads(now, self.cache.forget_before)
        self.resolver = Resolver(
            heads,
            MemoryPast(self.tables, lambda: start + timedelta(days=1)),
            self.known,
            consistency,
        )
        common = {
            "writer": self.writer, "known": self.known,
            "new_id": lambda: next(ids).to_bytes(16, "big"),
        }  # fmt: skip
        self.schemas = Schemas(reader=heads, resolver=self.resolver, cache=self.cache, **common)
        self.data = WriteData(
            resolver=self.resolver, cache=self.cache, facts_per_write_max=5, **common
        )
        self.tenants = Tenants(lister=heads, **common)
        self.lists = ListFacts(
            self.resolver, MemoryFactLister(self.tables), Continuations(b"k" * 32)
        )
        facts = MemoryFactReader(self.tables)
        self._check = Check(self.resolver, self.cache, facts)
        self.places = Places(self.resolver, self.cache, facts, MemoryReverseReader(self.tables))
        self.seconds = 0.0
        self.lookup = Lookup(self.places, Continuations(b"k" * 32), lambda: self.seconds)

    async def put(self, *texts, schema_version="", attributes=()):
        return await self.data.put(
            T1,
            tuples=[parse_tuple(text) for text in texts],
            attributes=attributes,
            schema_version=schema_version,
        )

    async def allowed(
        self, entity, permission, subject, *, snap_token="", schema_version="", **terms
    ):
        query = CheckQuery(parse_entity(entity), permission, parse_subject(subject))
        said = Terms(**terms).also(snap_token=snap_token, schema_version=schema_version)
        return (await self._check(T1, query, said)).result.allowed
