"""The facts of one life of a tenant, live and past, in dictionaries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from grantlog.errors import CorruptionError
from grantlog.model.attributes import Attribute, AttributeValue
from grantlog.model.ids import Revision
from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.projection.fold import RowChanges


class _Past(NamedTuple):
    created: Revision
    expired: Revision


class _Value(NamedTuple):
    value: AttributeValue
    created: Revision


class _PastValue(NamedTuple):
    value: AttributeValue
    created: Revision
    expired: Revision


class _Subjects:
    """The subjects of one relation of one entity."""

    __slots__ = ("live", "past")

    def __init__(self) -> None:
        self.live: dict[Subject, Revision] = {}
        self.past: dict[Subject, list[_Past]] = {}

    def created(self, subject: Subject, at: Revision) -> Revision | None:
        """When the tuple that holds at `at` was created, None if none holds."""
        created = self.live.get(subject)
        if created is not None and created <= at:
            return created
        for span in self.past.get(subject, ()):
            if span.created <= at < span.expired:
                return span.created
        return None

    def all_at(self, at: Revision) -> Iterator[tuple[Subject, Revision]]:
        for subject in self.live.keys() | self.past.keys():
            created = self.created(subject, at)
            if created is not None:
                yield subject, created


RelationKey = tuple[str, str, str]
"""Entity type, entity id, relation (or attribute) name."""


def subject_order(subject: Subject) -> tuple[bytes, bytes, bytes]:
    """The order of subjects within a relation: (relation, type, id) by bytes."""
    return (subject.relation.encode(), subject.type.encode(), subject.id.encode())


def _key_order(key: RelationKey) -> tuple[bytes, bytes, bytes]:
    return (key[0].encode(), key[1].encode(), key[2].encode())


class LifeFacts:
    """Tuples and attributes with the revisions between which they held."""

    def __init__(self) -> None:
        self._relations: dict[RelationKey, _Subjects] = {}
        self._values: dict[RelationKey, _Value] = {}
        self._past_values: dict[RelationKey, list[_PastValue]] = {}

    def apply(self, rows: RowChanges) -> None:
        """Apply net row changes, all or none.

        Raises:
            CorruptionError: what expires does not hold, or what is created holds already.
        """
        self._require_fits(rows)
        for fact, expired in rows.tuples_expired:
            subjects = self._relations[_relation_of(fact)]
            created = subjects.live.pop(fact.subject)
            subjects.past.setdefault(fact.subject, []).append(_Past(created, expired))
        for fact, created, expired in rows.tuples_passed:
            past = self._subjects(_relation_of(fact)).past
            past.setdefault(fact.subject, []).append(_Past(created, expired))
        for fact, created in rows.tuples_created:
            self._subjects(_relation_of(fact)).live[fact.subject] = created
        for (entity, name), expired in rows.attributes_expired:
            key = (entity.type, entity.id, name)
            held = self._values.pop(key)
            self._past_values.setdefault(key, []).append(_PastValue(*held, expired))
        for attribute, created, expired in rows.attributes_passed:
            passed = _PastValue(attribute.value, created, expired)
            self._past_values.setdefault(_name_of(attribute), []).append(passed)
        for attribute, created in rows.attributes_created:
            self._values[_name_of(attribute)] = _Value(attribute.value, created)

    def _require_fits(self, rows: RowChanges) -> None:
        expired = {fact for fact, _ in rows.tuples_expired}
        for fact in expired:
            if not self._is_live(fact):
                raise CorruptionError(f"a tuple expires that does not hold: {fact.relation}")
        for fact, _ in rows.tuples_created:
            if fact not in expired and self._is_live(fact):
                raise CorruptionError(f"a tuple is created that holds: {fact.relation}")
        unset = {(entity.type, entity.id, name) for (entity, name), _ in rows.attributes_expired}
        if not unset <= self._values.keys():
            raise CorruptionError("an attribute expires that is not set")
        for attribute, _ in rows.attributes_created:
            key = _name_of(attribute)
            if key not in unset and key in self._values:
                raise CorruptionError(f"an attribute is created that is set: {attribute.name}")

    def _is_live(self, fact: RelationTuple) -> bool:
        subjects = self._relations.get(_relation_of(fact))
        return subjects is not None and fact.subject in subjects.live

    def _subjects(self, key: RelationKey) -> _Subjects:
        return self._relations.setdefault(key, _Subjects())

    def holds(self, key: RelationKey, subject: Subject, at: Revision) -> bool:
        """Whether the tuple holds at a revision."""
        subjects = self._relations.get(key)
        return subjects is not None and subjects.created(subject, at) is not None

    def subjects(self, key: RelationKey, at: Revision) -> list[Subject]:
        """The subjects of a relation at a revision, in order."""
        subjects = self._relations.get(key)
        held = (subject for subject, _ in subjects.all_at(at)) if subjects else ()
        return sorted(held, key=subject_order)

    def value(self, key: RelationKey, at: Revision) -> AttributeValue | None:
        """An attribute's value at a revision."""
        found = self._value(key, at)
        return found.value if found else None

    def _value(self, key: RelationKey, at: Revision) -> _Value | None:
        held = self._values.get(key)
        if held is not None and held.created <= at:
            return held
        for past in self._past_values.get(key, ()):
            if past.created <= at < past.expired:
                return _Value(past.value, past.created)
        return None

    def tuples_at(self, at: Revision) -> Iterator[tuple[RelationTuple, Revision]]:
        """Every tuple that holds at a revision with its creation, in key order."""
        for key in sorted(self._relations, key=_key_order):
            held = sorted(self._relations[key].all_at(at), key=lambda s: subject_order(s[0]))
            for subject, created in held:
                yield RelationTuple(Entity(key[0], key[1]), key[2], subject), created

    def attributes_at(self, at: Revision) -> Iterator[tuple[Attribute, Revision]]:
        """Every attribute that is set at a revision with its creation, in key order."""
        for key in sorted(self._values.keys() | self._past_values.keys(), key=_key_order):
            held = self._value(key, at)
            if held is not None:
                yield Attribute(Entity(key[0], key[1]), key[2], held.value), held.created

    def tuple_rows(self) -> Iterator[tuple[RelationTuple, Revision, Revision | None]]:
        """Every tuple that is kept, with its creation and, if it does not hold now, its end."""
        for (type_, id_, relation), subjects in self._relations.items():
            for subject, created in subjects.live.items():
                yield RelationTuple(Entity(type_, id_), relation, subject), created, None
            for subject, spans in subjects.past.items():
                for created, expired in spans:
                    yield RelationTuple(Entity(type_, id_), relation, subject), created, expired

    def attribute_rows(self) -> Iterator[tuple[Attribute, Revision, Revision | None]]:
        """Every attribute that is kept, with its creation and, if it is not set now, its end."""
        for (type_, id_, name), held in self._values.items():
            yield Attribute(Entity(type_, id_), name, held.value), held.created, None
        for (type_, id_, name), spans in self._past_values.items():
            for value, created, expired in spans:
                yield Attribute(Entity(type_, id_), name, value), created, expired

    def collect(self, floor: Revision) -> None:
        """Forget what no read at `floor` or later can see; live facts are never touched."""
        for subjects in self._relations.values():
            subjects.past = {
                subject: kept
                for subject, spans in subjects.past.items()
                if (kept := [span for span in spans if span.expired > floor])
            }
        self._past_values = {
            key: kept
            for key, spans in self._past_values.items()
            if (kept := [span for span in spans if span.expired > floor])
        }


def _relation_of(fact: RelationTuple) -> RelationKey:
    return (fact.entity.type, fact.entity.id, fact.relation)


def _name_of(attribute: Attribute) -> RelationKey:
    return (attribute.entity.type, attribute.entity.id, attribute.name)
