"""Everything in reach of an entity, read once for all subjects.

The nodes and their budgets are those of a check of any subject that is not itself among the nodes:
who asks decides what a check needs to look at, never what is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from grantlog.engine.contextual import ContextFacts
from grantlog.engine.graph import Graph
from grantlog.engine.node import OPENED, Node
from grantlog.engine.question import RequestContext
from grantlog.engine.reading import LookupFacts
from grantlog.engine.rules import context_data
from grantlog.engine.steps import (
    ArrowStep,
    AttributeStep,
    Kind,
    RelationStep,
    RuleStep,
    Step,
)
from grantlog.errors import LimitError
from grantlog.model.attributes import AttributeType, AttributeValue
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
        direct: the ids of the wanted kind that stand in a relation, by node.
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
        self.direct: dict[Node, set[str]] = {}
        self.decided: dict[Node, bool | None] = {}
        self._kind = kind
        self._facts = facts
        self._sent = sent
        self._data = context_data(context.data)
        self._subjects_max = subjects_max
        self._subjects = 0
        self._turns = 0
        self._asked: dict[tuple[bool, FactKey], list[Node]] = {}
        self._values: dict[tuple[str, str, str], AttributeValue | None] = {}

    async def run(self) -> None:
        """Read all that is in reach.

        Raises:
            LimitError: nodes or subjects are too many.
        """
        todo = self.graph.todo
        valued: list[Node] = []
        while todo or self._asked:
            while todo:
                node = todo.popleft()
                await self._turn()
                if node.state != OPENED:
                    node.state = OPENED
                    self._open(node)
                    if isinstance(node.step, AttributeStep | RuleStep):
                        valued.append(node)
            asked, self._asked = self._asked, {}
            keys = [key for _, key in asked]
            answers = await self._facts.fetch(keys) if keys else ()
            for nodes, key, answer in zip(asked.values(), keys, answers, strict=True):
                await self._turn()
                self._hear(nodes, key, answer)
        for node in valued:
            self.decided[node] = self._judge(node.step, node.id)
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
            names = step.arguments if isinstance(step, RuleStep) else (step.name,)
            for name in names:
                place = (step.type, id_, name)
                if place in self._sent.attributes:
                    self._values[place] = self._sent.attributes[place]
                else:
                    self._ask(node, AttributeKey(*place))
        else:
            for operand in step.operands:
                self.graph.reach(node, operand, id_)

    def _open_relation(self, node: Node, step: RelationStep) -> None:
        place = (step.type, node.id, step.name)
        self._follow(node, self._sent.subjects.get(place, ()))
        if self._kind in step.kinds:
            type_, relation = self._kind
            # Subjects of one kind lie together in the order of pages: only these are read.
            self._ask(node, SubjectsKey(*place, Subject(type_, "", relation)))
        if step.usersets:
            self._ask(node, UsersetsKey(*place))

    def _hear(self, nodes: Sequence[Node], key: FactKey, answer: FactAnswer) -> None:
        if isinstance(key, AttributeKey):
            value = answer if isinstance(answer, AttributeValue) else None
            self._values[key.entity_type, key.entity_id, key.attribute] = value
            return
        assert isinstance(answer, SubjectPage), "subjects come in pages"
        for node in nodes:
            page = answer
            of_kind = isinstance(node.step, RelationStep) and isinstance(key, SubjectsKey)
            if of_kind:
                mine = [s for s in page.subjects if (s.type, s.relation) == self._kind]
                page = SubjectPage(tuple(mine), page.more and len(mine) == len(page.subjects))
                self._note(node, page.subjects)
            else:
                self._follow(node, page.subjects)
            self._count(len(page.subjects))
            if page.more:
                self._ask(node, key._replace(after=page.subjects[-1]))

    def _count(self, more: int) -> None:
        self._subjects += more
        if self._subjects > self._subjects_max:
            raise LimitError(
                f"the lookup reads more than subjects_max = {self._subjects_max} subjects"
            )

    def _note(self, node: Node, subjects: Sequence[Subject]) -> None:
        self.direct.setdefault(node, set()).update(subject.id for subject in subjects)

    def _follow(self, node: Node, subjects: Sequence[Subject]) -> None:
        """Go on to usersets of a relation, or to what an arrow leads to."""
        step = node.step
        if isinstance(step, RelationStep):
            if self._kind in step.kinds:
                self._note(node, [s for s in subjects if (s.type, s.relation) == self._kind])
            for subject in subjects:
                userset = step.usersets.get((subject.type, subject.relation))
                if userset is not None:
                    self.graph.reach(node, userset, subject.id)
        elif isinstance(step, ArrowStep):
            for type_, id_, relation in subjects:
                target = step.targets.get(type_)
                if target is not None and (type_, relation) in step.relation.kinds:
                    self.graph.reach(node, target, id_)

    def _judge(self, step: Step, id_: str) -> bool | None:
        if isinstance(step, RuleStep):
            outcome = step.program.run(self._known(step, id_, step.program.parameters), self._data)
            return outcome if isinstance(outcome, bool) else None
        value = self._known(step, id_, {step.name: AttributeType.BOOLEAN}).get(step.name)
        return value is not None and value.data is True

    def _known(
        self, step: Step, id_: str, parameters: Mapping[str, AttributeType]
    ) -> dict[str, AttributeValue]:
        """The values that are set; one of another type than the schema's is none."""
        found: dict[str, AttributeValue] = {}
        for name, value_type in parameters.items():
            value = self._values.get((step.type, id_, name))
            if value is not None and value.type is value_type:
                found[name] = value
        return found
