"""What the log of one tenant says: the state at each revision, and the right answers there."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from grantlog.model.change import (
    Change,
    DataWritten,
    Operation,
    SchemaWritten,
    TenantDeleted,
    Transaction,
    TupleChange,
)
from grantlog.model.tuples import Entity, RelationTuple
from grantlog.testing.histories.record import Answer, Asked, Checks, Entities, Question, Tuples
from grantlog.testing.oracle import Language, judge, read_language
from grantlog.testing.oracle import Question as OracleQuestion

_DEPTH = 50


@dataclass(slots=True)
class _Life:
    """One time for which a tuple held: at revisions created <= t < expired."""

    fact: RelationTuple
    created: int
    expired: float = math.inf

    def holds(self, revision: int) -> bool:
        return self.created <= revision < self.expired


class Truth:
    """A tenant's log of tuples and schemas, made into states.

    Args:
        log: whole transactions of one tenant from revision 1 on; holes are kept as they are.

    Raises:
        ValueError: the log holds what histories do not speak of (attributes, deleted tenants).
    """

    def __init__(self, log: Sequence[Transaction]) -> None:
        self.log = list(log)
        self.head = int(log[-1].revision) if log else 0
        self._lives: dict[Entity, list[_Life]] = {}
        self._open: dict[RelationTuple, _Life] = {}
        self._schemas: list[tuple[int, Language]] = []
        self._verdicts: dict[tuple[Asked, frozenset[RelationTuple], int], str] = {}
        self._changes: dict[int, tuple[Change, ...]] = {}
        for entry in self.log:
            self._fold(entry)

    def _fold(self, entry: Transaction) -> None:
        revision = int(entry.revision)
        match entry.body:
            case DataWritten(changes):
                self._changes[revision] = changes
                for change in changes:
                    self._turn(revision, change)
            case SchemaWritten(_, text):
                self._schemas.append((revision, read_language(text)))
            case TenantDeleted():
                raise ValueError("histories do not speak of deleted tenants")
            case _:
                pass

    def _turn(self, revision: int, change: Change) -> None:
        if not isinstance(change, TupleChange):
            raise ValueError("histories do not speak of attributes")  # noqa: TRY004 - of the log
        if change.operation is Operation.CREATE:
            life = _Life(change.tuple, revision)
            self._open[change.tuple] = life
            self._lives.setdefault(change.tuple.entity, []).append(life)
        else:
            self._open.pop(change.tuple).expired = revision

    def changes(self, revision: int) -> tuple[Change, ...]:
        """The changes of facts at a revision; none where it is a schema's."""
        return self._changes.get(revision, ())

    def has_schema(self, revision: int) -> bool:
        """Whether questions have answers at a revision."""
        return bool(self._schemas) and self._schemas[0][0] <= revision

    def holds(self, fact: RelationTuple, revision: int) -> bool:
        """Whether a tuple holds at a revision."""
        return any(
            life.fact == fact and life.holds(revision) for life in self._lives.get(fact.entity, ())
        )

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
                return frozenset(
                    life.fact
                    for lives in self._lives.values()
                    for life in lives
                    if life.holds(revision) and condition.admits(life.fact)
                )

    def _known(self, revision: int) -> Iterator[Entity]:
        for lives in self._lives.values():
            for life in lives:
                if life.holds(revision):
                    yield life.fact.entity
                    yield Entity(life.fact.subject.type, life.fact.subject.id)

    def _allows(self, asked: Asked, revision: int) -> bool:
        place = bisect_right(self._schemas, revision, key=lambda entry: entry[0])
        if place == 0:
            raise ValueError(f"no schema is in force at revision {revision}")
        facts = self._in_reach(asked.entity, revision)
        key = (asked, facts, place)
        verdict = self._verdicts.get(key)
        if verdict is None:
            question = OracleQuestion(
                (asked.entity.type, asked.entity.id), asked.permission, asked.subject, _DEPTH,
                tuples=sorted(facts),
            )  # fmt: skip
            verdict = self._verdicts[key] = judge(self._schemas[place - 1][1], question)
        if verdict not in {"allowed", "denied"}:
            raise ValueError(f"{asked} has no answer at revision {revision}: {verdict}")
        return verdict == "allowed"

    def _in_reach(self, entity: Entity, revision: int) -> frozenset[RelationTuple]:
        """The tuples that a check of an entity can meet: no other decides it."""
        found: set[RelationTuple] = set()
        seen, pending = {entity}, [entity]
        while pending:
            for life in self._lives.get(pending.pop(), ()):
                if life.holds(revision):
                    found.add(life.fact)
                    other = Entity(life.fact.subject.type, life.fact.subject.id)
                    if other not in seen:
                        seen.add(other)
                        pending.append(other)
        return frozenset(found)
