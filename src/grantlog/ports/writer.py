"""Writing: one atomic transaction becomes one revision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeAlias

from grantlog.errors import NotFoundError
from grantlog.model.attributes import Attribute
from grantlog.model.ids import NOTHING, Epoch, Revision, SchemaVersion, TenantId
from grantlog.model.tuples import Entity, RelationTuple
from grantlog.ports.facts import AttributeFilter, TupleFilter


@dataclass(frozen=True, slots=True)
class PutFacts:
    """Make these facts hold. Existing tuples and equal values are no change."""

    tuples: tuple[RelationTuple, ...] = ()
    attributes: tuple[Attribute, ...] = ()


@dataclass(frozen=True, slots=True)
class RemoveFacts:
    """Make exactly these facts not hold; absent ones are no change."""

    tuples: tuple[RelationTuple, ...] = ()
    attributes: tuple[tuple[Entity, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RemoveWhere:
    """Remove what the filters match; an empty filter matches nothing here."""

    tuples: TupleFilter = field(default_factory=TupleFilter)
    attributes: AttributeFilter = field(default_factory=AttributeFilter)


Step: TypeAlias = PutFacts | RemoveFacts | RemoveWhere


@dataclass(frozen=True, slots=True)
class DataIntent:
    """A data write: its steps take effect in order, all or none."""

    tenant: TenantId
    steps: tuple[Step, ...]
    schema_version: SchemaVersion
    """The version the facts were validated against; "" where nothing needed validation."""
    schema_pinned: bool = False
    """Whether the caller named that version. If not, it must still be in force at commit."""
    schema_revision: Revision = NOTHING
    """The revision that wrote a pinned version: it must belong to the tenant's current life."""
    write_id: bytes = b""
    """16 fresh bytes."""
    actor: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


def require_living_schema(intent: DataIntent, begins: Revision) -> None:
    """Refuse a pinned schema version of a life of the tenant that ended at `begins`.

    Raises:
        NotFoundError: the version went with that life.
    """
    if intent.schema_pinned and intent.schema_revision < begins:
        raise NotFoundError(
            f"schema version {intent.schema_version!r} ended with the tenant's deletion",
            reason="ERROR_CODE_SCHEMA_NOT_FOUND",
        )


@dataclass(frozen=True, slots=True)
class Committed:
    """Where a write stands in the log. One that changed nothing stands at the head it met."""

    epoch: Epoch
    revision: Revision
    schema_version: SchemaVersion
    """The schema version in force at `revision`."""
    commit_time: datetime | None = None
    begins: Revision = NOTHING
    """The deletion that began the tenant's current life."""
    digest: bytes | None = field(default=None, compare=False, repr=False)
    """Of the transaction at `revision`; None where a tenant was never written to."""


@dataclass(frozen=True, slots=True)
class TenantRecord:
    """A tenant on the list."""

    id: TenantId
    name: str
    created_at: datetime


class TransactionWriter(Protocol):
    """Commits transactions in the primary.

    Common errors: UnavailableError (not committed, or not known to be: the text says which),
    LimitError (too many changes in one transaction).
    """

    async def write(self, intent: DataIntent) -> Committed:
        """Commit a data write; concurrent writes of a tenant may share a database transaction.

        Raises:
            StaleSchemaError: another version came into force since validation; validate again.
            NotFoundError: the pinned version belongs to a life of the tenant that ended.
            LimitError: a removal by filter matches more than `changes_per_write_max` facts.
        """
        ...

    async def write_schema(
        self, tenant: TenantId, text: str, *, based_on: SchemaVersion | None, write_id: bytes
    ) -> Committed:
        """Commit a new schema version, `Committed.schema_version`.

        Args:
            tenant: whose schema.
            text: a source that compiles; it is stored as it is.
            based_on: if given, the version that must be in force ("" for none yet).
            write_id: 16 fresh bytes.

        Raises:
            ConflictError: another version than `based_on` is in force.
        """
        ...

    async def write_bundles(
        self, tenant: TenantId, definitions: Mapping[str, str], *, write_id: bytes
    ) -> Committed:
        """Store bundles by name, replacing; all or none, a revision for each that changes.

        Raises:
            LimitError: the tenant would have more than `BUNDLES_MAX`.
        """
        ...

    async def delete_bundle(self, tenant: TenantId, name: str, *, write_id: bytes) -> Committed:
        """Remove a bundle.

        Raises:
            NotFoundError: the tenant has none of that name (ERROR_CODE_BUNDLE_NOT_FOUND).
        """
        ...

    async def create_tenant(self, tenant: TenantId, name: str, *, write_id: bytes) -> TenantRecord:
        """Put a tenant on the list, keeping data it already has.

        Raises:
            InvalidInputError: it is on the list already (ERROR_CODE_UNIQUE_CONSTRAINT).
        """
        ...

    async def delete_tenant(self, tenant: TenantId, *, write_id: bytes) -> Committed:
        """End a tenant's life: off the list, its facts and schemas gone from that revision on.

        Nothing of that life can be read any more; its rows, the log's included, are purged later,
        in batches, by the follower.

        Raises:
            NotFoundError: neither on the list nor written since its life began.
        """
        ...


class TenantLister(Protocol):
    """Reads the list of tenants from the primary."""

    async def tenants(self, *, limit: int, after: TenantId | None = None) -> list[TenantRecord]:
        """Tenants by id bytes; `after` is the last one of the page before."""
        ...
