"""What a data write changes, net, given what holds now."""

from __future__ import annotations

from grantlog.errors import LimitError
from grantlog.model.attributes import Attribute, AttributeValue
from grantlog.model.change import AttributeChange, Change, Operation, TupleChange
from grantlog.model.ids import Revision
from grantlog.model.tuples import Entity, RelationTuple
from grantlog.ports.writer import DataIntent, PutFacts, RemoveFacts, RemoveWhere
from grantlog.store.memory.facts import LifeFacts


class Overlay:
    """The facts as a write's steps leave them, over the facts as they stand."""

    def __init__(self, facts: LifeFacts, at: Revision) -> None:
        self._facts = facts
        self._at = at
        self._tuples: dict[RelationTuple, bool] = {}
        self._values: dict[tuple[Entity, str], AttributeValue | None] = {}

    def put(self, step: PutFacts) -> None:
        """Make facts hold."""
        self._tuples.update(dict.fromkeys(step.tuples, True))
        for attribute in step.attributes:
            self._values[attribute.entity, attribute.name] = attribute.value

    def remove(self, step: RemoveFacts) -> None:
        """Make exactly these facts not hold."""
        self._tuples.update(dict.fromkeys(step.tuples, False))
        self._values.update(dict.fromkeys(step.attributes))

    def remove_where(self, step: RemoveWhere) -> None:
        """Make what the filters match not hold, earlier steps included."""
        if not step.tuples.is_empty:
            stored = [fact for fact, _ in self._facts.tuples_at(self._at)]
            for fact in (*stored, *self._tuples):
                if step.tuples.admits(fact):
                    self._tuples[fact] = False
        if not step.attributes.is_empty:
            for held, _ in self._facts.attributes_at(self._at):
                if step.attributes.admits(held.entity, held.name):
                    self._values[held.entity, held.name] = None
            for (entity, name), value in list(self._values.items()):
                if value and step.attributes.admits(entity, name):
                    self._values[entity, name] = None

    def changes(self) -> tuple[Change, ...]:
        """The net changes, deletes before creates."""
        deletes: list[Change] = []
        creates: list[Change] = []
        for fact, holds in self._tuples.items():
            key = (fact.entity.type, fact.entity.id, fact.relation)
            held = self._facts.holds(key, fact.subject, self._at)
            if holds and not held:
                creates.append(TupleChange(Operation.CREATE, fact))
            elif held and not holds:
                deletes.append(TupleChange(Operation.DELETE, fact))
        for (entity, name), value in self._values.items():
            before = self._facts.value((entity.type, entity.id, name), self._at)
            if _same(before, value):
                continue
            if before is not None:
                old = Attribute(entity, name, before)
                deletes.append(AttributeChange(Operation.DELETE, old))
            if value is not None:
                new = Attribute(entity, name, value)
                creates.append(AttributeChange(Operation.CREATE, new))
        return (*deletes, *creates)


def _same(one: AttributeValue | None, other: AttributeValue | None) -> bool:
    """Equality that tells 1 from 1.0 and True, and 0.0 from -0.0."""
    return (one is None) == (other is None) and repr(one) == repr(other)


def net_changes(intent: DataIntent, facts: LifeFacts, at: Revision) -> tuple[Change, ...]:
    """The net changes of a data write on the facts that hold at `at`."""
    overlay = Overlay(facts, at)
    for step in intent.steps:
        match step:
            case PutFacts():
                overlay.put(step)
            case RemoveFacts():
                overlay.remove(step)
            case RemoveWhere():
                overlay.remove_where(step)
    return overlay.changes()


def require_within(changes: tuple[Change, ...], changes_max: int) -> None:
    """Refuse a write with more changes than one transaction may have.

    Raises:
        LimitError: there are more.
    """
    if len(changes) > changes_max:
        raise LimitError(
            f"one write may change at most {changes_max} facts, this one changes {len(changes)}: "
            "split it, or remove by narrower filters step by step"
        )
