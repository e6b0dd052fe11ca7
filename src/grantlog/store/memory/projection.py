"""A replica in memory: ProjectionStore."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from grantlog.errors import CorruptionError
from grantlog.model.change import Transaction
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.ports.log import NOWHERE, Position
from grantlog.projection.chain import unapplied
from grantlog.projection.digest import StateDigest
from grantlog.store.memory.tables import MemoryTables, TenantState


class MemoryProjection:
    """Folds transactions into tables in memory; a primary's tables can be digested with it too."""

    def __init__(self, tables: MemoryTables) -> None:
        self._tables = tables

    async def positions(self) -> dict[TenantId, Position]:
        """How far each tenant has been folded."""
        return {tenant: state.position for tenant, state in self._tables.tenants.items()}

    async def apply(self, transactions: Sequence[Transaction]) -> None:
        """Fold transactions, skipping what is folded already; of several tenants all or none."""
        found: dict[TenantId, list[Transaction]] = {}
        for transaction in transactions:
            found.setdefault(transaction.tenant, []).append(transaction)
        tables = self._tables
        fresh: list[list[Transaction]] = []
        for tenant, each in found.items():
            state = tables.tenants.get(tenant)
            fresh.append(unapplied(state.position if state else NOWHERE, each))
        if len(fresh) == 1:
            tables.advance(fresh[0])
            return
        tenants, listed = tables.tenants, tables.listed
        # What is folded into is copied, so that what was there can come back as it was.
        tables.tenants = {t: deepcopy(s) if t in found else s for t, s in tenants.items()}
        tables.listed = dict(listed)
        try:
            for each in fresh:
                tables.advance(each)
        except CorruptionError:
            tables.tenants, tables.listed = tenants, listed
            raise

    async def adopt_epoch(self, tenant: TenantId, head: Position) -> bool:
        """Go on in the head's epoch, if what is folded here is exactly what the head stands on."""
        state = self._tables.tenants.get(tenant)
        if state is None or (state.revision, state.digest) != (head.revision, head.digest):
            return False
        state.epoch = max(state.epoch, head.epoch)
        return True

    async def digest(self, tenant: TenantId, at: Revision | None = None) -> tuple[Position, bytes]:
        """The tenant's position, and a digest of its state there or at an earlier revision."""
        state = self._tables.tenants.get(tenant)
        if state is None:
            state = TenantState(salt=b"", epoch=Epoch(0))
        at = state.revision if at is None else at
        state.require_readable(at)
        digest = StateDigest()
        for version in sorted(state.schemas):
            record = state.schemas[version]
            if record.revision <= at:
                digest.add_schema(version, record.revision, record.text)
        for (entity, relation, subject), created in state.facts.tuples_at(at):
            key = (*entity, relation, subject.relation, subject.type, subject.id)
            digest.add_tuple(key, created)
        for (entity, name, value), created in state.facts.attributes_at(at):
            digest.add_attribute((entity.type, entity.id, name), value, created)
        return state.position, digest.finish()

    async def forget(self, tenant: TenantId, at: Position) -> bool:
        """Forget one tenant if it stands there."""
        state = self._tables.tenants.get(tenant)
        if state is None or state.position != at:
            return False
        del self._tables.tenants[tenant]
        return True

    async def clear(self) -> None:
        """Forget everything, to be rebuilt from nothing."""
        self._tables.tenants.clear()
        self._tables.listed.clear()
        self._tables.copies.clear()
