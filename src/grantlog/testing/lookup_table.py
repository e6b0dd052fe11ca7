"""Facts in plain sets, read backwards by their definition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from grantlog.model.attributes import Attribute
from grantlog.model.tuples import RelationTuple
from grantlog.ports.facts import PAGE_SUBJECTS_MAX, FactAnswer, FactKey
from grantlog.ports.reverse import IDS_PER_PAGE_MAX, EntitiesKey, IdPage, OfKindKey, ValuePage
from grantlog.testing.fact_table import FactTable


class LookupTable:
    """Facts of one revision as LookupFacts.

    Attributes:
        table: answers fact keys.
        reads: what was asked backwards, by kind.
    """

    def __init__(
        self,
        tuples: Iterable[RelationTuple] = (),
        attributes: Iterable[Attribute] = (),
        *,
        page_max: int = PAGE_SUBJECTS_MAX,
        ids_max: int = IDS_PER_PAGE_MAX,
    ) -> None:
        """Hold the facts.

        Args:
            tuples: the stored tuples.
            attributes: the stored attributes.
            page_max: subjects on a page of a fact key's answer.
            ids_max: ids on any other page, whatever limit is asked for.
        """
        self._tuples = tuple(set(tuples))
        self._attributes = tuple(attributes)
        self._ids_max = ids_max
        self.table = FactTable(self._tuples, self._attributes, page_max=page_max)
        self.reads: list[tuple[str, object]] = []

    async def fetch(self, keys: Sequence[FactKey]) -> Sequence[FactAnswer]:
        """As FactReader."""
        return await self.table.fetch(keys)

    async def entities(self, keys: Sequence[EntitiesKey], *, limit: int) -> Sequence[IdPage]:
        """As ReverseReader."""
        self.reads.append(("entities", tuple(keys)))
        return [
            self._page(
                {
                    fact.entity.id
                    for fact in self._tuples
                    if (*fact.subject, fact.entity.type, fact.relation) == key[:5]
                },
                key.after,
                limit,
            )
            for key in keys
        ]

    async def of_kind(self, keys: Sequence[OfKindKey], *, limit: int) -> Sequence[IdPage]:
        """As ReverseReader."""
        self.reads.append(("of_kind", tuple(keys)))
        found = [
            {
                subject.id
                for entity, relation, subject in self._tuples
                if (*entity, relation, subject.type, subject.relation) == key[:5]
            }
            for key in keys
        ]
        return [self._page(ids, key.after, limit) for ids, key in zip(found, keys, strict=True)]

    async def known(
        self, entity_type: str, *, after: str, limit: int, among: Sequence[str] = ()
    ) -> IdPage:
        """As ReverseReader."""
        self.reads.append(("known", entity_type))
        found = [fact.entity for fact in self._tuples] + [a.entity for a in self._attributes]
        ids = {entity.id for entity in found if entity.type == entity_type}
        ids |= {fact.subject.id for fact in self._tuples if fact.subject.type == entity_type}
        return self._page(ids.intersection(among) if among else ids, after, limit)

    async def having(
        self, entity_type: str, attribute: str, *, after: str, limit: int
    ) -> ValuePage:
        """As ReverseReader."""
        self.reads.append(("having", (entity_type, attribute)))
        values = {
            held.entity.id: held.value
            for held in self._attributes
            if (held.entity.type, held.name) == (entity_type, attribute)
        }
        page = self._page(values, after, limit)
        return ValuePage(page.ids, [values[id_] for id_ in page.ids], page.more)

    async def subjects(
        self,
        subject_type: str,
        subject_relation: str,
        *,
        after: str,
        limit: int,
        among: Sequence[str] = (),
    ) -> IdPage:
        """As ReverseReader."""
        self.reads.append(("subjects", (subject_type, subject_relation)))
        kind = (subject_type, subject_relation)
        found = [fact.subject for fact in self._tuples]
        ids = {subject.id for subject in found if (subject.type, subject.relation) == kind}
        return self._page(ids.intersection(among) if among else ids, after, limit)

    def _page(self, ids: Iterable[str], after: str, limit: int) -> IdPage:
        size = min(limit, self._ids_max)
        following = sorted(id_ for id_ in ids if id_ > after)
        return IdPage(following[:size], more=len(following) > size)
