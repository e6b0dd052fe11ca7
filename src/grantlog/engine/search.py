"""Finding the subjects of relations: point look-ups, usersets in pages, arrows."""

from __future__ import annotations

from grantlog.engine.contextual import ContextFacts
from grantlog.engine.desk import FactDesk
from grantlog.engine.graph import Graph
from grantlog.engine.node import Node
from grantlog.engine.question import Limits
from grantlog.engine.steps import ArrowStep, RelationStep
from grantlog.errors import CorruptionError, LimitError
from grantlog.model.tuples import Subject
from grantlog.ports.facts import (
    DirectKey,
    FactAnswer,
    FactKey,
    MemberOfUsersetKey,
    SubjectPage,
    SubjectsKey,
    UsersetsKey,
)


class SubjectSearch:
    """Opens relations and arrows and hears the answers about their subjects.

    A relation's direct subjects are never read: one look-up asks for the subject, and only usersets
    are listed. Where they fill more than a page, one joined query per kind asks whether the subject
    is directly in any of them, before the next page is read.

    Attributes:
        joined: whether such a query was asked.
    """

    __slots__ = (
        "_context",
        "_desk",
        "_graph",
        "_kind",
        "_limits",
        "_loaded",
        "_parked",
        "_subject",
        "joined",
    )

    def __init__(
        self, graph: Graph, desk: FactDesk, subject: Subject, context: ContextFacts, limits: Limits
    ) -> None:
        self._graph = graph
        self._desk = desk
        self._subject = subject
        self._kind = (subject.type, subject.relation)
        self._context = context
        self._limits = limits
        self._parked: dict[Node, tuple[SubjectPage, int]] = {}
        """First pages put aside, with the number of joined queries they wait for."""
        self.joined = False
        self._loaded: dict[Node, int] = {}
        """Subjects read of relations and arrows that have more than one page."""

    def open_relation(self, node: Node, step: RelationStep) -> None:
        """Ask whether the subject is in the relation, and for its usersets."""
        graph, id_ = self._graph, node.id
        node.waiting = 1
        if self._context.subjects:
            for subject in self._context.subjects.get((step.type, id_, step.name), ()):
                if subject == self._subject:
                    graph.settle(node, outcome=True)
                elif subject.relation:
                    graph.reach(node, step.usersets[subject.type, subject.relation], id_=subject.id)
        if node.outcome is not None and not graph.thorough:
            graph.skipped |= bool(step.usersets)
            return
        if self._kind in step.kinds:
            node.waiting += 1
            self._desk.ask(node, DirectKey(step.type, id_, step.name, *self._subject))
        if step.usersets:
            node.waiting += 1
            self._desk.ask(node, UsersetsKey(step.type, id_, step.name))
        graph.release(node)

    def open_arrow(self, node: Node, step: ArrowStep) -> None:
        """Ask for the subjects that the arrow is to be followed to."""
        if not step.targets:
            self._graph.settle(node, outcome=False)
            return
        node.waiting = 2
        relation = step.relation
        if self._context.subjects:
            place = (step.type, node.id, relation.name)
            self._follow_arrow(node, step, self._context.subjects.get(place, ()))
        self._desk.ask_shared(node, SubjectsKey(step.type, node.id, relation.name))
        self._graph.release(node)

    def hear(self, node: Node, key: FactKey, answer: FactAnswer) -> None:
        """Take an answer to what a relation or arrow asked."""
        step = node.step
        if isinstance(answer, SubjectPage):
            if node.outcome is not None and not self._graph.thorough:
                self._graph.skipped |= bool(answer.subjects)
            elif isinstance(step, RelationStep):
                self._hear_usersets(node, step, answer)
            elif isinstance(step, ArrowStep):
                self._follow_arrow(node, step, answer.subjects)
                self._turn(node, step, answer)
        elif answer is True:
            self._graph.settle(node, outcome=True)
            self._graph.skipped |= isinstance(key, MemberOfUsersetKey)
        elif isinstance(key, MemberOfUsersetKey) and isinstance(step, RelationStep):
            page, awaited = self._parked.pop(node)
            if awaited > 1:
                self._parked[node] = (page, awaited - 1)
            elif node.outcome is None:
                self._follow_usersets(node, step, page)
        self._graph.release(node)

    def _hear_usersets(self, node: Node, step: RelationStep, page: SubjectPage) -> None:
        first = page.more and node not in self._loaded
        if first and not self._graph.thorough and node.budget > 0:
            kinds = [kind for kind, u in step.usersets.items() if self._kind in u.kinds]
            if kinds:
                self._parked[node] = (page, len(kinds))
                node.waiting += len(kinds)
                self.joined = True
                for kind in sorted(kinds):
                    key = (step.type, node.id, step.name, *kind, *self._subject)
                    self._desk.ask(node, MemberOfUsersetKey(*key))
                return
        self._follow_usersets(node, step, page)

    def _follow_usersets(self, node: Node, step: RelationStep, page: SubjectPage) -> None:
        for subject in page.subjects:
            userset = step.usersets.get((subject.type, subject.relation))
            if userset is not None:
                self._graph.reach(node, userset, subject.id)
        self._turn(node, step, page)

    def _follow_arrow(
        self, node: Node, step: ArrowStep, subjects: list[Subject] | tuple[Subject, ...]
    ) -> None:
        for type_, id_, relation in subjects:
            target = step.followed.get((type_, relation))
            if target is not None:
                self._graph.reach(node, target, id_)

    def _turn(self, node: Node, step: RelationStep | ArrowStep, page: SubjectPage) -> None:
        """Ask for the next page, or stop at the bound."""
        if not page.more:
            return
        if not page.subjects:
            raise CorruptionError("an empty page says that others follow")
        loaded = self._loaded[node] = self._loaded.get(node, 0) + len(page.subjects)
        name, most = "usersets_max", self._limits.usersets_max
        if isinstance(step, ArrowStep):
            name, most = "fanout_max", self._limits.fanout_max
        if loaded >= most:
            node.failed = True
            self._graph.limits[node] = LimitError(
                f"{step.type}:{node.id}#{step.name} leads to more than {name} = {most} subjects"
            )
            return
        node.waiting += 1
        after = page.subjects[-1]
        if isinstance(step, ArrowStep):
            self._desk.ask_shared(node, SubjectsKey(step.type, node.id, step.relation.name, after))
        else:
            self._desk.ask(node, UsersetsKey(step.type, node.id, step.name, after))
