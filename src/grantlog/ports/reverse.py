"""Reading facts backwards at one revision: which entities, which subjects are there.

Ids come in the order of their bytes, each once, in pages; `after` is the last id of the page
before, "" for the first one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from grantlog.model.attributes import AttributeValue
from grantlog.model.ids import ANY_EPOCH, Epoch, Revision, TenantId

IDS_PER_PAGE_MAX = 1000
"""The largest `limit` that a reader takes."""


class EntitiesKey(NamedTuple):
    """The entities of a type that a subject is related to. Answer: IdPage."""

    subject_type: str
    subject_id: str
    subject_relation: str
    entity_type: str
    relation: str
    after: str = ""


class OfKindKey(NamedTuple):
    """The subjects of one kind that stand in a relation of an entity. Answer: IdPage."""

    entity_type: str
    entity_id: str
    relation: str
    subject_type: str
    subject_relation: str
    after: str = ""


class IdPage(NamedTuple):
    """At most as many ids as asked for; `more` says that others follow the last one."""

    ids: Sequence[str]
    more: bool


class ValuePage(NamedTuple):
    """Entities that have an attribute, with its values; `more` as in IdPage."""

    ids: Sequence[str]
    values: Sequence[AttributeValue]
    more: bool


class ReverseReader(Protocol):
    """Reads which ids there are, at an exact revision; errors as FactReader."""

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
        ...

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
        ...

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
        """Ids of a type that occur in any tuple, on either side, or in any attribute.

        Args:
            tenant: whose facts.
            revision: as of when.
            entity_type: the type.
            after: the last id of the page before.
            limit: how many ids at most.
            among: if any are given, only these ids.
            epoch: as FactReader, in all of these calls.
        """
        ...

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
        ...

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
        ...
