"""Everything in reach of an entity but the subjects themselves, read once for all of them.

The nodes and their budgets are those of a check of any subject that is not itself among the nodes:
who asks decides what a check needs to look at, never what is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from grantlog.engine.contextual import ContextFacts
from grantlog.engine.graph import Graph
from grantlog.engine.node import OPENED, Node
from grantlog.engine.own import OwnFacts, OwnStep
from grantlog.engine.question import RequestContext
from grantlog.engine.reading import LookupFacts
from grantlog.engine.steps import (
    ArrowStep,
    AttributeStep,
    Kind,
    RelationStep,
    RuleStep,
)
from grantlog.errors import LimitError
from grantlog.model.tuples import Subject
from grantlog.ports.facts import (
    AttributeKey,
    FactAnswer,
    FactKey,
    SubjectPage,
    SubjectsKey,
    UsersetsKey,
)

_TURN = 200
"""Nodes and pages after which others on the event loop have their turn."""


class Gathering:
    """Reads what the nodes depend on, level by level.

    Attributes:
        graph: the nodes with their children.
        holders: the relations that admit the wanted kind: where its subjects are to be read.
        sent: the ids of the wanted kind that the request itself puts into a relation, by node.
        decided: the outcome of attributes and rules, which is the same for everyone; an error
            counts as None.
    """

    def __init__(
        self,
        graph: Graph,
        kind: Kind,
        facts: LookupFacts,
        *,
        sent: ContextFacts,
        context: RequestContext,
        subjects_max: int,
    ) -> None:
        self.graph = graph
        self.holders: list[Node] = []
        self.sent: dict[Node, list[str]] = {}
        self.decided: dict[Node, bool | None] = {}
        self._kind = kind
        self._facts = facts
        self._sent = sent
        self._own = OwnFacts(sent, context.data)
        self._subjects_max = subjects_max
        self._subjects = 0
        self._turns = 0
        self._asked: dict[tuple[bool, FactKey], list[Node]] = {}
        self._values: dict[AttributeKey, FactAnswer] = {}

    async def run(self) -> None:
        """Read all that is in reach.

        Raises:
            LimitError: nodes, usersets or what arrows lead to are too many.
        """
        todo = self.graph.todo
        valued: list[tuple[Node, OwnStep]] = []
        while todo or self._asked:
            while todo:
                node = todo.popleft()
                await self._turn()
                if node.state != OPENED:
                    node.state = OPENED
                    self._open(node)
                    if isinstance(node.step, AttributeStep | RuleStep):
                        valued.append((node, node.step))
            asked, self._asked = self._asked, {}
            keys = [key for _, key in asked]
            answers = await self._facts.fetch(keys) if keys else ()
            for nodes, key, answer in zip(asked.values(), keys, answers, strict=True):
                await self._turn()
                self._hear(nodes, key, answer)
        for node, step in valued:
            outcome = self._own.decide(step, node.id, self._values.get)
            self.decided[node] = outcome if isinstance(outcome, bool) else None
            await self._own.turn()
            await self._turn()

    async def _turn(self) -> None:
        self._turns += 1
        if self._turns % _TURN == 0:
            await asyncio.sleep(0)

    def _ask(self, node: Node, key: FactKey) -> None:
        # A UsersetsKey equals the SubjectsKey of its fields: its kind tells them apart.
        self._asked.setdefault((isinstance(key, UsersetsKey), key), []).append(node)

    def _open(self, node: Node) -> None:
        step, id_ = node.step, node.id
        if isinstance(step, RelationStep):
            self._open_relation(node, step)
        elif isinstance(step, ArrowStep):
            name = step.relation.name
            self._follow(node, self._sent.subjects.get((step.type, id_, name), ()))
            if step.targets:
                self._ask(node, SubjectsKey(step.type, id_, name))
        elif isinstance(step, AttributeStep | RuleStep):
            for key in self._own.keys(step, id_):
                self._ask(node, key)
        else:
            for operand in step.operands:
                self.graph.reach(node, operand, id_)

    def _open_relation(self, node: Node, step: RelationStep) -> None:
        place = (step.type, node.id, step.name)
        sent = self._sent.subjects.get(place, ())
        if self._kind in step.kinds:
            self.holders.append(node)
            mine = [s.id for s in sent if (s.type, s.relation) == self._kind]
            if mine:
                self.sent[node] = mine
        self._follow(node, sent)
        if step.usersets:
            self._ask(node, UsersetsKey(*place))

    def _hear(self, nodes: Sequence[Node], key: FactKey, answer: FactAnswer) -> None:
        if isinstance(key, AttributeKey):
            self._values[key] = answer
            return
        assert isinstance(answer, SubjectPage), "subjects come in pages"
        assert isinstance(key, SubjectsKey | UsersetsKey), "only these have pages"
        self._count(len(answer.subjects))
        for node in nodes:
            self._follow(node, answer.subjects)
            if answer.more:
                self._ask(node, key._replace(after=answer.subjects[-1]))

    def _count(self, more: int) -> None:
        self._subjects += more
        if self._subjects > self._subjects_max:
            raise LimitError(
                f"the lookup passes through more than subjects_max = {self._subjects_max} subjects"
            )

    def _follow(self, node: Node, subjects: Sequence[Subject]) -> None:
        """Go on to usersets of a relation, or to what an arrow leads to."""
        step = node.step
        if isinstance(step, RelationStep):
            for subject in subjects:
                userset = step.usersets.get((subject.type, subject.relation))
                if userset is not None:
                    self.graph.reach(node, userset, subject.id)
        elif isinstance(step, ArrowStep):
            for type_, id_, relation in subjects:
                target = step.followed.get((type_, relation))
                if target is not None:
                    self.graph.reach(node, target, id_)
