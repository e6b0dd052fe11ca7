"""Listing stored facts by filter, in pages, at one revision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from grantlog.model.attributes import Attribute
from grantlog.model.ids import ANY_EPOCH, Epoch, Revision, TenantId
from grantlog.model.tuples import RelationTuple
from grantlog.ports.facts import AttributeFilter, TupleFilter


class FactLister(Protocol):
    """Reads tuples and attributes by filter; errors as FactReader.

    Order is by key bytes: tuples by (entity type, entity id, relation, subject relation, subject
    type, subject id), attributes by (entity type, entity id, name). `after` is the last fact of
    the page before.
    """

    async def tuples(
        self,
        tenant: TenantId,
        revision: Revision,
        where: TupleFilter,
        *,
        limit: int,
        after: RelationTuple | None = None,
        epoch: Epoch = ANY_EPOCH,
    ) -> Sequence[RelationTuple]:
        """The first `limit` tuples behind `after`."""
        ...

    async def attributes(
        self,
        tenant: TenantId,
        revision: Revision,
        where: AttributeFilter,
        *,
        limit: int,
        after: tuple[str, str, str] | None = None,
        epoch: Epoch = ANY_EPOCH,
    ) -> Sequence[Attribute]:
        """The first `limit` attributes behind `after` = (entity type, entity id, name)."""
        ...
