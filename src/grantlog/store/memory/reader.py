"""Reading and listing facts in memory: FactReader and FactLister."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import assert_never

from grantlog.model.attributes import Attribute
from grantlog.model.ids import ANY_EPOCH, Epoch, Revision, TenantId
from grantlog.model.tuples import RelationTuple, Subject
from grantlog.ports.facts import (
    PAGE_SUBJECTS_MAX,
    AttributeFilter,
    AttributeKey,
    DirectKey,
    FactAnswer,
    FactKey,
    MemberOfUsersetKey,
    SubjectPage,
    SubjectsKey,
    TupleFilter,
    UsersetsKey,
)
from grantlog.store.memory.facts import LifeFacts, subject_order
from grantlog.store.memory.tables import MemoryTables


class MemoryFactReader:
    """Answers fact keys from a store in memory."""

    def __init__(self, tables: MemoryTables) -> None:
        self._tables = tables

    async def read(
        self,
        tenant: TenantId,
        revision: Revision,
        keys: Sequence[FactKey],
        *,
        epoch: Epoch = ANY_EPOCH,
    ) -> Sequence[FactAnswer]:
        """Answer every key, in order, as of exactly `revision`; as the port says."""
        facts = self._tables.readable(tenant, revision, epoch)
        return [_answer(facts, key, revision) for key in keys]


def _answer(facts: LifeFacts, key: FactKey, at: Revision) -> FactAnswer:
    match key:
        case DirectKey():
            subject = Subject(key.subject_type, key.subject_id, key.subject_relation)
            return facts.holds((key.entity_type, key.entity_id, key.relation), subject, at)
        case UsersetsKey():
            held = facts.subjects((key.entity_type, key.entity_id, key.relation), at)
            return _page((s for s in held if s.relation), key.after)
        case SubjectsKey():
            held = facts.subjects((key.entity_type, key.entity_id, key.relation), at)
            return _page(held, key.after)
        case MemberOfUsersetKey():
            return _is_member(facts, key, at)
        case AttributeKey():
            return facts.value((key.entity_type, key.entity_id, key.attribute), at)
        case _:
            assert_never(key)


def _page(subjects: Iterable[Subject], after: Subject | None) -> SubjectPage:
    if after is not None:
        floor = subject_order(after)
        subjects = (subject for subject in subjects if subject_order(subject) > floor)
    page = tuple(islice(subjects, PAGE_SUBJECTS_MAX + 1))
    return SubjectPage(page[:PAGE_SUBJECTS_MAX], more=len(page) > PAGE_SUBJECTS_MAX)


def _is_member(facts: LifeFacts, key: MemberOfUsersetKey, at: Revision) -> bool:
    member = Subject(key.subject_type, key.subject_id, key.subject_relation)
    return any(
        facts.holds((userset.type, userset.id, userset.relation), member, at)
        for userset in facts.subjects((key.entity_type, key.entity_id, key.relation), at)
        if (userset.type, userset.relation) == (key.userset_type, key.userset_relation)
    )


class MemoryFactLister:
    """Lists tuples and attributes from a store in memory."""

    def __init__(self, tables: MemoryTables) -> None:
        self._tables = tables

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
        """The first `limit` tuples behind `after`, in key order."""
        facts = self._tables.readable(tenant, revision, epoch)
        floor = None if after is None else _tuple_order(after)
        matching = (
            fact
            for fact, _ in facts.tuples_at(revision)
            if where.admits(fact) and (floor is None or _tuple_order(fact) > floor)
        )
        return list(islice(matching, limit))

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
        """The first `limit` attributes behind `after`, in key order."""
        facts = self._tables.readable(tenant, revision, epoch)
        floor = None if after is None else tuple(part.encode() for part in after)
        matching = (
            fact
            for fact, _ in facts.attributes_at(revision)
            if where.admits(fact.entity, fact.name)
            and (floor is None or _attribute_order(fact) > floor)
        )
        return list(islice(matching, limit))


def _tuple_order(fact: RelationTuple) -> tuple[bytes, ...]:
    head = (fact.entity.type.encode(), fact.entity.id.encode(), fact.relation.encode())
    return head + subject_order(fact.subject)


def _attribute_order(fact: Attribute) -> tuple[bytes, ...]:
    return (fact.entity.type.encode(), fact.entity.id.encode(), fact.name.encode())
