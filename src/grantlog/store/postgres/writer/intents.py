"""What callers of the writer want done: data writes, and what goes alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from grantlog.errors import GrantlogError
from grantlog.model.ids import SchemaVersion, TenantId
from grantlog.ports.writer import Committed, DataIntent, PutFacts, RemoveFacts, RemoveWhere


@dataclass(frozen=True, slots=True)
class SchemaIntent:
    """Write a schema version."""

    tenant: TenantId
    text: str
    based_on: SchemaVersion | None
    write_id: bytes


@dataclass(frozen=True, slots=True)
class CreateIntent:
    """Put the tenant on the list."""

    tenant: TenantId
    name: str
    write_id: bytes


@dataclass(frozen=True, slots=True)
class DeleteIntent:
    """End the tenant's life."""

    tenant: TenantId
    write_id: bytes


@dataclass(frozen=True, slots=True)
class BundleIntent:
    """Store bundles under their names."""

    tenant: TenantId
    definitions: Mapping[str, str]
    write_id: bytes


@dataclass(frozen=True, slots=True)
class UnbundleIntent:
    """Remove a bundle."""

    tenant: TenantId
    name: str
    write_id: bytes


Intent: TypeAlias = (
    DataIntent | SchemaIntent | CreateIntent | DeleteIntent | BundleIntent | UnbundleIntent
)

Outcome: TypeAlias = Committed | GrantlogError
"""What became of an intent: each of a group has its own."""


def facts_named(intent: DataIntent) -> int:
    """How many facts the intent names one by one."""
    return sum(
        len(step.tuples) + len(step.attributes)
        for step in intent.steps
        if isinstance(step, PutFacts | RemoveFacts)
    )


def filters_named(intent: DataIntent) -> int:
    """How many removals by filter the intent holds."""
    return sum(isinstance(step, RemoveWhere) for step in intent.steps)
