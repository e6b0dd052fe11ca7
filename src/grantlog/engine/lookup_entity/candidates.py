"""Entities that may be the answer, in order, with what is known about them already."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence

from grantlog.engine.bounds import Value, spent
from grantlog.engine.lookup_entity.backwards import ContextBackwards
from grantlog.engine.lookup_entity.judge import SEEN, Judge, Mark
from grantlog.engine.lookup_entity.shape import Shape
from grantlog.engine.lookup_entity.walk import Walk
from grantlog.engine.many import Candidate, FactMemo
from grantlog.engine.merge import Merge, PageRead, Source
from grantlog.engine.own import OwnFacts
from grantlog.engine.reading import LookupFacts
from grantlog.engine.steps import ArrowStep, AttributeStep, RelationStep
from grantlog.model.tuples import Subject
from grantlog.ports.reverse import EntitiesKey, IdPage

_TURN = 500
"""Ids after which others on the event loop have their turn."""

IdSource = Source[EntitiesKey, Mark]


class Candidates:
    """What the last hop leads to."""

    def __init__(
        self, judge: Judge, facts: LookupFacts, memo: FactMemo, own: OwnFacts, *, wanted: int
    ) -> None:
        """Take over from a walk that has run.

        Args:
            judge: tells what is known of an entity.
            facts: reads the last hop.
            memo: reads the entities' own attributes, for the checks too.
            own: decides what follows from them.
            wanted: about how many ids will be taken.
        """
        self._judge = judge
        self._facts = facts
        self._memo = memo
        self._own = own
        self._wanted = wanted
        self.merge: Merge[EntitiesKey, Mark] | None = None

    async def of(
        self, sources: Iterable[IdSource], after: str
    ) -> AsyncGenerator[list[Candidate], None]:
        """The candidates of these sources behind an id, in order, some at a time."""
        gathered: list[IdSource] = []
        for source in sources:
            gathered.append(source)
            if len(gathered) % _TURN == 0:
                await asyncio.sleep(0)

        async def read(keys: Sequence[EntitiesKey], limit: int) -> Sequence[IdPage]:
            return await self._facts.entities(keys, limit=limit)

        self.merge = Merge(gathered, read, after=after, wanted=self._wanted)
        while (window := await self.merge.window()) is not None:
            found = list(window.items())
            size = min(self._wanted + 1, _TURN)
            for start in range(0, len(found), size):
                yield await self.judged(found[start : start + size])
                await asyncio.sleep(0)

    async def judged(self, found: Sequence[tuple[str, Sequence[Mark]]]) -> list[Candidate]:
        """Those that are candidates, by what their facts and own attributes say."""
        judge = self._judge
        sure = {id_: judge.verdict(id_, marks) for id_, marks in found}
        own = judge.shape.own
        asked = {id_: marks for id_, marks in found if sure[id_] is False} if own else {}
        if asked:
            values = await self._own_values(list(asked))
            sure |= {id_: judge.verdict(id_, asked[id_], say) for id_, say in values.items()}
        return [(id_, known) for id_, known in sure.items() if known is not None]

    async def _own_values(self, ids: Sequence[str]) -> dict[str, dict[int, Value]]:
        """What the entities' attributes and rules say, by the numbers of their steps."""
        steps, own = self._judge.shape.own, self._own
        keys = list(
            dict.fromkeys(key for id_ in ids for step in steps for key in own.keys(step, id_))
        )
        (answers,) = await self._memo.learn([keys])
        stored = dict(zip(keys, answers, strict=True)).get
        values: dict[str, dict[int, Value]] = {}
        for id_ in ids:
            found: dict[int, Value] = {}
            for step in steps:
                outcome = own.decide(step, id_, stored)
                is_known = isinstance(outcome, bool)  # an error is the check's own to tell
                found[step.number] = (0 if outcome else ~0) if is_known else None
                await own.turn()
            values[id_] = found
        return values


def reached(
    shape: Shape, walk: Walk, subject: Subject, facts: LookupFacts, context: ContextBackwards
) -> Iterator[IdSource]:
    """Where the entities are read that a walk leads to."""
    for leaf in shape.leaves:
        if isinstance(leaf, AttributeStep):
            yield Source(Mark(leaf.number, 0), ids=context.true(leaf))
            yield Source(Mark(leaf.number, 0), read=_having(leaf, facts, context))
        elif isinstance(leaf, RelationStep) and (subject.type, subject.relation) in leaf.kinds:
            yield from _related(leaf, subject, 0, context)
    outer = {leaf.number for leaf in shape.leaves}
    for step in (*shape.inner.values(), *shape.given.values()):
        feeds = [(p, relation) for p, relation in shape.feeds[step.number] if p.number in outer]
        for id_ in walk.present[step.number] if feeds else ():
            value = spent(walk.need((step.number, id_)), step.cost)
            for parent, relation in feeds:
                yield from _related(parent, Subject(step.type, id_, relation), value, context)
    for step in shape.held:
        yield Source(SEEN, ids=walk.present[step.number])
    if any(
        (step.type, step.name) == (subject.type, subject.relation)
        for step in (*shape.leaves, *shape.composites)
        if not isinstance(step, ArrowStep)
    ):
        yield Source(SEEN, ids=[subject.id])


def _related(
    leaf: RelationStep | ArrowStep, subject: Subject, value: Value, context: ContextBackwards
) -> Iterator[IdSource]:
    name = leaf.relation.name if isinstance(leaf, ArrowStep) else leaf.name
    key = EntitiesKey(*subject, leaf.type, name)
    mark = Mark(leaf.number, value)
    contextual = context.entities(key)
    if contextual:
        yield Source(mark, ids=contextual)
    yield Source(mark, key=key)


def _having(step: AttributeStep, facts: LookupFacts, context: ContextBackwards) -> PageRead:
    given = context.given(step)

    async def read(after: str, limit: int) -> IdPage:
        ids: list[str] = []
        more = True
        while more and not ids:
            page = await facts.having(step.type, step.name, after=after, limit=limit)
            after, more = (page.ids[-1] if page.ids else after), page.more
            ids = [
                id_
                for id_, value in zip(page.ids, page.values, strict=True)
                if value.type is step.value_type and value.data is True and id_ not in given
            ]
        return IdPage(ids, more)

    return read
