"""The schema calls: writing a version, editing one, reading one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from grantlog.app.known import KnownHeads
from grantlog.app.resolve import Resolver
from grantlog.app.resolve_schema import resolve_with_schema
from grantlog.app.schema_cache import (
    LoadedSchema,
    SchemaCache,
    compile_text,
    no_schema,
    read_schema,
)
from grantlog.app.terms import Terms
from grantlog.engine.plan import Plan
from grantlog.errors import ConflictError
from grantlog.model.ids import SchemaVersion, TenantId
from grantlog.ports.heads import SchemaReader
from grantlog.ports.writer import Committed, TransactionWriter
from grantlog.schema.compiled import CompiledSchema, SchemaWarning
from grantlog.schema.edit import EntityEdits, edit_schema

EDIT_RACES_MAX: Final = 8
"""How often an edit is made anew because another schema came into force meanwhile."""


@dataclass(frozen=True, slots=True)
class WrittenSchema:
    """A version that came into force, and what its author probably did not mean."""

    version: SchemaVersion
    warnings: tuple[SchemaWarning, ...]


def _edited(text: str, edits: Mapping[str, EntityEdits]) -> tuple[str, CompiledSchema, Plan]:
    edited = edit_schema(text, edits)
    return edited, *compile_text(edited)


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
            raise no_schema("the tenant has no schema yet: write one first")
        return (await read_schema(self._reader, tenant, version)).text

    async def read(self, tenant: TenantId, terms: Terms) -> CompiledSchema:
        """The compiled version that the terms come to.

        Raises:
            NotFoundError: no such version, or no schema at all.
        """
        _, loaded = await resolve_with_schema(self._resolver, self._cache, tenant, terms)
        return loaded.schema
