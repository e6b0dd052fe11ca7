"""What writes change, one after another, on facts that were read once under the lock. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from grantlog.errors import LimitError
from grantlog.model.attributes import Attribute, AttributeValue
from grantlog.model.change import AttributeChange, Change, Operation, TupleChange
from grantlog.model.tuples import RelationTuple
from grantlog.ports.facts import AttributeFilter, TupleFilter
from grantlog.ports.writer import PutFacts, RemoveFacts, RemoveWhere, Step
from grantlog.projection.fold import AttributeName
from grantlog.store.postgres.values import same_value


@dataclass(slots=True)
class StoredFacts:
    """What the tables say of every fact a group names, and all that its filters match."""

    tuples: set[RelationTuple] = field(default_factory=set[RelationTuple])
    """Those that hold; one that was asked for and is not in here does not hold."""
    attributes: dict[AttributeName, AttributeValue] = field(
        default_factory=dict[AttributeName, AttributeValue]
    )
    tuple_matches: dict[TupleFilter, Sequence[RelationTuple]] = field(
        default_factory=dict[TupleFilter, Sequence[RelationTuple]]
    )
    attribute_matches: dict[AttributeFilter, Sequence[AttributeName]] = field(
        default_factory=dict[AttributeFilter, Sequence[AttributeName]]
    )
    matched: set[RelationTuple | AttributeName] = field(
        default_factory=set[RelationTuple | AttributeName]
    )
    """All that the filters matched; several may match the same."""


@dataclass(slots=True)
class _Delta:
    """Facts that differ from what lies below, by key."""

    tuples: dict[RelationTuple, bool] = field(default_factory=dict[RelationTuple, bool])
    attributes: dict[AttributeName, AttributeValue | None] = field(
        default_factory=dict[AttributeName, AttributeValue | None]
    )
    removed: set[RelationTuple | AttributeName] = field(
        default_factory=set[RelationTuple | AttributeName]
    )
    """What filters matched of the facts that held before."""

    def set_tuple(self, fact: RelationTuple, *, holds: bool) -> None:
        """The last word stands last: the order of changes is the steps' order alone."""
        self.tuples.pop(fact, None)
        self.tuples[fact] = holds

    def put_tuples(self, facts: Sequence[RelationTuple]) -> None:
        """As `set_tuple`, of each in turn; most writes begin with it, and name each fact once."""
        if not self.tuples:
            self.tuples = dict.fromkeys(facts, True)
            if len(self.tuples) == len(facts):
                return
        for fact in facts:
            self.set_tuple(fact, holds=True)

    def set_attribute(self, name: AttributeName, value: AttributeValue | None) -> None:
        """As `set_tuple`."""
        self.attributes.pop(name, None)
        self.attributes[name] = value


class Overlay:
    """The facts as the writes so far leave them."""

    def __init__(self, stored: StoredFacts) -> None:
        self._stored = stored
        self._before = _Delta()

    def net(self, steps: Iterable[Step], *, changes_max: int) -> tuple[Change, ...]:
        """The net changes that one write's steps would make: deletes, then creates.

        Raises:
            LimitError: more than `changes_max` changes, or facts that its filters match.
        """
        delta = _Delta()
        for step in steps:
            self._take(step, delta)
            if len(delta.removed) > changes_max:
                raise too_many(changes_max)
        changes = self._net(delta)
        if len(changes) > changes_max:
            raise too_many(changes_max)
        return changes

    def keep(self, changes: Iterable[Change]) -> None:
        """Let changes hold for the writes that follow; `net`'s order is theirs."""
        for change in changes:
            creates = change.operation is Operation.CREATE
            if isinstance(change, TupleChange):
                self._before.tuples[change.tuple] = creates
            else:
                entity, name, value = change.attribute
                self._before.attributes[entity, name] = value if creates else None

    def _take(self, step: Step, delta: _Delta) -> None:
        match step:
            case PutFacts(tuples, attributes):
                delta.put_tuples(tuples)
                for entity, name, value in attributes:
                    delta.set_attribute((entity, name), value)
            case RemoveFacts(tuples, names):
                for fact in tuples:
                    delta.set_tuple(fact, holds=False)
                for name in names:
                    delta.set_attribute(name, None)
            case RemoveWhere():
                self._remove_where(step, delta)
            case _:
                assert_never(step)

    def _remove_where(self, step: RemoveWhere, delta: _Delta) -> None:
        if not step.tuples.is_empty:
            for fact in self._matched_tuples(step.tuples, delta):
                delta.set_tuple(fact, holds=False)
                if self._held(fact):
                    delta.removed.add(fact)
        if not step.attributes.is_empty:
            for name in self._matched_names(step.attributes, delta):
                delta.set_attribute(name, None)
                if self._value(name) is not None:
                    delta.removed.add(name)

    def _matched_tuples(self, where: TupleFilter, delta: _Delta) -> list[RelationTuple]:
        """In the order of keys: the log must not depend on which index answered."""
        matched = set(self._stored.tuple_matches[where])
        for changed in (self._before.tuples, delta.tuples):
            matched.update(fact for fact in changed if where.admits(fact))
        return sorted(matched)

    def _matched_names(self, where: AttributeFilter, delta: _Delta) -> list[AttributeName]:
        matched = set(self._stored.attribute_matches[where])
        for changed in (self._before.attributes, delta.attributes):
            matched.update(name for name in changed if where.admits(*name))
        return sorted(matched)

    def _net(self, delta: _Delta) -> tuple[Change, ...]:
        deletes: list[Change] = []
        creates: list[Change] = []
        some_held = bool(self._before.tuples or self._stored.tuples)
        for fact, holds in delta.tuples.items():
            if holds is (some_held and self._held(fact)):
                continue
            if holds:
                creates.append(TupleChange(Operation.CREATE, fact))
            else:
                deletes.append(TupleChange(Operation.DELETE, fact))
        for name, value in delta.attributes.items():
            old = self._value(name)
            if old is None and value is None:
                continue
            if old is not None and value is not None and same_value(old, value):
                continue
            if old is not None:
                deletes.append(AttributeChange(Operation.DELETE, Attribute(*name, old)))
            if value is not None:
                creates.append(AttributeChange(Operation.CREATE, Attribute(*name, value)))
        return (*deletes, *creates)

    def _held(self, fact: RelationTuple) -> bool:
        held = self._before.tuples.get(fact)
        return fact in self._stored.tuples if held is None else held

    def _value(self, name: AttributeName) -> AttributeValue | None:
        before: Mapping[AttributeName, AttributeValue | None] = self._before.attributes
        return before[name] if name in before else self._stored.attributes.get(name)


def too_many(changes_max: int) -> LimitError:
    """The error of a write that changes too much; it names the way that works."""
    return LimitError(
        f"one write may change at most {changes_max} facts and this one would change more: "
        "use several calls, each with fewer facts or a narrower filter (by entity ids, relation or "
        "subject)"
    )
