"""Writing facts: validated against the schema in force, then committed as one revision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from grantlog.app.known import KnownHeads
from grantlog.app.resolve import Resolver
from grantlog.app.schema_cache import LoadedSchema, SchemaCache
from grantlog.engine.conform import check_attribute, check_tuple
from grantlog.errors import ConflictError, InvalidInputError, LimitError, StaleSchemaError
from grantlog.model.attributes import Attribute
from grantlog.model.ids import Revision, SchemaVersion, TenantId
from grantlog.model.tuples import Entity, RelationTuple
from grantlog.ports.facts import AttributeFilter, TupleFilter
from grantlog.ports.heads import Head
from grantlog.ports.writer import (
    DataIntent,
    PutFacts,
    RemoveFacts,
    RemoveWhere,
    Step,
    TransactionWriter,
)

VALUE_BYTES_MAX: Final = 64 * 1024
"""UTF-8 length of the texts of an attribute's value, 8 for every other item."""

SCHEMA_RACES_MAX: Final = 8
"""How often a write is validated anew because another schema came into force meanwhile."""


class WriteData:
    """The data write calls."""

    def __init__(
        self,
        *,
        writer: TransactionWriter,
        resolver: Resolver,
        known: KnownHeads,
        cache: SchemaCache,
        new_id: Callable[[], bytes],
        facts_per_write_max: int,
    ) -> None:
        self._writer = writer
        self._resolver = resolver
        self._known = known
        self._cache = cache
        self._new_id = new_id
        self._facts_per_write_max = facts_per_write_max

    async def put(
        self,
        tenant: TenantId,
        *,
        tuples: Iterable[RelationTuple],
        attributes: Iterable[Attribute],
        schema_version: str,
    ) -> Head:
        """Make the facts hold, all or none; the head returned has them.

        A tuple twice is one; of an attribute twice the first value wins.

        Raises:
            NotFoundError: the schema, or a type, relation or attribute that a fact names.
            InvalidInputError: a fact that the schema does not admit, or too many facts.
        """
        facts = PutFacts(tuple(dict.fromkeys(tuples)), first_of_each(attributes))
        return await self.apply(tenant, (facts,), schema_version=schema_version)

    async def apply(
        self,
        tenant: TenantId,
        steps: Sequence[PutFacts | RemoveFacts],
        *,
        schema_version: str = "",
    ) -> Head:
        """Take steps in order, all or none; the head returned has them; errors as `put`.

        Facts that are to hold must fit the schema. What is removed need not: the relation may be
        gone from the schema, and the fact should go too.
        """
        if not any(isinstance(step, PutFacts) for step in steps):
            self._require_few(steps)
            return await self._commit(tenant, steps, None)
        for _ in range(SCHEMA_RACES_MAX):
            loaded = await self._schema(tenant, schema_version)
            _validate(loaded, steps)
            self._require_few(steps)
            try:
                return await self._commit(tenant, steps, loaded, schema_pinned=bool(schema_version))
            except StaleSchemaError:
                await self._resolver.refresh(tenant)
        raise ConflictError("the schema keeps changing while this is written; retry")

    async def remove(
        self, tenant: TenantId, *, tuples: TupleFilter, attributes: AttributeFilter
    ) -> Head:
        """Remove what the filters match; the head returned has none of it.

        Raises:
            InvalidInputError: both filters are empty.
            LimitError: more facts match than one transaction may change.
        """
        if tuples.is_empty and attributes.is_empty:
            raise InvalidInputError(
                "both filters are empty: name at least one field of tuple_filter or "
                "attribute_filter; to remove everything, delete the tenant"
            )
        return await self._commit(tenant, (RemoveWhere(tuples, attributes),), None)

    async def _schema(self, tenant: TenantId, schema_version: str) -> LoadedSchema:
        if schema_version:
            return await self._cache.load(tenant, SchemaVersion(schema_version))
        head = self._known.head(tenant) or await self._resolver.refresh(tenant)
        if not head.schema_version:
            head = await self._resolver.refresh(tenant)
        return await self._cache.load(tenant, head.schema_version)

    def _require_few(self, steps: Sequence[PutFacts | RemoveFacts]) -> None:
        count = sum(len(step.tuples) + len(step.attributes) for step in steps)
        if count > self._facts_per_write_max:
            raise InvalidInputError(
                f"{count} facts in one write, at most {self._facts_per_write_max} are allowed: "
                "send them in several writes",
                reason="ERROR_CODE_MAX_DATA_PER_WRITE_EXCEEDED",
            )

    async def _commit(
        self,
        tenant: TenantId,
        steps: Sequence[Step],
        loaded: LoadedSchema | None,
        *,
        schema_pinned: bool = False,
    ) -> Head:
        begun_at = self._known.now()
        committed = await self._writer.write(
            DataIntent(
                tenant=tenant,
                steps=tuple(steps),
                schema_version=loaded.version if loaded else SchemaVersion(""),
                schema_pinned=schema_pinned,
                schema_revision=loaded.revision if loaded else Revision(0),
                write_id=self._new_id(),
            )
        )
        return self._known.acknowledge(tenant, committed, begun_at)


def _require_small(attribute: Attribute) -> None:
    """Refuse a value so large that rules could not take it and pages not hold it."""
    data = attribute.value.data
    items = data if isinstance(data, tuple) else (data,)
    size = sum(len(item.encode()) if isinstance(item, str) else 8 for item in items)
    if size > VALUE_BYTES_MAX:
        raise LimitError(
            f"the value of {attribute.entity}${attribute.name} has {size} bytes, at most "
            f"{VALUE_BYTES_MAX} are allowed"
        )


def _validate(loaded: LoadedSchema, steps: Sequence[PutFacts | RemoveFacts]) -> None:
    """Refuse facts to be put that the schema does not admit, or that are too large."""
    shapes: set[tuple[str, str, str]] = set()
    for step in steps:
        if isinstance(step, PutFacts):
            for fact in step.tuples:
                # Tuples to plain entities fit by their types and relation alone: each kind once.
                (type_, _), relation, (kind, _, userset) = fact
                shape = (type_, relation, kind)
                if userset or shape not in shapes:
                    check_tuple(loaded.schema, fact)
                    if not userset:
                        shapes.add(shape)
            for attribute in step.attributes:
                check_attribute(loaded.schema, attribute)
                _require_small(attribute)


def first_of_each(attributes: Iterable[Attribute]) -> tuple[Attribute, ...]:
    """The attributes, of several values of one the first."""
    first: dict[tuple[Entity, str], Attribute] = {}
    for attribute in attributes:
        first.setdefault((attribute.entity, attribute.name), attribute)
    return tuple(first.values())
