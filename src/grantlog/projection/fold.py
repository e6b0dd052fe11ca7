"""Transactions of one tenant become the net changes of rows. Pure.

The primary's writer folds what it is about to commit, a replica's projector folds what it reads:
the tables of both are the same function of the log. Folding a prefix and then the rest gives what
folding all at once gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from grantlog.errors import CorruptionError
from grantlog.model.attributes import Attribute
from grantlog.model.change import (
    AttributeChange,
    BundleDeleted,
    BundleWritten,
    Change,
    DataWritten,
    Operation,
    SchemaWritten,
    TenantCreated,
    TenantDeleted,
    Transaction,
    TupleChange,
)
from grantlog.model.ids import Revision, SchemaVersion
from grantlog.model.tuples import Entity, RelationTuple

AttributeName = tuple[Entity, str]


@dataclass(slots=True)
class RowChanges:
    """Net row changes of consecutive transactions, to be applied expiries first.

    `*_created`: rows that come to live. `*_expired`: live rows that move to history (the row knows
    when it was created). `*_passed`: rows that came and went within the run, history only.
    """

    tuples_created: list[tuple[RelationTuple, Revision]] = field(default_factory=list)
    tuples_expired: list[tuple[RelationTuple, Revision]] = field(default_factory=list)
    tuples_passed: list[tuple[RelationTuple, Revision, Revision]] = field(default_factory=list)
    attributes_created: list[tuple[Attribute, Revision]] = field(default_factory=list)
    attributes_expired: list[tuple[AttributeName, Revision]] = field(default_factory=list)
    attributes_passed: list[tuple[Attribute, Revision, Revision]] = field(default_factory=list)
    schemas: list[Transaction] = field(default_factory=list)
    """The transactions that wrote a schema version, in order."""
    listings: list[Transaction] = field(default_factory=list)
    """The transactions that put the tenant on the list or took it off, in order."""

    @property
    def schema_version(self) -> SchemaVersion | None:
        """The version in force at the end, None if the run wrote none."""
        body = self.schemas[-1].body if self.schemas else None
        return body.version if isinstance(body, SchemaWritten) else None


def lives(transactions: Iterable[Transaction]) -> Iterator[list[Transaction]]:
    """Split a run so that a deletion of the tenant is alone: it ends one life of its rows."""
    run: list[Transaction] = []
    for transaction in transactions:
        if isinstance(transaction.body, TenantDeleted):
            if run:
                yield run
            yield [transaction]
            run = []
        else:
            run.append(transaction)
    if run:
        yield run


def fold(transactions: Sequence[Transaction]) -> RowChanges:
    """The net row changes of consecutive transactions of one life.

    Raises:
        CorruptionError: a fact is created that holds, or expires twice.
    """
    rows = RowChanges()
    tuples: dict[RelationTuple, Revision | None] = {}
    attributes: dict[AttributeName, tuple[Attribute, Revision] | None] = {}
    for transaction in transactions:
        match transaction.body:
            case DataWritten(changes):
                for change in changes:
                    _fold_change(rows, tuples, attributes, change, transaction.revision)
            case SchemaWritten():
                rows.schemas.append(transaction)
            case TenantCreated() | TenantDeleted():
                rows.listings.append(transaction)
            case BundleWritten() | BundleDeleted():
                pass  # bundles are read from the primary alone
            case _:
                assert_never(transaction.body)
    rows.tuples_created = [(fact, at) for fact, at in tuples.items() if at is not None]
    rows.attributes_created = [created for created in attributes.values() if created is not None]
    return rows


def _fold_change(
    rows: RowChanges,
    tuples: dict[RelationTuple, Revision | None],
    attributes: dict[AttributeName, tuple[Attribute, Revision] | None],
    change: Change,
    revision: Revision,
) -> None:
    """Fold one change; the maps hold what came to live in this run, None for what expired in it."""
    match change:
        case TupleChange(Operation.CREATE, fact):
            if tuples.get(fact) is not None:
                raise CorruptionError(f"revision {revision} creates a tuple that holds")
            tuples[fact] = revision
        case TupleChange(Operation.DELETE, fact):
            created = tuples.get(fact)
            if created is not None:
                rows.tuples_passed.append((fact, created, revision))
            elif fact in tuples:
                raise CorruptionError(f"revision {revision} deletes a tuple that does not hold")
            else:
                rows.tuples_expired.append((fact, revision))
            tuples[fact] = None
        case AttributeChange(Operation.CREATE, attribute):
            key = (attribute.entity, attribute.name)
            if attributes.get(key) is not None:
                raise CorruptionError(f"revision {revision} creates an attribute that holds")
            attributes[key] = (attribute, revision)
        case AttributeChange(Operation.DELETE, attribute):
            key = (attribute.entity, attribute.name)
            held = attributes.get(key)
            if held is not None:
                rows.attributes_passed.append((held[0], held[1], revision))
            elif key in attributes:
                raise CorruptionError(f"revision {revision} deletes an attribute that is not set")
            else:
                rows.attributes_expired.append((key, revision))
            attributes[key] = None
        case _:
            raise CorruptionError(f"revision {revision} holds an unknown change")
