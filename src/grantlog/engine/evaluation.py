"""The evaluation of one question: plain synchronous code that says which facts it lacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from grantlog.engine.contextual import ContextFacts
from grantlog.engine.desk import FactDesk, Memory
from grantlog.engine.graph import Graph
from grantlog.engine.node import IDLE, OPENED, Node
from grantlog.engine.own import OwnFacts
from grantlog.engine.question import CheckQuery, Limits
from grantlog.engine.search import SubjectSearch
from grantlog.engine.steps import (
    ArrowStep,
    AttributeStep,
    ExpressionStep,
    RelationStep,
    RuleStep,
    Step,
    UnionStep,
)
from grantlog.errors import DepthExceededError
from grantlog.ports.facts import FactAnswer, FactKey

MOVES_PER_TURN: Final = 500
"""How much is done before others on the event loop have their turn: about 2 ms."""


class Evaluation:
    """One question on its way to an answer.

    Attributes:
        graph: its nodes.
        seen: how many distinct steps were looked at.
    """

    def __init__(
        self,
        step: Step,
        query: CheckQuery,
        context: ContextFacts,
        limits: Limits,
        *,
        memory: Memory | None = None,
    ) -> None:
        """Put the question.

        Args:
            step: what the query's permission names.
            query: the question; its subject is normalised.
            context: the query's facts.
            limits: the bounds.
            memory: what an evaluation of the same question learned; this one is thorough then.
        """
        self._step = step
        self._query = query
        self._subject = query.subject
        self._context = context
        self._limits = limits
        self._own = OwnFacts(context, query.context.data)
        self._desk = FactDesk(limits.keys_max, memory)
        self.graph = Graph(
            step,
            query.entity.id,
            depth=query.depth,
            nodes_max=limits.nodes_max,
            thorough=memory is not None,
        )
        self._search = SubjectSearch(self.graph, self._desk, query.subject, context, limits)
        self.seen = 0

    def thoroughly(self) -> Evaluation:
        """The same question from the start, now looking at everything in reach."""
        memory = self._desk.memory
        return Evaluation(self._step, self._query, self._context, self._limits, memory=memory)

    def advance(self) -> Iterator[None]:
        """Work on what is known, until the root is decided or facts lack.

        Yields:
            After every `MOVES_PER_TURN` moves, or rules enough, so that others can run.
        """
        graph, desk = self.graph, self._desk
        root, settled, stirred, todo = graph.root, graph.settled, graph.stirred, graph.todo
        moves = 0
        while root.outcome is None:
            if settled:
                graph.tell(settled.pop())
            elif stirred:
                graph.weigh(stirred.pop())
            elif desk.answers:
                self._hear(*desk.answers.pop())
            elif todo:
                self._open(todo.popleft())
            else:
                return
            moves += 1
            if moves >= MOVES_PER_TURN or self._own.take_turn():
                moves = 0
                yield

    def wanted(self) -> Sequence[FactKey]:
        """The facts that it lacks; empty when there is nothing to learn."""
        return self._desk.wanted()

    def learn(self, answers: Sequence[FactAnswer]) -> None:
        """Take the answers to what was wanted."""
        self._desk.learn(answers)

    @property
    def reads(self) -> Sequence[FactKey]:
        """Every fact that was asked for, by evaluations of this question before this one too."""
        known, pages = self._desk.memory
        return [*known, *pages]

    @property
    def depth_taken(self) -> int:
        """A depth at which every node in reach has a budget, as it had at the query's.

        A joined query looks one step further than its node without making one.
        """
        taken = self._query.depth - self.graph.least_budget
        return min(self._query.depth, taken + (1 if self._search.joined else 0))

    def give_up_cut(self) -> None:
        """Decide the nodes that no chain has budget for: their depth is exceeded."""
        for node in self.graph.cut:
            if node.budget < 0:
                self.graph.settle(node, self.too_deep())

    def too_deep(self) -> DepthExceededError:
        """The error of what the budget does not reach, or what hangs on its own denial."""
        return DepthExceededError(
            f"depth {self._query.depth} is not enough to decide {self._query.entity}"
            f"#{self._query.permission}"
        )

    def _open(self, node: Node) -> None:
        graph, step = self.graph, node.step
        if not graph.is_needed(node):
            node.state = IDLE
            graph.skipped = True
            return
        node.state = OPENED
        subject = self._subject
        if isinstance(step, ArrowStep):
            self._search.open_arrow(node, step)
            return
        self.seen += 1
        if step.name == subject.relation and (step.type, node.id) == subject[:2]:
            graph.settle(node, outcome=True)
        elif isinstance(step, RelationStep):
            self._search.open_relation(node, step)
        elif isinstance(step, UnionStep):
            self._open_union(node, step)
        elif isinstance(step, ExpressionStep):
            for operand in step.operands:
                graph.reach(node, operand, node.id)
            graph.weigh(node)
        else:
            self._open_attributes(node, step)

    def _open_union(self, node: Node, step: UnionStep) -> None:
        graph = self.graph
        node.waiting = 1
        for operand in step.operands:
            graph.reach(node, operand, node.id)
            if node.outcome is not None and not graph.thorough:
                graph.skipped = True
                return
        graph.release(node)

    def _open_attributes(self, node: Node, step: AttributeStep | RuleStep) -> None:
        """Ask for the attributes that the context does not give."""
        node.waiting = 1
        for key in self._own.keys(step, node.id):
            node.waiting += 1
            self._desk.ask_shared(node, key)
        self._hear_attribute(node, step)

    def _hear(self, node: Node, key: FactKey, answer: FactAnswer) -> None:
        step = node.step
        if isinstance(step, AttributeStep | RuleStep):
            self._hear_attribute(node, step)
        else:
            self._search.hear(node, key, answer)

    def _hear_attribute(self, node: Node, step: AttributeStep | RuleStep) -> None:
        """One attribute less to wait for; with the last one the node is decided."""
        node.waiting -= 1
        if node.waiting == 0:
            self.graph.settle(node, self._own.decide(step, node.id, self._desk.recall))
