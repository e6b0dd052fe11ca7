"""Writing, reading and listing schema versions, and the cache of compiled ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cachetools import LRUCache

from grantlog.app.known import KnownHeads
from grantlog.app.resolve import Resolver
from grantlog.engine.plan import Plan, build_plan
from grantlog.errors import ConflictError, NotFoundError
from grantlog.model.ids import SCHEMA_VERSION, Revision, SchemaVersion, TenantId
from grantlog.ports.heads import Head, SchemaReader, SchemaRecord
from grantlog.ports.writer import TransactionWriter
from grantlog.schema.compile import compile_schema
from grantlog.schema.compiled import CompiledSchema, SchemaWarning
from grantlog.schema.edit import EntityEdits, edit_schema

SCHEMAS_CACHED_MAX: Final = 1_000

EDIT_RACES_MAX: Final = 8
"""How often an edit is made anew because another schema came into force meanwhile."""


@dataclass(frozen=True, slots=True)
class LoadedSchema:
    """A schema version, ready to check with."""

    version: SchemaVersion
    revision: Revision
    """The revision that wrote it: nothing is answered with it below that."""
    schema: CompiledSchema
    plan: Plan


@dataclass(frozen=True, slots=True)
class WrittenSchema:
    """A version that came into force, and what its author probably did not mean."""

    version: SchemaVersion
    warnings: tuple[SchemaWarning, ...]


class SchemaCache:
    """Compiled schemas by tenant and version. A version never changes, so entries never expire."""

    def __init__(self, reader: SchemaReader, entries_max: int = SCHEMAS_CACHED_MAX) -> None:
        self._reader = reader
        self._loaded: LRUCache[tuple[TenantId, SchemaVersion], LoadedSchema] = LRUCache(entries_max)
        self._loading: dict[tuple[TenantId, SchemaVersion], asyncio.Lock] = {}

    async def load(self, tenant: TenantId, version: SchemaVersion) -> LoadedSchema:
        """The compiled version; concurrent first loads compile once.

        Raises:
            NotFoundError: the tenant has no such version ("" included: no schema was written).
        """
        key = (tenant, version)
        loaded = self._loaded.get(key)
        if loaded is not None:
            return loaded
        if not version:
            raise _not_found("the tenant has no schema yet: write one first")
        lock = self._loading.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                loaded = self._loaded.get(key)
                if loaded is None:
                    loaded = await self._compile(tenant, version)
                    self._loaded[key] = loaded
                return loaded
        finally:
            self._loading.pop(key, None)

    async def _compile(self, tenant: TenantId, version: SchemaVersion) -> LoadedSchema:
        known_form = SCHEMA_VERSION.fullmatch(version)
        record = await self._reader.schema(tenant, version) if known_form else None
        if record is None:
            raise _not_found(f"the tenant has no schema version {version!r}")
        schema, plan = await asyncio.to_thread(_compile_text, record.text)
        return LoadedSchema(version, record.revision, schema, plan)

    def forget(self, tenant: TenantId) -> None:
        """Drop a tenant's versions: its life ended."""
        for key in [key for key in self._loaded if key[0] == tenant]:
            del self._loaded[key]


def _compile_text(text: str) -> tuple[CompiledSchema, Plan]:
    schema = compile_schema(text)
    return schema, build_plan(schema)


def _edited(text: str, edits: Mapping[str, EntityEdits]) -> tuple[str, tuple[SchemaWarning, ...]]:
    edited = edit_schema(text, edits)
    return edited, compile_schema(edited).warnings


def _not_found(explanation: str) -> NotFoundError:
    return NotFoundError(explanation, reason="ERROR_CODE_SCHEMA_NOT_FOUND")


async def resolve_with_schema(
    resolver: Resolver,
    cache: SchemaCache,
    *,
    tenant: TenantId,
    snap_token: str,
    schema_version: str,
) -> tuple[Head, LoadedSchema]:
    """The head to answer at and the schema to answer with.

    An explicit version is also a floor: the answer stands at or behind the revision that wrote it.

    Raises:
        NotFoundError: no such version, or no schema at all.
    """
    head = await resolver.resolve(tenant, snap_token)
    loaded = await cache.load(tenant, SchemaVersion(schema_version) or head.schema_version)
    if loaded.revision > head.revision:
        head = await resolver.refresh(tenant)
    return head, loaded


class Schemas:
    """The schema calls."""

    def __init__(
        self,
        *,
        writer: TransactionWriter,
        reader: SchemaReader,
        resolver: Resolver,
        known: KnownHeads,
        cache: SchemaCache,
        new_id: Callable[[], bytes],
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._resolver = resolver
        self._known = known
        self._cache = cache
        self._new_id = new_id

    async def write(self, tenant: TenantId, text: str) -> WrittenSchema:
        """Check a schema text and put it in force as a new version.

        Raises:
            SchemaError: it does not parse or check; nothing is stored.
        """
        schema = await asyncio.to_thread(compile_schema, text)
        committed = await self._writer.write_schema(
            tenant, text, based_on=None, write_id=self._new_id()
        )
        head = Head(committed.epoch, committed.revision, committed.schema_version)
        self._known.learn(tenant, head)
        return WrittenSchema(committed.schema_version, schema.warnings)

    async def write_in_part(
        self, tenant: TenantId, edits: Mapping[str, EntityEdits], version: str
    ) -> WrittenSchema:
        """Edit a version's text, check the result and put it in force as a new version.

        No concurrent edit is lost: the result comes into force only if the version it was made
        from still is. Without `version` that is the one in force, and the edit is made anew on
        whatever came into force meanwhile.

        Raises:
            NotFoundError: no such version or no schema at all, or an entity or a name that the
                edits need.
            InvalidInputError: a name to write exists; no part of the schema, or not one any more.
            ConflictError: another version than `version` is in force.
        """
        for _ in range(EDIT_RACES_MAX):
            base = version or (await self._resolver.refresh(tenant)).schema_version
            text = await self._text(tenant, SchemaVersion(base))
            edited, warnings = await asyncio.to_thread(_edited, text, edits)
            try:
                committed = await self._writer.write_schema(
                    tenant, edited, based_on=SchemaVersion(base), write_id=self._new_id()
                )
            except ConflictError:
                if version:
                    raise
                continue
            head = Head(committed.epoch, committed.revision, committed.schema_version)
            self._known.learn(tenant, head)
            return WrittenSchema(committed.schema_version, warnings)
        raise ConflictError("the schema keeps changing while this is edited; retry")

    async def _text(self, tenant: TenantId, version: SchemaVersion) -> str:
        if not version:
            raise _not_found("the tenant has no schema yet: write one first")
        known_form = SCHEMA_VERSION.fullmatch(version)
        record = await self._reader.schema(tenant, version) if known_form else None
        if record is None:
            raise _not_found(f"the tenant has no schema version {version!r}")
        return record.text

    async def read(self, tenant: TenantId, version: str) -> CompiledSchema:
        """A compiled version; "" is the one in force.

        Raises:
            NotFoundError: no such version, or no schema at all.
        """
        _, loaded = await resolve_with_schema(
            self._resolver, self._cache, tenant=tenant, snap_token="", schema_version=version
        )
        return loaded.schema

    async def list(
        self, tenant: TenantId, *, limit: int, before: SchemaVersion | None
    ) -> tuple[SchemaVersion, list[SchemaRecord]]:
        """The version in force and a page of all versions, newest first.

        Raises:
            NotFoundError: the tenant has no schema.
        """
        head = await self._resolver.refresh(tenant)
        if not head.schema_version:
            raise _not_found("the tenant has no schema yet: write one first")
        return head.schema_version, await self._reader.schemas(tenant, limit=limit, before=before)
