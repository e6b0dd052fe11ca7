"""What of a plan has to do with a lookup: found once, before any fact is read.

A step is *open* where facts do not bound the entities that it may be allowed on: rules are, since
they may hold for values that nobody set, and so is what a rule alone can allow. Attributes count
as open too, so that they need not be read as a whole, unless they are all that bounds the root.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable
from typing import TypeAlias

from grantlog.engine.bounds import UNAFFORDABLE, children, is_possible
from grantlog.engine.own import OwnStep
from grantlog.engine.steps import (
    ArrowStep,
    AttributeStep,
    ExpressionStep,
    RelationStep,
    RuleStep,
    Step,
    UnionStep,
)

Leaf: TypeAlias = RelationStep | ArrowStep | AttributeStep
Composite: TypeAlias = UnionStep | ExpressionStep
Feed: TypeAlias = tuple["RelationStep | ArrowStep", str]
"""A step that a userset or entity leads to, and the relation with which it stands in its tuples."""


class Shape:
    """The steps of a lookup, by their part in it.

    Attributes:
        root: what is looked up.
        open: numbers of the open steps. Where the root is one, every known entity is looked at.
        inner: steps whose entities lead on to others; they are found before the last hop.
        leaves: steps of the last hop that tuples or attributes bound.
        own: attributes and rules of the last hop that are open: each entity has to be asked.
        composites: permissions of the last hop, open ones too, operands before what they are
            operands of.
        held: inner steps that the last hop looks at.
        above: permissions among `inner` by the number of an operand.
        given: open steps that a scope bounds: they may be allowed on all that it names.
        feeds: relations and arrows by the number of the step behind their subjects.
        longest: what the longest chain from a step costs, by its number.
    """

    def __init__(self, root: Step, scoped: Container[str] = frozenset()) -> None:
        """Look at all that a step leads to; `scoped` types are passed through where named only."""
        self.root = root
        self._scoped = scoped
        reach = _closure([root], frozenset())
        self.longest = _longest(reach)
        self.open = _open(reach, scoped, attributes_are=True)
        if root.number in self.open:
            without = _open(reach, scoped, attributes_are=False)
            if root.number not in without:
                self.open = without
        self.inner: dict[int, Step] = {}
        self.given: dict[int, Step] = {}
        self.above: defaultdict[int, list[Composite]] = defaultdict(list)
        self.feeds: defaultdict[int, list[Feed]] = defaultdict(list)
        local = _closure([root], frozenset(), local=True)
        last = _closure([root], self.open, local=True)
        if root.number in self.open:
            last = {number: step for number, step in local.items() if number not in self.open}
        self._part(_closure(last.values(), self.open).values())
        outer = [step for number, step in last.items() if number not in self.inner]
        self.leaves: list[Leaf] = [
            s for s in outer if isinstance(s, RelationStep | ArrowStep | AttributeStep)
        ]
        self.held = [step for number, step in last.items() if number in self.inner]
        self.own: list[OwnStep] = [
            step
            for number, step in local.items()
            if number in self.open and isinstance(step, AttributeStep | RuleStep)
        ]
        self.composites = _operands_first(
            [
                step
                for number, step in local.items()
                if number not in self.inner and isinstance(step, UnionStep | ExpressionStep)
            ]
        )

    def _part(self, bounded: Iterable[Step]) -> None:
        """Tell inner steps from the last hop."""
        targets: list[Step] = []
        for step in bounded:
            if isinstance(step, RelationStep | ArrowStep):
                for child in {child.number: child for child in children(step)}.values():
                    self.feeds[child.number] += _feeds(step, child)
                    if child.number not in self.open:
                        targets.append(child)
                    elif child.type in self._scoped:
                        self.given[child.number] = child
        self.inner = _closure(targets, self.open, local=True)
        for step in self.inner.values():
            if isinstance(step, UnionStep | ExpressionStep):
                for operand in {operand.number: operand for operand in step.operands}.values():
                    self.above[operand.number].append(step)


def _closure(
    starts: Iterable[Step], stops: frozenset[int], *, local: bool = False
) -> dict[int, Step]:
    """The steps in reach by their numbers; what is in `stops` is not entered.

    Args:
        starts: where to begin.
        stops: numbers of steps that are left out.
        local: stay on the same entity.
    """
    found: dict[int, Step] = {}
    pending = list(starts)
    while pending:
        step = pending.pop()
        if step.number in found or step.number in stops:
            continue
        found[step.number] = step
        if not local or isinstance(step, UnionStep | ExpressionStep):
            pending += children(step)
    return found


def _open(
    reach: dict[int, Step], scoped: Container[str], *, attributes_are: bool
) -> frozenset[int]:
    """The least set of open steps."""
    found = {
        number
        for number, step in reach.items()
        if isinstance(step, RuleStep) or (attributes_are and isinstance(step, AttributeStep))
    }
    grown = True
    while grown:
        grown = False
        for number, step in reach.items():
            if number in found:
                continue
            if isinstance(step, ArrowStep):
                behind = (child for child in children(step) if child.type not in scoped)
                opens = any(child.number in found for child in behind)
            elif isinstance(step, UnionStep | ExpressionStep):
                opens = is_possible(step, [o.number in found for o in step.operands])
            else:
                opens = False
            if opens:
                found.add(number)
                grown = True
    return frozenset(found)


def _longest(reach: dict[int, Step]) -> dict[int, int]:
    """What the longest chain from each step costs; `UNAFFORDABLE` where it has no end."""
    longest: dict[int, int] = {}
    waiting = {number: {c.number for c in children(step)} for number, step in reach.items()}
    parents: defaultdict[int, list[int]] = defaultdict(list)
    for number, below in waiting.items():
        for child in below:
            parents[child].append(number)
    ready = [number for number, below in waiting.items() if not below]
    while ready:
        number = ready.pop()
        below = [longest[c.number] + c.cost for c in children(reach[number])]
        longest[number] = max(below, default=0)
        for parent in parents[number]:
            waiting[parent].discard(number)
            if not waiting[parent]:
                ready.append(parent)
    return {number: longest.get(number, UNAFFORDABLE) for number in reach}


def _feeds(step: RelationStep | ArrowStep, child: Step) -> list[Feed]:
    """How entities of `child` stand in the tuples of `step`."""
    if isinstance(step, RelationStep):
        return [(step, child.name)]
    kinds = sorted(step.relation.kinds)
    return [(step, relation) for type_, relation in kinds if type_ == child.type]


def _operands_first(steps: list[Composite]) -> list[Composite]:
    """An order in which operands come first, as far as steps are not operands of themselves."""
    members = {step.number for step in steps}
    placed: set[int] = set()
    order: list[Composite] = []
    waiting = steps
    while waiting:
        ready = [
            step
            for step in waiting
            if all(o.number in placed or o.number not in members for o in step.operands)
        ] or waiting[:1]
        order += ready
        placed.update(step.number for step in ready)
        waiting = [step for step in waiting if step.number not in placed]
    return order
