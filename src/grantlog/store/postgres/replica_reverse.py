"""Finding ids in replicas, with the primary behind them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from grantlog.model.ids import ANY_EPOCH, Epoch, Revision, TenantId
from grantlog.ports.reverse import EntitiesKey, IdPage, OfKindKey, ReverseReader, ValuePage
from grantlog.store.postgres.replica_first import ReplicaFirst

T = TypeVar("T")


class ReplicaReverseReader:
    """ReverseReader over replicas, with the primary behind them; errors as `ReplicaFirst`."""

    def __init__(self, first: ReplicaFirst) -> None:
        self._first = first

    async def entities(
        self,
        tenant: TenantId,
        revision: Revision,
        keys: Sequence[EntitiesKey],
        *,
        limit: int,
        epoch: Epoch = ANY_EPOCH,
    ) -> Sequence[IdPage]:
        """For every key, in order, the first `limit` entities behind its `after`."""
        return await self._either(
            tenant,
            revision,
            epoch,
            lambda reader: reader.entities(tenant, revision, keys, limit=limit, epoch=epoch),
        )

    async def of_kind(
        self,
        tenant: TenantId,
        revision: Revision,
        keys: Sequence[OfKindKey],
        *,
        limit: int,
        epoch: Epoch = ANY_EPOCH,
    ) -> Sequence[IdPage]:
        """For every key, in order, the ids of the first `limit` subjects behind its `after`."""
        return await self._either(
            tenant,
            revision,
            epoch,
            lambda reader: reader.of_kind(tenant, revision, keys, limit=limit, epoch=epoch),
        )

    async def known(
        self,
        tenant: TenantId,
        revision: Revision,
        entity_type: str,
        *,
        after: str,
        limit: int,
        among: Sequence[str] = (),
        epoch: Epoch = ANY_EPOCH,
    ) -> IdPage:
        """Ids of a type that occur in any tuple, on either side, or in any attribute."""
        return await self._either(
            tenant,
            revision,
            epoch,
            lambda reader: reader.known(
                tenant, revision, entity_type, after=after, limit=limit, among=among, epoch=epoch
            ),
        )

    async def having(
        self,
        tenant: TenantId,
        revision: Revision,
        entity_type: str,
        attribute: str,
        *,
        after: str,
        limit: int,
        epoch: Epoch = ANY_EPOCH,
    ) -> ValuePage:
        """Ids of a type for which an attribute is set, with its values."""
        return await self._either(
            tenant,
            revision,
            epoch,
            lambda reader: reader.having(
                tenant, revision, entity_type, attribute, after=after, limit=limit, epoch=epoch
            ),
        )

    async def subjects(  # noqa: PLR0913 - tenant, revision and epoch are one place
        self,
        tenant: TenantId,
        revision: Revision,
        subject_type: str,
        subject_relation: str,
        *,
        after: str,
        limit: int,
        among: Sequence[str] = (),
        epoch: Epoch = ANY_EPOCH,
    ) -> IdPage:
        """Ids that are subjects of any tuple with exactly that type and relation."""
        kind = (subject_type, subject_relation)
        return await self._either(
            tenant,
            revision,
            epoch,
            lambda reader: reader.subjects(
                tenant, revision, *kind, after=after, limit=limit, among=among, epoch=epoch
            ),
        )

    async def _either(
        self,
        tenant: TenantId,
        revision: Revision,
        epoch: Epoch,
        ask: Callable[[ReverseReader], Awaitable[T]],
    ) -> T:
        return await self._first.answer(
            tenant, revision, lambda reads: ask(reads.reverse), epoch=epoch
        )
