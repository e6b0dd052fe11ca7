"""What the log holds: transactions, and the changes of facts in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TypeAlias

from grantlog.model.attributes import Attribute
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.model.tuples import RelationTuple


class Operation(Enum):
    """What happened to a fact; the numbers are the wire's."""

    CREATE = 1
    DELETE = 2


@dataclass(frozen=True, slots=True)
class TupleChange:
    """A relation tuple came to hold, or ceased to."""

    operation: Operation
    tuple: RelationTuple


@dataclass(frozen=True, slots=True)
class AttributeChange:
    """An attribute came to hold, or ceased to; a delete carries the value that ceased."""

    operation: Operation
    attribute: Attribute


Change: TypeAlias = TupleChange | AttributeChange


@dataclass(frozen=True, slots=True)
class DataWritten:
    """Facts changed. Deletes come before creates of the same key."""

    changes: tuple[Change, ...]
    schema_version: SchemaVersion
    """The version that the creates were validated against; "" for deletes only."""


@dataclass(frozen=True, slots=True)
class SchemaWritten:
    """A new schema version came into force."""

    version: SchemaVersion
    text: str
    """The submitted source, comments kept."""


@dataclass(frozen=True, slots=True)
class TenantCreated:
    """A tenant was put on the list of tenants; data it already had is kept."""

    name: str


@dataclass(frozen=True, slots=True)
class TenantDeleted:
    """Everything of the tenant ended at this revision; its life begins anew behind it."""


@dataclass(frozen=True, slots=True)
class BundleWritten:
    """A bundle was stored under its name; `definition` is the JSON of the wire's DataBundle."""

    name: str
    definition: str


@dataclass(frozen=True, slots=True)
class BundleDeleted:
    """A bundle was removed."""

    name: str


Body: TypeAlias = (
    DataWritten | SchemaWritten | TenantCreated | TenantDeleted | BundleWritten | BundleDeleted
)


@dataclass(frozen=True, slots=True)
class Transaction:
    """One atomic write of a tenant: an entry of the log.

    Large transactions are stored and sent in parts; a Transaction is always whole.
    """

    tenant: TenantId
    epoch: Epoch
    revision: Revision
    commit_time: datetime
    """UTC, microseconds, strictly increasing within a tenant."""
    body: Body
    salt: bytes
    """The tenant's salt of the digest chain."""
    previous_digest: bytes
    digest: bytes
    write_id: bytes = b""
    """16 bytes chosen by the node that wrote; finds the outcome of a lost COMMIT."""
    actor: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def size(self) -> int:
        """Its changes of facts; anything else that a transaction does counts as one."""
        return len(self.body.changes) if isinstance(self.body, DataWritten) else 1
