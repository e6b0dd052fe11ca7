"""What becomes of a group of intents on a locked head: transactions, and an outcome each. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from grantlog.errors import (
    ConflictError,
    GrantlogError,
    InvalidInputError,
    NotFoundError,
    StaleSchemaError,
)
from grantlog.model.change import (
    Change,
    DataWritten,
    Operation,
    SchemaWritten,
    TenantCreated,
    TenantDeleted,
)
from grantlog.model.ids import SchemaVersion
from grantlog.model.version import schema_version
from grantlog.ports.writer import Committed, DataIntent, require_living_schema
from grantlog.store.postgres.writer.intents import (
    CreateIntent,
    DeleteIntent,
    Outcome,
    SchemaIntent,
)
from grantlog.store.postgres.writer.overlay import Overlay, StoredFacts
from grantlog.store.postgres.writer.tail import LockedHead, Tail


def plan_data(
    tail: Tail, stored: StoredFacts, intents: Sequence[DataIntent], *, changes_max: int
) -> list[Outcome]:
    """Take data writes one after another; one that is refused leaves nothing behind."""
    overlay = Overlay(stored)
    outcomes: list[Outcome] = []
    for count, intent in enumerate(intents, start=1):
        try:
            changes = overlay.net(intent.steps, changes_max=changes_max)
            outcomes.append(_append_write(tail, intent, changes))
            if count < len(intents):
                overlay.keep(changes)
        except GrantlogError as error:
            outcomes.append(error)
    return outcomes


def _append_write(tail: Tail, intent: DataIntent, changes: tuple[Change, ...]) -> Committed:
    if not changes:
        return tail.standing()
    creates = any(change.operation is Operation.CREATE for change in changes)
    if creates and not intent.schema_pinned and intent.schema_version != tail.schema_version:
        raise StaleSchemaError(
            f"the write was validated against schema version {intent.schema_version!r}, but "
            f"{tail.schema_version!r} is in force now: validate again"
        )
    if creates:
        require_living_schema(intent, tail.begins)
    return tail.append(
        DataWritten(changes, intent.schema_version if creates else SchemaVersion("")),
        write_id=intent.write_id,
        actor=intent.actor,
        metadata=intent.metadata,
    )


def plan_schema(tail: Tail, head: LockedHead, intent: SchemaIntent) -> Committed:
    """Write a schema version.

    Raises:
        ConflictError: another version than `based_on` is in force.
    """
    if intent.based_on is not None and intent.based_on != tail.schema_version:
        raise ConflictError(
            f"schema version {tail.schema_version!r} is in force, not {intent.based_on!r}: "
            "read it and try again"
        )
    revision, time = tail.next_place()
    version = schema_version(head.tenant, revision, time)
    return tail.append(SchemaWritten(version, intent.text), write_id=intent.write_id)


def plan_create(tail: Tail, intent: CreateIntent, *, listed: bool) -> Committed:
    """Put the tenant on the list.

    Raises:
        InvalidInputError: it is there.
    """
    if listed:
        raise InvalidInputError(
            f"tenant {intent.tenant!r} exists already", reason="ERROR_CODE_UNIQUE_CONSTRAINT"
        )
    return tail.append(TenantCreated(intent.name), write_id=intent.write_id)


def plan_delete(tail: Tail, head: LockedHead, intent: DeleteIntent, *, listed: bool) -> Committed:
    """End the tenant's life.

    Raises:
        NotFoundError: it is not on the list, and nothing was written since its life began.
    """
    if not listed and head.revision == head.begins_rev:
        raise NotFoundError(f"tenant {intent.tenant!r} does not exist")
    return tail.append(TenantDeleted(), write_id=intent.write_id)
