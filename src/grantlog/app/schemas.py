"""Writing and reading schema versions, and the cache of compiled ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, ParamSpec, TypeVar

from grantlog.app.known import KnownHeads
from grantlog.app.recent import Recent
from grantlog.app.resolve import Resolver
from grantlog.app.terms import AT_HEAD, Terms
from grantlog.engine.plan import Plan, build_plan
from grantlog.errors import ConflictError, InvalidInputError, NotFoundError, UnavailableError
from grantlog.model.ids import SCHEMA_VERSION, Revision, SchemaVersion, TenantId
from grantlog.ports.heads import Head, SchemaReader
from grantlog.ports.writer import Committed, TransactionWriter
from grantlog.schema.compile import compile_schema
from grantlog.schema.compiled import CompiledSchema, SchemaWarning
from grantlog.schema.edit import EntityEdits, edit_schema

P = ParamSpec("P")
T = TypeVar("T")

SCHEMAS_CACHED_MAX: Final = 1_000
COMPILES_WAITING_MAX: Final = 32
"""Texts that may wait for the one compiling thread; each takes the interpreter from everybody."""

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
        self._loaded: Recent[tuple[TenantId, SchemaVersion], LoadedSchema] = Recent(entries_max)
        self._compiler = ThreadPoolExecutor(1, thread_name_prefix="schema-compiler")
        self._compiling = 0
        self._loading: dict[tuple[TenantId, SchemaVersion], asyncio.Lock] = {}

    def find(self, tenant: TenantId, version: SchemaVersion) -> LoadedSchema | None:
        """The compiled version, if it is here."""
        return self._loaded.find((tenant, version))

    async def load(self, tenant: TenantId, version: SchemaVersion) -> LoadedSchema:
        """The compiled version; concurrent first loads compile once.

        Raises:
            NotFoundError: the tenant has no such version ("" included: no schema was written).
        """
        key = (tenant, version)
        loaded = self._loaded.find(key)
        if loaded is not None:
            return loaded
        if not version:
            raise _not_found(f"tenant {tenant} has no schema: write one, or is it another tenant?")
        lock = self._loading.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                loaded = self._loaded.find(key)
                if loaded is None:
                    loaded = await self._compile(tenant, version)
                    self._loaded.set(key, loaded)
                return loaded
        finally:
            self._loading.pop(key, None)

    async def compile(self, text: str) -> tuple[CompiledSchema, Plan]:
        """A schema and its plan; errors as `in_thread`."""
        return await self.in_thread(_compile_text, text)

    async def in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Work on a schema's text; one at a time, in a thread that nothing else waits for.

        Raises:
            SchemaError: it does not parse or check.
            UnavailableError: too many texts wait.
        """
        if self._compiling >= COMPILES_WAITING_MAX:
            raise UnavailableError("too many schemas wait to be compiled: try again later")
        self._compiling += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._compiler, partial(work, *args, **kwargs))
        finally:
            self._compiling -= 1

    def keep(self, tenant: TenantId, loaded: LoadedSchema) -> None:
        """Have a version that was compiled to be written."""
        self._loaded.set((tenant, loaded.version), loaded)

    async def _compile(self, tenant: TenantId, version: SchemaVersion) -> LoadedSchema:
        known_form = SCHEMA_VERSION.fullmatch(version)
        record = await self._reader.schema(tenant, version) if known_form else None
        if record is None:
            raise _not_found(f"the tenant has no schema version {version!r}")
        schema, plan = await self.compile(record.text)
        return LoadedSchema(version, record.revision, schema, plan)

    def tenants(self) -> set[TenantId]:
        """Those of whom versions are kept."""
        return {tenant for (tenant, _), _ in self._loaded.items()}

    def forget_before(self, tenant: TenantId, begins: Revision) -> None:
        """Drop the versions of lives of the tenant that ended at or before a deletion."""
        for key, loaded in list(self._loaded.items()):
            if key[0] == tenant and loaded.revision < begins:
                self._loaded.drop(key)

    def clear(self) -> None:
        """Drop all versions: some may be of writes that were lost."""
        self._loaded.clear()


def _compile_text(text: str) -> tuple[CompiledSchema, Plan]:
    schema = compile_schema(text)
    return schema, build_plan(schema)


def _edited(text: str, edits: Mapping[str, EntityEdits]) -> tuple[str, CompiledSchema, Plan]:
    edited = edit_schema(text, edits)
    return edited, *_compile_text(edited)


def _not_found(explanation: str) -> NotFoundError:
    return NotFoundError(explanation, reason="ERROR_CODE_SCHEMA_NOT_FOUND")


def resolve_at_once(
    resolver: Resolver, cache: SchemaCache, tenant: TenantId, terms: Terms
) -> tuple[Head, LoadedSchema] | None:
    """What `resolve_with_schema` comes to where this node knows it; None if one has to ask.

    Raises:
        InvalidTokenError: the token is garbled or another tenant's.
    """
    head = resolver.resolve_at_once(tenant, terms)
    if head is None:
        return None
    loaded = cache.find(tenant, SchemaVersion(terms.schema_version) or head.schema_version)
    if loaded is None or not head.begins <= loaded.revision <= head.revision:
        return None
    return head, loaded


async def resolve_with_schema(
    resolver: Resolver, cache: SchemaCache, tenant: TenantId, terms: Terms
) -> tuple[Head, LoadedSchema]:
    """The head to answer at and the schema to answer with, on a question's terms.

    An explicit version is also a floor: the answer stands at or after the revision that wrote it.

    Raises:
        NotFoundError: no such version, or no schema at all.
        InvalidInputError: the version was written after the as-of.
    """
    known = resolve_at_once(resolver, cache, tenant, terms)
    if known is not None:
        return known
    head = await resolver.resolve(tenant, terms)
    if terms.as_of is not None and not terms.schema_version and not head.schema_version:
        raise _not_found(
            f"tenant {tenant} had no schema yet at revision {head.revision}: ask as of a later one"
        )
    try:
        loaded = await cache.load(
            tenant, SchemaVersion(terms.schema_version) or head.schema_version
        )
    except NotFoundError:
        # What this node knew may be older: another one wrote a schema, or deleted the tenant.
        fresh = await resolver.refresh(tenant)
        if terms.schema_version or terms.as_of is not None or fresh.revision == head.revision:
            raise
        head = await resolver.resolve(tenant, terms)
        loaded = await cache.load(tenant, head.schema_version)
    require_living(loaded, head)
    if loaded.revision > head.revision:
        if terms.as_of is not None:
            raise InvalidInputError(
                f"schema version {loaded.version} was written at revision {loaded.revision}, "
                f"after the as-of (revision {head.revision})",
                reason="INVALID_AS_OF",
            )
        head = await resolver.resolve(tenant, AT_HEAD)
    return head, loaded


def require_living(loaded: LoadedSchema, head: Head) -> None:
    """Refuse a version of a life of the tenant that ended; caches may still hold it.

    Raises:
        NotFoundError: the version was written before the tenant was deleted.
    """
    if loaded.revision < head.begins:
        raise _not_found(f"schema version {loaded.version!r} ended with the tenant's deletion")


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
        schema, plan = await self._cache.compile(text)
        committed = await self._commit(tenant, text, based_on=None)
        return self._in_force(tenant, committed, schema, plan)

    async def _commit(
        self, tenant: TenantId, text: str, *, based_on: SchemaVersion | None
    ) -> Committed:
        begun_at = self._known.now()
        committed = await self._writer.write_schema(
            tenant, text, based_on=based_on, write_id=self._new_id()
        )
        self._known.acknowledge(tenant, committed, begun_at)
        return committed

    def _in_force(
        self, tenant: TenantId, committed: Committed, schema: CompiledSchema, plan: Plan
    ) -> WrittenSchema:
        self._cache.keep(
            tenant, LoadedSchema(committed.schema_version, committed.revision, schema, plan)
        )
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
            edited, schema, plan = await self._cache.in_thread(_edited, text, edits)
            try:
                committed = await self._commit(tenant, edited, based_on=SchemaVersion(base))
            except ConflictError:
                if version:
                    raise
                continue
            return self._in_force(tenant, committed, schema, plan)
        raise ConflictError("the schema keeps changing while this is edited; retry")

    async def _text(self, tenant: TenantId, version: SchemaVersion) -> str:
        if not version:
            raise _not_found("the tenant has no schema yet: write one first")
        known_form = SCHEMA_VERSION.fullmatch(version)
        record = await self._reader.schema(tenant, version) if known_form else None
        if record is None:
            raise _not_found(f"the tenant has no schema version {version!r}")
        return record.text

    async def read(self, tenant: TenantId, terms: Terms) -> CompiledSchema:
        """The compiled version that the terms come to.

        Raises:
            NotFoundError: no such version, or no schema at all.
        """
        _, loaded = await resolve_with_schema(self._resolver, self._cache, tenant, terms)
        return loaded.schema
