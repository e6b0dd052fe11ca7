"""What a walk, the sources of an entity and its own attributes say about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from grantlog.engine.bounds import Value, is_possible, spent, value_of
from grantlog.engine.lookup_entity.shape import Composite, Leaf, Shape
from grantlog.engine.lookup_entity.walk import Walk
from grantlog.engine.steps import ArrowStep, Step
from grantlog.model.tuples import Subject


class Mark(NamedTuple):
    """What it means that an id comes from a source.

    Attributes:
        step: the number of the step that the id was found for; -1 if for none.
        value: the value of that step on the id.
    """

    step: int
    value: Value


SEEN: Final = Mark(-1, None)
"""The id is one to look at, no more."""

_REMEMBERED_MAX: Final = 10_000
"""Verdicts that are remembered."""

_NOTHING: Final[Mapping[int, Value]] = MappingProxyType({})


class Judge:
    """Tells whether an entity is allowed for sure, denied for sure, or up to a check.

    Attributes:
        shape: of what is looked up.
    """

    def __init__(
        self, shape: Shape, walk: Walk | None, subject: Subject, *, depth: int | None
    ) -> None:
        """Judge by a walk that has run.

        Args:
            shape: of what is looked up.
            walk: None if there was none: only an entity's own attributes tell something then.
            subject: who is asking.
            depth: the budget of a check; None if nothing is sure, since the walk left things out.
        """
        self.shape = shape
        self._walk = walk
        self._depth = depth
        self._everything = walk is None or shape.root.number in shape.open
        self._local = {step.number for step in (*shape.leaves, *shape.composites)}
        self._self = {
            step.number
            for step in (*shape.leaves, *shape.composites)
            if not isinstance(step, ArrowStep)
            and (step.type, step.name) == (subject.type, subject.relation)
        }
        self._subject = subject
        # Where nothing hangs on the id, entities that are found alike are judged alike.
        self._alike = not shape.held
        self._verdicts: dict[tuple[object, ...], bool | None] = {}
        # Loops over tuples: they run for every candidate (benchmarks/lookups.py).
        self._plans = [
            (step, step.number, [(operand, operand.cost) for operand in step.operands])
            for step in shape.composites
        ]

    def verdict(
        self, id_: str, marks: Sequence[Mark], own: Mapping[int, Value] = _NOTHING
    ) -> bool | None:
        """True if allowed for sure, False if a check must decide, None if it is no candidate.

        Args:
            id_: the entity's id.
            marks: of the sources that it comes from.
            own: what its attributes and rules say, by the numbers of their steps.
        """
        if not self._alike or id_ == self._subject.id:
            return self._judged(id_, marks, own)
        found = (*marks, *own.items()) if own else tuple(marks)
        try:
            return self._verdicts[found]
        except KeyError:
            pass
        if len(self._verdicts) == _REMEMBERED_MAX:
            self._verdicts.clear()
        verdict = self._verdicts[found] = self._judged(id_, marks, own)
        return verdict

    def _judged(self, id_: str, marks: Sequence[Mark], own: Mapping[int, Value]) -> bool | None:
        values = self._leaves(id_, marks)
        value = self._value(id_, values, own) if self._depth is not None else None
        if value is not None and self._depth is not None:
            if value >= 0:
                if value <= self._depth:
                    return True
            elif ~value <= self._depth:
                return None
        return False if self._everything or self._may(id_, values) else None

    def _leaves(self, id_: str, marks: Sequence[Mark]) -> dict[int, Value]:
        """The values of the leaves that the entity was found for: the best of each."""
        values: dict[int, Value] = {}
        for step, value in marks:
            if step in values:
                known = values[step]
                if value is None or (known is not None and known <= value):
                    continue
            values[step] = value
        if self._self and id_ == self._subject.id:
            values |= {step.number: 0 for step in self.shape.leaves if step.number in self._self}
        return values

    def _value(self, id_: str, leaves: dict[int, Value], own: Mapping[int, Value]) -> Value:
        """The root's value."""
        values: dict[int, Value] = {**leaves, **own}
        itself = self._self if id_ == self._subject.id else ()
        operand_value = self._operand
        for step, number, operands in self._plans:
            if number in itself:
                values[number] = 0
            else:
                of = [spent(operand_value(o, id_, values), price) for o, price in operands]
                values[number] = value_of(step, of)
        return operand_value(self.shape.root, id_, values)

    def _operand(self, step: Step, id_: str, values: dict[int, Value]) -> Value:
        number = step.number
        if number in values:
            return values[number]
        if self._walk is None:
            return None
        if number not in self._local:
            return self._walk.value(step, id_)
        if isinstance(step, Leaf):
            return ~self.shape.longest[number]
        return None  # a permission that is an operand of itself

    def _may(self, id_: str, leaves: dict[int, Value]) -> bool:
        """Whether facts lead from the subject to the root on an entity, however far it is."""
        found = set(leaves)
        itself = self._self if id_ == self._subject.id else ()
        grown = True
        while grown:
            grown = False
            for step in self.shape.composites:
                if step.number not in found and (
                    step.number in itself or self._composite_may(step, id_, found)
                ):
                    found.add(step.number)
                    grown = True
        return self._is_found(self.shape.root, id_, found)

    def _composite_may(self, step: Composite, id_: str, found: set[int]) -> bool:
        return is_possible(step, [self._is_found(o, id_, found) for o in step.operands])

    def _is_found(self, step: Step, id_: str, found: set[int]) -> bool:
        if step.number in self._local:
            return step.number in found
        return self._walk is None or self._walk.is_present(step, id_)
