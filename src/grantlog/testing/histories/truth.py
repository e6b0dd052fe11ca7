"""What the log of one tenant says: the state at each revision, and the right answers there."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from grantlog.model.attributes import Attribute
from grantlog.model.change import (
    AttributeChange,
    Change,
    DataWritten,
    Operation,
    SchemaWritten,
    TenantDeleted,
    Transaction,
)
from grantlog.model.ids import Epoch
from grantlog.model.tuples import Entity, RelationTuple
from grantlog.ports.facts import TupleFilter
from grantlog.testing.histories.record import (
    Answer,
    Asked,
    Attributes,
    Checks,
    Entities,
    Fact,
    Filter,
    Question,
    Tuples,
)
from grantlog.testing.oracle import Language, judge, read_language
from grantlog.testing.oracle import Question as OracleQuestion

_DEPTH = 50

Place: TypeAlias = RelationTuple | tuple[Entity, str]
"""What holds at most once: a tuple, or an attribute's name on an entity."""


def place_of(fact: Fact) -> Place:
    """Where a fact holds."""
    return (fact.entity, fact.name) if isinstance(fact, Attribute) else fact


def admits(condition: Filter, fact: Fact) -> bool:
    """Whether a filter matches a fact; one of tuples never matches an attribute."""
    if isinstance(fact, Attribute):
        return not isinstance(condition, TupleFilter) and condition.admits(fact.entity, fact.name)
    return isinstance(condition, TupleFilter) and condition.admits(fact)


@dataclass(slots=True)
class _Life:
    """One time for which a fact held: at revisions created <= t < expired."""

    fact: Fact
    created: int
    expired: float = math.inf

    def holds(self, revision: int) -> bool:
        return self.created <= revision < self.expired


class Truth:
    """A tenant's log of facts, schemas and deletions, made into states.

    Args:
        log: whole transactions of one tenant from revision 1 on, those of ended lives included;
            holes are kept as they are.
    """

    def __init__(self, log: Sequence[Transaction]) -> None:
        self.log = list(log)
        self.head = int(log[-1].revision) if log else 0
        self.deletions: list[int] = []
        self._by_revision = {int(entry.revision): entry for entry in self.log}
        self._lives: dict[Entity, list[_Life]] = {}
        self._open: dict[Place, _Life] = {}
        self._schemas: list[tuple[int, Language | None]] = []
        self._verdicts: dict[tuple[Asked, frozenset[Fact], int], str] = {}
        for entry in self.log:
            self._fold(entry)

    def _fold(self, entry: Transaction) -> None:
        revision = int(entry.revision)
        match entry.body:
            case DataWritten(changes):
                for change in changes:
                    self._turn(revision, change)
            case SchemaWritten(_, text):
                self._schemas.append((revision, read_language(text)))
            case TenantDeleted():
                self.deletions.append(revision)
                self._schemas.append((revision, None))
                for life in self._open.values():
                    life.expired = revision
                self._open.clear()
            case _:
                pass

    def _turn(self, revision: int, change: Change) -> None:
        fact = change.attribute if isinstance(change, AttributeChange) else change.tuple
        if change.operation is Operation.CREATE:
            life = _Life(fact, revision)
            self._open[place_of(fact)] = life
            self._lives.setdefault(fact.entity, []).append(life)
        else:
            self._open.pop(place_of(fact)).expired = revision

    def changes(self, revision: int) -> tuple[Change, ...]:
        """The changes of facts at a revision; none where it is a schema's or a tenant's."""
        entry = self._by_revision.get(revision)
        return entry.body.changes if entry and isinstance(entry.body, DataWritten) else ()

    def at(self, revision: int) -> Transaction | None:
        """What the log holds there."""
        return self._by_revision.get(revision)

    def epoch(self, revision: int) -> Epoch:
        """The epoch that wrote a revision; 0 of one that is not there."""
        entry = self._by_revision.get(revision)
        return entry.epoch if entry else Epoch(0)

    def life(self, revision: int) -> range:
        """The revisions of the same life of the tenant that have a schema."""
        place = bisect_right(self.deletions, revision)
        begins = self.deletions[place - 1] if place else 0
        ends = self.deletions[place] if place < len(self.deletions) else self.head + 1
        while begins < ends and not self.has_schema(begins):
            begins += 1
        return range(begins, ends)

    def has_schema(self, revision: int) -> bool:
        """Whether questions have answers at a revision."""
        place = bisect_right(self._schemas, revision, key=lambda entry: entry[0])
        return place > 0 and self._schemas[place - 1][1] is not None

    def held(self, place: Place, revision: int) -> Fact | None:
        """The fact that holds in a place at a revision."""
        entity = place.entity if isinstance(place, RelationTuple) else place[0]
        for life in self._lives.get(entity, ()):
            if life.holds(revision) and place_of(life.fact) == place:
                return life.fact
        return None

    def matching(self, condition: Filter, revision: int) -> Iterator[Fact]:
        """The facts that hold at a revision and that a filter matches."""
        for lives in self._lives.values():
            for life in lives:
                if life.holds(revision) and admits(condition, life.fact):
                    yield life.fact

    def answer(self, question: Question, revision: int) -> Answer:
        """The one right answer at a revision.

        Raises:
            ValueError: there is none: no schema is in force, or a check has no verdict.
        """
        match question:
            case Checks(asked):
                return tuple(self._allows(one, revision) for one in asked)
            case Entities(entity_type, permission, subject):
                known = {e for e in self._known(revision) if e.type == entity_type}
                if subject.type == entity_type:
                    known.add(Entity(subject.type, subject.id))
                return frozenset(
                    entity.id
                    for entity in known
                    if self._allows(Asked(entity, permission, subject), revision)
                )
            case Tuples(condition):
                found = self.matching(condition, revision)
                return frozenset(fact for fact in found if isinstance(fact, RelationTuple))
            case Attributes(condition):
                found = self.matching(condition, revision)
                return frozenset(fact for fact in found if isinstance(fact, Attribute))

    def _known(self, revision: int) -> Iterator[Entity]:
        for lives in self._lives.values():
            for life in lives:
                if life.holds(revision):
                    yield life.fact.entity
                    if isinstance(life.fact, RelationTuple):
                        yield Entity(life.fact.subject.type, life.fact.subject.id)

    def _allows(self, asked: Asked, revision: int) -> bool:
        place = bisect_right(self._schemas, revision, key=lambda entry: entry[0])
        language = self._schemas[place - 1][1] if place else None
        if language is None:
            raise ValueError(f"no schema is in force at revision {revision}")
        facts = self._in_reach(asked.entity, revision)
        key = (asked, facts, place)
        verdict = self._verdicts.get(key)
        if verdict is None:
            question = OracleQuestion(
                (asked.entity.type, asked.entity.id), asked.permission, asked.subject, _DEPTH,
                tuples=sorted(fact for fact in facts if isinstance(fact, RelationTuple)),
                attributes=[fact for fact in facts if isinstance(fact, Attribute)],
            )  # fmt: skip
            verdict = self._verdicts[key] = judge(language, question)
        if verdict not in {"allowed", "denied"}:
            raise ValueError(f"{asked} has no answer at revision {revision}: {verdict}")
        return verdict == "allowed"

    def _in_reach(self, entity: Entity, revision: int) -> frozenset[Fact]:
        """The facts that a check of an entity can meet: no other decides it."""
        found: set[Fact] = set()
        seen, pending = {entity}, [entity]
        while pending:
            for life in self._lives.get(pending.pop(), ()):
                if life.holds(revision):
                    found.add(life.fact)
                    if isinstance(life.fact, Attribute):
                        continue
                    other = Entity(life.fact.subject.type, life.fact.subject.id)
                    if other not in seen:
                        seen.add(other)
                        pending.append(other)
        return frozenset(found)
