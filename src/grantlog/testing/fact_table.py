"""Facts in plain sets, answering fact keys by their definition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import dropwhile

from grantlog.model.attributes import Attribute
from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.ports.facts import (
    PAGE_SUBJECTS_MAX,
    AttributeKey,
    DirectKey,
    FactAnswer,
    FactKey,
    MemberOfUsersetKey,
    SubjectPage,
    SubjectsKey,
    UsersetsKey,
)


class FactTable:
    """Facts of one revision; `batches` keeps what was asked.

    Attributes:
        page_max: how many subjects a page holds.
        batches: the keys of every fetch.
    """

    def __init__(
        self,
        tuples: Iterable[RelationTuple] = (),
        attributes: Iterable[Attribute] = (),
        *,
        page_max: int = PAGE_SUBJECTS_MAX,
    ) -> None:
        self.page_max = page_max
        self.batches: list[Sequence[FactKey]] = []
        self._tuples = set(tuples)
        self._subjects: dict[tuple[Entity, str], list[Subject]] = {}
        for fact in sorted(self._tuples, key=lambda t: _place(t.subject)):
            self._subjects.setdefault((fact.entity, fact.relation), []).append(fact.subject)
        self._values = {(a.entity, a.name): a.value for a in attributes}

    async def fetch(self, keys: Sequence[FactKey]) -> Sequence[FactAnswer]:
        """Answer a batch."""
        self.batches.append(tuple(keys))
        return [self.answer(key) for key in keys]

    def answer(self, key: FactKey) -> FactAnswer:
        """Answer one key."""
        entity = Entity(key.entity_type, key.entity_id)
        match key:
            case AttributeKey():
                return self._values.get((entity, key.attribute))
            case DirectKey():
                return RelationTuple(entity, key.relation, Subject(*key[3:])) in self._tuples
            case MemberOfUsersetKey():
                return self._in_some_userset(entity, key)
            case UsersetsKey():
                found = self._subjects.get((entity, key.relation), ())
                return self._page([s for s in found if s.relation], key.after)
            case SubjectsKey():
                return self._page(self._subjects.get((entity, key.relation), ()), key.after)

    def _in_some_userset(self, entity: Entity, key: MemberOfUsersetKey) -> bool:
        subject = Subject(key.subject_type, key.subject_id, key.subject_relation)
        kind = (key.userset_type, key.userset_relation)
        return any(
            (s.type, s.relation) == kind
            and RelationTuple(Entity(s.type, s.id), s.relation, subject) in self._tuples
            for s in self._subjects.get((entity, key.relation), ())
        )

    def _page(self, subjects: Sequence[Subject], after: Subject | None) -> SubjectPage:
        rest = list(subjects)
        if after is not None:
            rest = list(dropwhile(lambda s: _place(s) <= _place(after), rest))
        return SubjectPage(tuple(rest[: self.page_max]), more=len(rest) > self.page_max)


def _place(subject: Subject) -> tuple[bytes, bytes, bytes]:
    """The order of pages: relation, type, id, by bytes."""
    return (subject.relation.encode(), subject.type.encode(), subject.id.encode())
