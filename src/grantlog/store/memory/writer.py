"""Committing transactions in memory: TransactionWriter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from grantlog.errors import (
    ConflictError,
    InvalidInputError,
    LimitError,
    NotFoundError,
    StaleSchemaError,
)
from grantlog.model.chain import GENESIS, transaction_digest
from grantlog.model.change import (
    Body,
    BundleDeleted,
    BundleWritten,
    Change,
    DataWritten,
    Operation,
    SchemaWritten,
    TenantCreated,
    TenantDeleted,
    Transaction,
)
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.model.version import schema_version
from grantlog.ports.bundles import BUNDLES_MAX
from grantlog.ports.writer import Committed, DataIntent, TenantRecord, require_living_schema
from grantlog.store.memory.effect import net_changes, require_within
from grantlog.store.memory.facts import LifeFacts
from grantlog.store.memory.tables import MemoryTables, TenantState

CHANGES_PER_WRITE_MAX: Final = 100_000
_TICK: Final = timedelta(microseconds=1)


class MemoryWriter:
    """Commits in one step of the event loop, so that writes of a tenant cannot interleave.

    Args:
        tables: the primary's tables.
        record: told every transaction as it commits; the change log's `record`.
        clock: the time, UTC.
        new_salt: 16 fresh bytes for each new tenant.
        changes_per_write_max: bound of one write.
    """

    def __init__(
        self,
        tables: MemoryTables,
        record: Callable[[Sequence[Transaction]], None],
        *,
        clock: Callable[[], datetime],
        new_salt: Callable[[], bytes],
        changes_per_write_max: int = CHANGES_PER_WRITE_MAX,
    ) -> None:
        self._tables = tables
        self._record = record
        self._clock = clock
        self._new_salt = new_salt
        self._changes_max = changes_per_write_max

    async def write(self, intent: DataIntent) -> Committed:
        """Commit a data write, as the port says."""
        state = self._tables.tenants.get(intent.tenant)
        facts = state.facts if state else LifeFacts()
        at = state.revision if state else Revision(0)
        in_force = state.schema_version if state else SchemaVersion("")
        begins = state.begins if state else Revision(0)
        changes = net_changes(intent, facts, at)
        if not changes:
            epoch = state.epoch if state else self._tables.epoch
            digest = state.digest if state else None
            return Committed(epoch, at, in_force, begins=begins, digest=digest)
        require_within(changes, self._changes_max)
        creates = any(change.operation is Operation.CREATE for change in changes)
        if creates and not intent.schema_pinned and intent.schema_version != in_force:
            raise StaleSchemaError("another schema version came into force; validate again")
        if creates:
            require_living_schema(intent, begins)
        return self._commit(
            intent.tenant,
            _data_body(changes, intent, creates=creates),
            write_id=intent.write_id,
            actor=intent.actor,
            metadata=intent.metadata,
        )

    async def write_schema(
        self, tenant: TenantId, text: str, *, based_on: SchemaVersion | None, write_id: bytes
    ) -> Committed:
        """Commit a new schema version, as the port says."""
        state = self._tables.tenants.get(tenant)
        in_force = state.schema_version if state else SchemaVersion("")
        if based_on is not None and based_on != in_force:
            raise ConflictError(f"schema version {in_force!r} is in force, not {based_on!r}")
        time = self._next_time(state)
        revision = Revision((state.revision if state else 0) + 1)
        version = schema_version(tenant, revision, time)
        return self._commit(tenant, SchemaWritten(version, text), write_id=write_id, time=time)

    async def write_bundles(
        self, tenant: TenantId, definitions: Mapping[str, str], *, write_id: bytes
    ) -> Committed:
        """Store bundles under their names, as the port says."""
        state = self._tables.tenants.get(tenant)
        stored = dict(state.bundles) if state else {}
        if len({*stored, *definitions}) > BUNDLES_MAX:
            raise LimitError(f"a tenant may have at most {BUNDLES_MAX} bundles: delete some first")
        done = Committed(
            state.epoch if state else self._tables.epoch,
            state.revision if state else Revision(0),
            state.schema_version if state else SchemaVersion(""),
            begins=state.begins if state else Revision(0),
            digest=state.digest if state else None,
        )
        for name, definition in definitions.items():
            if stored.get(name) != definition:
                done = self._commit(tenant, BundleWritten(name, definition), write_id=write_id)
        return done

    async def delete_bundle(self, tenant: TenantId, name: str, *, write_id: bytes) -> Committed:
        """Remove a bundle, as the port says."""
        state = self._tables.tenants.get(tenant)
        if state is None or name not in state.bundles:
            raise NotFoundError(
                f"the tenant has no bundle {name!r}", reason="ERROR_CODE_BUNDLE_NOT_FOUND"
            )
        return self._commit(tenant, BundleDeleted(name), write_id=write_id)

    async def create_tenant(self, tenant: TenantId, name: str, *, write_id: bytes) -> TenantRecord:
        """Put a tenant on the list, as the port says."""
        if tenant in self._tables.listed:
            raise InvalidInputError(
                f"tenant {tenant!r} exists already", reason="ERROR_CODE_UNIQUE_CONSTRAINT"
            )
        self._commit(tenant, TenantCreated(name), write_id=write_id)
        return self._tables.listed[tenant]

    async def delete_tenant(self, tenant: TenantId, *, write_id: bytes) -> Committed:
        """End a tenant's life, as the port says."""
        state = self._tables.tenants.get(tenant)
        unwritten = state is None or state.revision == state.begins
        if unwritten and tenant not in self._tables.listed:
            raise NotFoundError(f"tenant {tenant!r} does not exist")
        return self._commit(tenant, TenantDeleted(), write_id=write_id)

    def _next_time(self, state: TenantState | None) -> datetime:
        now = self._clock()
        if state is None or state.commit_time is None:
            return now
        return max(now, state.commit_time + _TICK)

    def _commit(
        self,
        tenant: TenantId,
        body: Body,
        *,
        write_id: bytes,
        time: datetime | None = None,
        actor: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> Committed:
        state = self._tables.tenants.get(tenant)
        epoch: Epoch = self._tables.epoch
        revision = Revision((state.revision if state else 0) + 1)
        previous = state.digest if state else GENESIS
        salt = state.salt if state else self._new_salt()
        commit_time = time or self._next_time(state)
        digest = transaction_digest(
            previous,
            tenant=tenant,
            epoch=epoch,
            revision=revision,
            commit_time=commit_time,
            body=body,
            salt=salt,
        )
        transaction = Transaction(
            tenant=tenant,
            epoch=epoch,
            revision=revision,
            commit_time=commit_time,
            body=body,
            salt=salt,
            previous_digest=previous,
            digest=digest,
            write_id=write_id,
            actor=actor,
            metadata=dict(metadata or {}),
        )
        self._tables.advance([transaction])
        self._record([transaction])
        now = self._tables.tenants[tenant]
        return Committed(epoch, revision, now.schema_version, commit_time, now.begins, digest)


def _data_body(changes: tuple[Change, ...], intent: DataIntent, *, creates: bool) -> DataWritten:
    return DataWritten(changes, intent.schema_version if creates else SchemaVersion(""))
