"""Reading facts backwards in memory: ReverseReader."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from grantlog.model.ids import ANY_EPOCH, Epoch, Revision, TenantId
from grantlog.model.tuples import Subject
from grantlog.ports.reverse import EntitiesKey, IdPage, OfKindKey, ValuePage
from grantlog.store.memory.tables import MemoryTables


class MemoryReverseReader:
    """Finds ids by looking at every fact of a store in memory."""

    def __init__(self, tables: MemoryTables) -> None:
        self._tables = tables

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
        facts = self._tables.readable(tenant, revision, epoch)
        related: dict[tuple[str, ...], set[str]] = {}
        for fact, _ in facts.tuples_at(revision):
            place = (*fact.subject, fact.entity.type, fact.relation)
            related.setdefault(place, set()).add(fact.entity.id)
        return [_page(related.get(key[:5], ()), key.after, limit) for key in keys]

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
        facts = self._tables.readable(tenant, revision, epoch)
        subjects: dict[tuple[str, ...], set[str]] = {}
        for (entity, relation, subject), _ in facts.tuples_at(revision):
            place = (*entity, relation, subject.type, subject.relation)
            subjects.setdefault(place, set()).add(subject.id)
        return [_page(subjects.get(key[:5], ()), key.after, limit) for key in keys]

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
        facts = self._tables.readable(tenant, revision, epoch)
        ids: set[str] = set()
        for fact, _ in facts.tuples_at(revision):
            ids.update(p.id for p in (fact.entity, fact.subject) if p.type == entity_type)
        entities = (attribute.entity for attribute, _ in facts.attributes_at(revision))
        ids.update(entity.id for entity in entities if entity.type == entity_type)
        return _page(_among(ids, among), after, limit)

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
        facts = self._tables.readable(tenant, revision, epoch)
        values = {
            held.entity.id: held.value
            for held, _ in facts.attributes_at(revision)
            if (held.entity.type, held.name) == (entity_type, attribute)
        }
        page = _page(values, after, limit)
        return ValuePage(page.ids, [values[id_] for id_ in page.ids], page.more)

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
        facts = self._tables.readable(tenant, revision, epoch)
        found: Iterable[Subject] = (fact.subject for fact, _ in facts.tuples_at(revision))
        kind = (subject_type, subject_relation)
        ids = {subject.id for subject in found if (subject.type, subject.relation) == kind}
        return _page(_among(ids, among), after, limit)


def _among(ids: set[str], among: Sequence[str]) -> set[str]:
    return ids.intersection(among) if among else ids


def _page(ids: Iterable[str], after: str, limit: int) -> IdPage:
    floor = after.encode()
    following = sorted((id_ for id_ in ids if id_.encode() > floor), key=str.encode)
    return IdPage(following[:limit], more=len(following) > limit)
