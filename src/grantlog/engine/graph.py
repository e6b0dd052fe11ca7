"""The graph of one check: its nodes, what they wait for, and how outcomes travel upwards."""

from __future__ import annotations

from collections import deque
from operator import itemgetter

from grantlog.engine.algebra import Decided, evaluate
from grantlog.engine.node import IDLE, QUEUED, Node
from grantlog.engine.steps import ExpressionStep, Step, UnionStep
from grantlog.errors import CorruptionError, GrantlogError, LimitError


class Graph:
    """Nodes that open breadth first, and decided ones that tell their parents.

    A node's outcome is final when it is set. While nodes are open their budgets can grow: a node
    keeps the largest that any chain brings, and hands it on.

    Attributes:
        root: the question.
        thorough: look at everything in reach, needed or not, so that budgets are the largest.
        skipped: whether something in reach was not looked at, since its outcome did not matter.
        todo: nodes to open.
        settled: decided nodes that have not told their parents.
        stirred: expressions of which an operand was decided.
        cut: nodes that no chain had budget for when they were met.
        limits: the bound that stopped a relation or arrow from finding more children.
    """

    __slots__ = (
        "_nodes",
        "_nodes_max",
        "cut",
        "limits",
        "root",
        "settled",
        "skipped",
        "stirred",
        "thorough",
        "todo",
    )

    def __init__(
        self, step: Step, id_: str, *, depth: int, nodes_max: int, thorough: bool = False
    ) -> None:
        self.root = Node(step, id_, depth)
        self.root.state = QUEUED
        self.thorough = thorough
        self.skipped = False
        self.todo = deque((self.root,))
        self.settled: list[Node] = []
        self.stirred: list[Node] = []
        self.cut: list[Node] = []
        self.limits: dict[Node, LimitError] = {}
        self._nodes = {(step.number, id_): self.root}
        self._nodes_max = nodes_max

    @property
    def size(self) -> int:
        """How many nodes it has."""
        return len(self._nodes)

    @property
    def least_budget(self) -> int:
        """The least that a node has left; 0 where some node was not to be looked at."""
        return max(0, min(node.budget for node in self._nodes.values()))

    def is_needed(self, node: Node) -> bool:
        """Whether some parent still waits for it."""
        for parent in node.parents:  # a loop: `any` costs three times as much (engine_micro.py)
            if parent.outcome is None:
                return True
        return self.thorough or not node.parents

    def reach(self, parent: Node, step: Step, id_: str) -> None:
        """Make a step on an entity a child of `parent`."""
        budget = parent.budget - step.cost
        key = (step.number, id_)
        node = self._nodes.get(key)
        if node is None:
            node = self._nodes[key] = Node(step, id_, budget)
            if len(self._nodes) > self._nodes_max:
                raise LimitError(f"the check needs more than nodes_max = {self._nodes_max} nodes")
            if budget < 0:
                self.cut.append(node)
        elif budget > node.budget:
            self._grant(node, budget)
        parent.children.append(node)
        outcome = node.outcome
        if outcome is None:
            node.parents.append(parent)
            parent.waiting += 1
            self._queue(node)
        elif outcome is not False and not isinstance(parent.step, ExpressionStep):
            self._count(parent, outcome)

    def _queue(self, node: Node) -> None:
        if node.state == IDLE and node.budget >= 0:
            node.state = QUEUED
            self.todo.append(node)

    def _grant(self, node: Node, budget: int) -> None:
        """Raise a node's budget, and with it those of all it leads to."""
        pending = [(node, budget)]
        while pending:
            node, budget = pending.pop()
            if budget <= node.budget:
                continue
            node.budget = budget
            if node.outcome is None:
                self._queue(node)
            pending += [(child, budget - child.step.cost) for child in node.children]

    def settle(self, node: Node, outcome: Decided) -> None:
        """Decide a node that is open; one that is decided stays as it is."""
        if node.outcome is None:
            node.outcome = outcome
            self.settled.append(node)

    def tell(self, node: Node) -> None:
        """Tell a decided node's parents."""
        outcome = node.outcome
        if outcome is None:
            raise CorruptionError("an open node has nothing to tell")
        for parent in node.parents:
            if parent.outcome is not None:
                continue
            if isinstance(parent.step, ExpressionStep):
                if parent.waiting:
                    parent.waiting = 0
                    self.stirred.append(parent)
                continue
            self._count(parent, outcome)
            self.release(parent)

    def _count(self, parent: Node, outcome: Decided) -> None:
        """Note a child's outcome in a union."""
        if outcome is True:
            self.settle(parent, outcome)
        elif outcome is not False:
            parent.failed = True

    def release(self, node: Node) -> None:
        """One thing less that a union waits for; the last one decides it."""
        node.waiting -= 1
        if node.waiting == 0 and node.outcome is None:
            self.settle(node, (node.failed and self.first_error(node)) or False)

    def weigh(self, node: Node) -> None:
        """Look at an expression again."""
        step = node.step
        if node.outcome is None and isinstance(step, ExpressionStep):
            node.waiting = 1  # of an expression: the next outcome of an operand stirs it again
            outcome = evaluate(step.program, [child.outcome for child in node.children])
            if outcome is not None:
                self.settle(node, outcome)

    def propagate(self) -> None:
        """Carry outcomes upwards as far as they go."""
        while self.settled or self.stirred:
            if self.settled:
                self.tell(self.settled.pop())
            else:
                self.weigh(self.stirred.pop())

    def first_error(self, node: Node) -> GrantlogError | None:
        """The first error among a union's children: in source order, or in subjects' order."""
        errors = ((c.order, c.outcome) for c in node.children)
        failed = [(order, e) for order, e in errors if isinstance(e, GrantlogError)]
        if failed and not isinstance(node.step, UnionStep):
            return min(failed, key=itemgetter(0))[1]
        return failed[0][1] if failed else self.limits.get(node)
