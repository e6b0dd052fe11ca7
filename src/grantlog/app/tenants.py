"""The list of tenants: create, list, delete."""

from __future__ import annotations

from collections.abc import Callable

from grantlog.app.known import KnownHeads
from grantlog.errors import InvalidInputError, NotFoundError
from grantlog.model.ids import ID, TenantId
from grantlog.ports.writer import TenantLister, TenantRecord, TransactionWriter


class Tenants:
    """The tenancy calls."""

    def __init__(
        self,
        *,
        writer: TransactionWriter,
        lister: TenantLister,
        known: KnownHeads,
        new_id: Callable[[], bytes],
    ) -> None:
        self._writer = writer
        self._lister = lister
        self._known = known
        self._new_id = new_id

    async def create(self, tenant: TenantId, name: str) -> TenantRecord:
        """Put a tenant on the list; data it already has is kept.

        Raises:
            InvalidInputError: it is on the list already, no other call would take its id, or its
                name holds a NUL.
        """
        if not ID.fullmatch(tenant):
            raise InvalidInputError(
                f"no call would take {tenant!r} as a tenant's id: give 1 to 64 of the characters "
                "a-z A-Z 0-9 _ - @ . : +"
            )
        if "\0" in name:
            raise InvalidInputError("a tenant's name cannot hold a NUL character")
        return await self._writer.create_tenant(tenant, name, write_id=self._new_id())

    async def list(self, *, limit: int, after: TenantId | None) -> list[TenantRecord]:
        """A page of the list, by id bytes."""
        return await self._lister.tenants(limit=limit, after=after)

    async def delete(self, tenant: TenantId) -> None:
        """End a tenant: every fact and schema of it is gone from the next revision on.

        Raises:
            NotFoundError: neither on the list nor ever written.
        """
        if "\0" in tenant:
            raise NotFoundError("no tenant's id holds a NUL character")
        begun_at = self._known.now()
        try:
            committed = await self._writer.delete_tenant(tenant, write_id=self._new_id())
        except BaseException:
            # Even where the outcome is unknown: the primary is asked before the next answer.
            self._known.forget(tenant)
            raise
        # Kept, not forgotten: a question under way may still bring the head of the old life.
        self._known.acknowledge(tenant, committed, begun_at)
