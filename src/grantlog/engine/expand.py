"""Expand: why a permission is what it is, as a tree of expressions, relations and their subjects.

The tree is the schema's expression with facts in its leaves. Facts are read level by level. A node
that is met again on the way down to itself is a leaf that names itself as its only subject: what is
behind it stands above it already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from grantlog.engine.check import FactFetch
from grantlog.engine.contextual import ContextFacts, arrange
from grantlog.engine.expand_facts import ExpandFacts, needs_of
from grantlog.engine.plan import Plan, flatten
from grantlog.engine.question import NO_CONTEXT, RequestContext
from grantlog.engine.steps import (
    ArrowStep,
    AttributeStep,
    ExpressionStep,
    RelationStep,
    RuleStep,
    Step,
    UnionStep,
)
from grantlog.engine.tree import Branch, SubjectsLeaf, Tree, ValueLeaf, ValuesLeaf
from grantlog.errors import LimitError
from grantlog.model.attributes import AttributeType
from grantlog.model.tuples import Entity, Subject
from grantlog.ports.facts import FactKey
from grantlog.schema.compiled import Call, Expr, Operator, Rewrite

NODES_MAX: Final = 10_000
"""Nodes of a tree."""

LEVELS_MAX: Final = 45
"""How deep a tree may be: a level is two messages on the wire, and readers stop at 100."""

_TURN: Final = 200


@dataclass(frozen=True, slots=True)
class ExpandQuery:
    """What does the permission of the entity consist of?

    Attributes:
        arguments: of a rule asked by its own name, as of a check.
    """

    entity: Entity
    permission: str
    arguments: tuple[str, ...] = ()
    context: RequestContext = NO_CONTEXT


Put: TypeAlias = Callable[[Tree], None]
"""Puts a tree in its place."""


@dataclass(frozen=True, slots=True)
class _Task:
    """A step to expand on an entity.

    Attributes:
        path: the names above it, the nearest first.
        level: how deep its tree stands.
    """

    step: Step
    id: str
    put: Put
    path: _Path | None
    level: int


@dataclass(frozen=True, slots=True)
class _Path:
    place: tuple[int, str]
    above: _Path | None

    def holds(self, place: tuple[int, str]) -> bool:
        """Whether a place is on the path."""
        at: _Path | None = self
        while at is not None:
            if at.place == place:
                return True
            at = at.above
        return False


async def expand(plan: Plan, query: ExpandQuery, fetch: FactFetch) -> Tree:
    """The tree of a permission.

    Raises:
        NotFoundError: the schema has no such entity type or name.
        InvalidInputError: the name cannot be asked like this.
        LimitError: the tree is larger than `NODES_MAX`, `LEVELS_MAX` or
            `expand_facts.SUBJECTS_MAX` allow.
    """
    step = plan.find(query.entity.type, query.permission, query.arguments)
    expansion = _Expansion(plan, arrange(plan, query.context))
    found: list[Tree] = []
    expansion.begin(_Task(step, query.entity.id, found.append, None, 1))
    while True:
        await expansion.advance()
        keys = expansion.wanted()
        if not keys:
            return found[0]
        expansion.facts.learn(keys, await fetch(keys))


class _Expansion:
    """A tree that grows.

    Attributes:
        facts: what it is grown from.
    """

    def __init__(self, plan: Plan, context: ContextFacts) -> None:
        self._plan = plan
        self.facts = ExpandFacts(context)
        self._tasks: list[_Task] = []
        self._waiting: list[_Task] = []
        self._nodes = 0

    def begin(self, task: _Task) -> None:
        """Take a step to expand."""
        self._tasks.append(task)

    async def advance(self) -> None:
        """Grow as far as known facts allow."""
        ready, self._waiting = self._waiting, []
        self._tasks += reversed(ready)
        turns = 0
        while self._tasks:
            task = self._tasks.pop()
            if all(map(self.facts.is_known, needs_of(task.step, task.id))):
                self._grow(task)
            else:
                self._waiting.append(task)
            turns += 1
            if turns % _TURN == 0:
                await asyncio.sleep(0)

    def wanted(self) -> list[FactKey]:
        """The facts that are lacking, each once."""
        needs = (key for task in self._waiting for key in needs_of(task.step, task.id))
        return self.facts.wanted(needs)

    def _grow(self, task: _Task) -> None:
        step, entity = task.step, Entity(task.step.type, task.id)
        place = (step.number, task.id)
        if task.path is not None and task.path.holds(place):
            itself = Subject(step.type, task.id, step.name)
            self._put(task, Tree(entity, step.name, content=SubjectsLeaf((itself,))))
            return
        match step:
            case RelationStep():
                self._grow_relation(task, step, entity)
            case ArrowStep():
                self._grow_arrow(task, step, entity)
            case AttributeStep():
                value = self.facts.value(step.type, task.id, step.name, AttributeType.BOOLEAN)
                self._put(task, Tree(entity, step.name, content=ValueLeaf(value)))
            case RuleStep():
                kinds = step.program.parameters
                values = {
                    n: self.facts.value(step.type, task.id, n, kinds[n]) for n in step.arguments
                }
                self._put(task, Tree(entity, step.name, step.arguments, ValuesLeaf(values)))
            case _:
                path = _Path(place, task.path)
                self._grow_expression(replace(task, path=path), step, entity)

    def _grow_expression(
        self, task: _Task, step: UnionStep | ExpressionStep, entity: Entity
    ) -> None:
        """Expand an expression; chains nest as deep as their text is long."""
        expr = self._plan.schema.entities[step.type].permissions[step.name].expr
        operands = dict(zip(flatten(expr)[0], step.operands, strict=True))
        pending: list[tuple[Expr, Put, int]] = [(expr, task.put, task.level)]
        while pending:
            part, put, level = pending.pop()
            if not isinstance(part, Rewrite):
                operand = operands[part]
                if isinstance(part, Call):  # a call's arguments are shown as this one has them
                    program = self._plan.programs[part.rule]
                    operand = RuleStep(operand.number, step.type, program, part.arguments)
                self.begin(replace(task, step=operand, put=put, level=level))
                continue
            tree = Tree(entity, step.name)
            branch = tree.content = Branch(part.operator, [tree, tree])
            self._put(replace(task, put=put, level=level), tree)
            pending.append((part.left, _placing(branch, 0), level + 1))
            pending.append((part.right, _placing(branch, 1), level + 1))

    def _grow_relation(self, task: _Task, step: RelationStep, entity: Entity) -> None:
        subjects = self.facts.subjects(step.type, task.id, step)
        leaf = Tree(entity, step.name, content=SubjectsLeaf(subjects))
        usersets = [s for s in subjects if s.relation]
        if not usersets:
            self._put(task, leaf)
            return
        branch = Branch(Operator.UNION, [leaf] * (len(usersets) + 1))
        self._put(task, Tree(entity, step.name, content=branch))
        self._count(task.level + 1)
        path = _Path((step.number, task.id), task.path)
        for number, userset in enumerate(usersets):
            target = step.usersets[userset.type, userset.relation]
            put = _placing(branch, number)
            self.begin(_Task(target, userset.id, put, path, task.level + 1))

    def _grow_arrow(self, task: _Task, step: ArrowStep, entity: Entity) -> None:
        subjects = self.facts.subjects(step.type, task.id, step.relation)
        found = {(s.type, s.id) for s in subjects if s.type in step.targets}
        tree = Tree(entity, step.relation.name)
        branch = tree.content = Branch(Operator.UNION, [tree] * len(found))
        self._put(task, tree)
        path = _Path((step.number, task.id), task.path)
        for number, (type_, id_) in enumerate(sorted(found)):
            put = _placing(branch, number)
            self.begin(_Task(step.targets[type_], id_, put, path, task.level + 1))

    def _put(self, task: _Task, tree: Tree) -> None:
        self._count(task.level)
        task.put(tree)

    def _count(self, level: int) -> None:
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise LimitError(f"the tree has more than nodes_max = {NODES_MAX} nodes")
        if level > LEVELS_MAX:
            raise LimitError(f"the tree is deeper than levels_max = {LEVELS_MAX}")


def _placing(branch: Branch, number: int) -> Put:
    def put(tree: Tree) -> None:
        branch.children[number] = tree

    return put
