"""Compiled schemas, kept by tenant and version, and compiled beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, ParamSpec, TypeVar

from grantlog.app.one_by_one import OneByOne
from grantlog.app.recent import Recent
from grantlog.engine.plan import Plan, build_plan
from grantlog.errors import NotFoundError, UnavailableError
from grantlog.model.ids import SCHEMA_VERSION, Revision, SchemaVersion, TenantId
from grantlog.ports.heads import SchemaReader, SchemaRecord
from grantlog.schema.compile import compile_schema
from grantlog.schema.compiled import CompiledSchema

P = ParamSpec("P")
T = TypeVar("T")

SCHEMAS_CACHED_MAX: Final = 1_000
COMPILES_WAITING_MAX: Final = 32
"""Texts that may wait for the one compiling thread; each takes the interpreter from everybody."""


@dataclass(frozen=True, slots=True)
class LoadedSchema:
    """A schema version, ready to check with."""

    version: SchemaVersion
    revision: Revision
    """The revision that wrote it: nothing is answered with it below that."""
    schema: CompiledSchema
    plan: Plan


class SchemaCache:
    """Compiled schemas by tenant and version. A version never changes, so entries never expire."""

    def __init__(self, reader: SchemaReader, entries_max: int = SCHEMAS_CACHED_MAX) -> None:
        self._reader = reader
        self._loaded: Recent[tuple[TenantId, SchemaVersion], LoadedSchema] = Recent(entries_max)
        self._compiler = ThreadPoolExecutor(1, thread_name_prefix="schema-compiler")
        self._compiling = 0
        self._cleared = 0
        self._loading = OneByOne[tuple[TenantId, SchemaVersion]]()

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
            raise no_schema(f"tenant {tenant} has no schema: write one, or is it another tenant?")
        async with self._loading.turn(key):
            loaded = self._loaded.find(key)
            if loaded is None:
                cleared = self._cleared
                loaded = await self._compile(tenant, version)
                if cleared == self._cleared:  # else it may be of a write that was lost
                    self._loaded.set(key, loaded)
            return loaded

    async def compile(self, text: str) -> tuple[CompiledSchema, Plan]:
        """A schema and its plan; errors as `in_thread`."""
        return await self.in_thread(compile_text, text)

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
        record = await read_schema(self._reader, tenant, version)
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
        """Drop all versions, those too that are being loaded: some may be of lost writes."""
        self._cleared += 1
        self._loaded.clear()


def compile_text(text: str) -> tuple[CompiledSchema, Plan]:
    """A schema and its plan; SchemaError if it does not parse or check."""
    schema = compile_schema(text)
    return schema, build_plan(schema)


async def read_schema(
    reader: SchemaReader, tenant: TenantId, version: SchemaVersion
) -> SchemaRecord:
    """A stored version.

    Raises:
        NotFoundError: the tenant has no such version.
    """
    known_form = SCHEMA_VERSION.fullmatch(version)
    record = await reader.schema(tenant, version) if known_form else None
    if record is None:
        raise no_schema(f"the tenant has no schema version {version!r}")
    return record


def no_schema(explanation: str) -> NotFoundError:
    """There is no schema to answer with."""
    return NotFoundError(explanation, reason="ERROR_CODE_SCHEMA_NOT_FOUND")
