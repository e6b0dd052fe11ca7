"""The tables of a primary or a replica in memory, and the one way in which they change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from grantlog.errors import BehindWindowError, OtherEpochError, ProjectionLaggingError
from grantlog.model.chain import GENESIS
from grantlog.model.change import (
    BundleDeleted,
    BundleWritten,
    SchemaWritten,
    TenantCreated,
    TenantDeleted,
    Transaction,
)
from grantlog.model.ids import ANY_EPOCH, Epoch, Revision, SchemaVersion, TenantId
from grantlog.ports.heads import SchemaRecord
from grantlog.ports.log import Position
from grantlog.ports.writer import TenantRecord
from grantlog.projection.fold import fold, lives
from grantlog.store.memory.facts import LifeFacts

FIRST_EPOCH: Final = Epoch(1)
NOTHING: Final = Revision(0)
"""Before the first write."""
NO_SCHEMA: Final = SchemaVersion("")


@dataclass(slots=True)
class TenantState:
    """A tenant's head and its current life."""

    salt: bytes
    epoch: Epoch
    revision: Revision = NOTHING
    digest: bytes = GENESIS
    commit_time: datetime | None = None
    times: list[datetime] = field(default_factory=list[datetime])
    """Commit times of revisions 1, 2, 3 …"""
    begins: Revision = NOTHING
    floor: Revision = NOTHING
    schema_version: SchemaVersion = NO_SCHEMA
    schemas: dict[SchemaVersion, SchemaRecord] = field(
        default_factory=dict[SchemaVersion, SchemaRecord]
    )
    bundles: dict[str, str] = field(default_factory=dict[str, str])
    facts: LifeFacts = field(default_factory=LifeFacts)

    @property
    def position(self) -> Position:
        """How far the tenant's log is folded here."""
        return Position(self.epoch, self.revision, self.digest)

    def require_readable(self, at: Revision) -> None:
        """Refuse a read at a revision that is not here yet, or not here any more.

        Raises:
            ProjectionLaggingError: `at` is ahead of what is folded.
            BehindWindowError: `at` is before the window or before the tenant's deletion.
        """
        if at > self.revision:
            raise ProjectionLaggingError(f"revision {at} is not here yet: {self.revision} is")
        if at < self.begins:
            raise BehindWindowError(f"the tenant was deleted at revision {self.begins}")
        if at < self.floor:
            raise BehindWindowError(f"history before revision {self.floor} has been collected")


@dataclass(slots=True)
class MemoryTables:
    """All tenants of one database."""

    epoch: Epoch = FIRST_EPOCH
    tenants: dict[TenantId, TenantState] = field(default_factory=dict[TenantId, TenantState])
    listed: dict[TenantId, TenantRecord] = field(default_factory=dict[TenantId, TenantRecord])
    recorded: dict[tuple[TenantId, Epoch], Revision] = field(
        default_factory=dict[tuple[TenantId, Epoch], Revision]
    )
    """The head of each tenant when the epoch behind the key's one opened."""
    copies: dict[TenantId, object] = field(default_factory=dict[TenantId, object])
    """In a replica, the copies under way (`copying.py`)."""

    def open_epoch(self) -> Epoch:
        """Begin the log's next life, recording where the last one ended."""
        ended, self.epoch = self.epoch, Epoch(self.epoch + 1)
        for tenant, state in self.tenants.items():
            self.recorded[tenant, ended] = state.revision
            state.epoch = self.epoch
        return self.epoch

    def readable(self, tenant: TenantId, at: Revision, epoch: Epoch = ANY_EPOCH) -> LifeFacts:
        """The facts to read at a revision; a tenant that was never written has none.

        Raises:
            OtherEpochError: the tenant's log is in another epoch than `epoch`.
            ProjectionLaggingError, BehindWindowError: as `TenantState.require_readable`.
        """
        state = self.tenants.get(tenant)
        if state is None:
            state = TenantState(salt=b"", epoch=self.epoch)
        if at and epoch not in {ANY_EPOCH, state.epoch}:
            raise OtherEpochError(f"epoch {epoch} is asked for, {state.epoch} is here")
        state.require_readable(at)
        return state.facts

    def advance(self, transactions: Sequence[Transaction]) -> None:
        """Fold transactions of one tenant that continue its position.

        Raises:
            CorruptionError: a transaction does not fit the facts; the lives before it are folded.
        """
        for run in lives(transactions):
            last = run[-1]
            state = self.tenants.get(last.tenant)
            if state is None:
                state = self.tenants[last.tenant] = TenantState(last.salt, last.epoch)
            if isinstance(last.body, TenantDeleted):
                self._end_life(state, last)
            else:
                self._fold(state, run)
            state.epoch, state.revision, state.digest = last.epoch, last.revision, last.digest
            state.commit_time = last.commit_time
            state.times += (transaction.commit_time for transaction in run)

    def _end_life(self, state: TenantState, deletion: Transaction) -> None:
        state.begins = deletion.revision
        state.schema_version = NO_SCHEMA
        state.schemas = {}
        state.bundles = {}
        state.facts = LifeFacts()
        self.listed.pop(deletion.tenant, None)

    def _fold(self, state: TenantState, run: Sequence[Transaction]) -> None:
        rows = fold(run)
        state.facts.apply(rows)
        for written in rows.schemas:
            if isinstance(written.body, SchemaWritten):
                body = written.body
                state.schemas[body.version] = SchemaRecord(
                    body.version, written.revision, written.commit_time, body.text
                )
        state.schema_version = rows.schema_version or state.schema_version
        for transaction in run:
            match transaction.body:
                case BundleWritten(name, definition):
                    state.bundles[name] = definition
                case BundleDeleted(name):
                    state.bundles.pop(name, None)
                case _:
                    pass
        for listing in rows.listings:
            if isinstance(listing.body, TenantCreated):
                self.listed[listing.tenant] = TenantRecord(
                    listing.tenant, listing.body.name, listing.commit_time
                )
