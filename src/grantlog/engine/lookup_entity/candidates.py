"""Entities that may be the answer, in order, with what is known about them already."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

from grantlog.engine.bounds import Value, cost, is_possible, spent, value_of
from grantlog.engine.lookup_entity.backwards import ContextBackwards
from grantlog.engine.lookup_entity.merge import SEEN, Mark, Merge, PageRead, Source
from grantlog.engine.lookup_entity.shape import Composite, Leaf, Shape
from grantlog.engine.lookup_entity.walk import Walk
from grantlog.engine.reading import LookupFacts
from grantlog.engine.steps import ArrowStep, AttributeStep, RelationStep, Step
from grantlog.model.tuples import Subject
from grantlog.ports.reverse import EntitiesKey, IdPage

_TURN = 500
"""Ids after which others on the event loop have their turn."""


class Candidates:
    """What the last hop leads to."""

    def __init__(
        self,
        shape: Shape,
        walk: Walk,
        subject: Subject,
        facts: LookupFacts,
        context: ContextBackwards,
    ) -> None:
        """Take over from a walk that has run."""
        self._shape = shape
        self._walk = walk
        self._subject = subject
        self._facts = facts
        self._context = context
        self._bounded = {step.number: step for step in (*shape.leaves, *shape.composites)}

    async def windows(
        self, *, after: str, wanted: int, depth: int | None
    ) -> AsyncIterator[list[tuple[str, bool]]]:
        """Candidates behind an id: in order, with whether they are allowed for sure.

        Args:
            after: ids up to this one are left out.
            wanted: about how many ids will be taken.
            depth: the budget of a check; None if nothing is sure, since the walk left things out.
        """
        sources: list[Source] = []
        for source in self._sources():
            sources.append(source)
            if len(sources) % _TURN == 0:
                await asyncio.sleep(0)
        merge = Merge(sources, self._facts, after=after, wanted=wanted)
        while (window := await merge.window()) is not None:
            found: list[tuple[str, bool]] = []
            for turn, (id_, marks) in enumerate(window.items(), 1):
                sure = self._judge(id_, marks, depth)
                if sure is not None:
                    found.append((id_, sure))
                if turn % _TURN == 0:
                    yield found
                    found = []
                    await asyncio.sleep(0)
            yield found

    def _sources(self) -> Iterator[Source]:
        shape, subject = self._shape, self._subject
        for leaf in shape.leaves:
            if isinstance(leaf, AttributeStep):
                yield Source(Mark(leaf.number, 0), ids=self._context.true(leaf))
                yield Source(Mark(leaf.number, 0), read=self._reads(leaf))
            elif isinstance(leaf, RelationStep) and (subject.type, subject.relation) in leaf.kinds:
                yield from self._tuples(leaf, subject, 0)
        outer = {leaf.number for leaf in shape.leaves}
        for step in (*shape.inner.values(), *shape.given.values()):
            feeds = [(p, relation) for p, relation in shape.feeds[step.number] if p.number in outer]
            for id_ in self._walk.present[step.number] if feeds else ():
                value = spent(self._walk.need((step.number, id_)), cost(step))
                for parent, relation in feeds:
                    yield from self._tuples(parent, Subject(step.type, id_, relation), value)
        for step in shape.held:
            yield Source(SEEN, ids=self._walk.present[step.number])
        if any(self._is_self(step, subject.id) for step in self._bounded.values()):
            yield Source(SEEN, ids=[subject.id])

    def _tuples(
        self, leaf: RelationStep | ArrowStep, subject: Subject, value: Value
    ) -> Iterable[Source]:
        name = leaf.relation.name if isinstance(leaf, ArrowStep) else leaf.name
        key = EntitiesKey(*subject, leaf.type, name)
        mark = Mark(leaf.number, value)
        contextual = self._context.entities(key)
        if contextual:
            yield Source(mark, ids=contextual)
        yield Source(mark, key=key)

    def _reads(self, step: AttributeStep) -> PageRead:
        given = self._context.given(step)

        async def read(after: str, limit: int) -> IdPage:
            ids: list[str] = []
            more = True
            while more and not ids:
                page = await self._facts.having(step.type, step.name, after=after, limit=limit)
                after, more = (page.ids[-1] if page.ids else after), page.more
                ids = [
                    id_
                    for id_, value in zip(page.ids, page.values, strict=True)
                    if value.type is step.value_type and value.data is True and id_ not in given
                ]
            return IdPage(ids, more)

        return read

    def _judge(self, id_: str, marks: Sequence[Mark], depth: int | None) -> bool | None:
        """True if allowed for sure, False if a check must decide, None if it is no candidate."""
        value, values = self._value(id_, marks)
        if value is not None and depth is not None:
            if value >= 0:
                return value <= depth
            if ~value <= depth:
                return None
        return False if self._may(id_, values) else None

    def _value(self, id_: str, marks: Sequence[Mark]) -> tuple[Value, dict[int, Value]]:
        """The root's value, and those of the leaves that the entity was found for."""
        values: dict[int, Value] = {}
        for step, value in marks:
            if step in values:
                known = values[step]
                if value is None or (known is not None and known <= value):
                    continue
            values[step] = value
        for step in self._shape.leaves:
            if self._is_self(step, id_):
                values[step.number] = 0
        own: dict[int, Value] = dict(values)
        for step in self._shape.composites:
            if self._is_self(step, id_):
                own[step.number] = 0
                continue
            operands = [spent(self._operand(o, id_, own), cost(o)) for o in step.operands]
            own[step.number] = value_of(step, operands)
        return self._operand(self._shape.root, id_, own), values

    def _operand(self, step: Step, id_: str, values: dict[int, Value]) -> Value:
        if step.number not in self._bounded:
            return self._walk.value(step, id_)
        if step.number in values:
            return values[step.number]
        if isinstance(step, Leaf):
            return ~self._shape.longest[step.number]
        return None  # a permission that is an operand of itself

    def _is_self(self, step: Step, id_: str) -> bool:
        subject = self._subject
        return (
            not isinstance(step, ArrowStep)
            and id_ == subject.id
            and (step.type, step.name) == (subject.type, subject.relation)
        )

    def _may(self, id_: str, leaves: dict[int, Value]) -> bool:
        """Whether facts lead from the subject to the root on an entity, however far it is."""
        found = set(leaves)
        grown = True
        while grown:
            grown = False
            for step in self._shape.composites:
                if step.number not in found and (
                    self._is_self(step, id_) or self._composite_may(step, id_, found)
                ):
                    found.add(step.number)
                    grown = True
        return self._is_found(self._shape.root, id_, found)

    def _composite_may(self, step: Composite, id_: str, found: set[int]) -> bool:
        return is_possible(step, [self._is_found(o, id_, found) for o in step.operands])

    def _is_found(self, step: Step, id_: str, found: set[int]) -> bool:
        if step.number in self._bounded:
            return step.number in found
        return self._walk.is_present(step, id_)
