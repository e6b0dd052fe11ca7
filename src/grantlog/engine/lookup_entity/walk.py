"""Following facts backwards from the subject, through everything that leads to the last hop.

What is reached *may* be allowed (an operand of an `and` is looked for on both sides, the right side
of a `not` is taken for denied), and nothing else can be but by a chain that is too long. Afterwards
`settle` finds what is allowed for sure, and at what cost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeAlias

from grantlog.engine.bounds import Value, is_possible, spent, value_of
from grantlog.engine.lookup_entity.backwards import ContextBackwards
from grantlog.engine.lookup_entity.shape import Composite, Shape
from grantlog.engine.reading import LookupFacts
from grantlog.engine.steps import ArrowStep, AttributeStep, RelationStep, Step
from grantlog.errors import LimitError
from grantlog.model.tuples import Subject
from grantlog.ports.reverse import IDS_PER_PAGE_MAX, EntitiesKey

Scope: TypeAlias = Mapping[str, frozenset[str]]
"""Ids by entity type."""

NO_SCOPE: Final[Scope] = MappingProxyType({})

Place: TypeAlias = tuple[int, str]
"""The number of a step, and an entity's id."""

_TURN = 500
"""Steps after which others on the event loop have their turn."""


class Walk:
    """The inner steps' entities.

    Attributes:
        present: by step number, the entities that the step may be allowed on.
    """

    def __init__(
        self,
        shape: Shape,
        subject: Subject,
        facts: LookupFacts,
        context: ContextBackwards,
        *,
        scope: Scope = NO_SCOPE,
        nodes_max: int,
    ) -> None:
        """Begin a walk.

        Args:
            shape: which steps to walk through.
            subject: where it begins.
            facts: what is stored.
            context: what was sent along.
            scope: by type, the entities that may be passed through; of other types all may.
            nodes_max: how many (step, entity) pairs may be passed through.
        """
        self._shape = shape
        self._subject = subject
        self._facts = facts
        self._context = context
        self._scope = scope
        self._nodes_max = nodes_max
        self._nodes = 0
        self._turns = 0
        numbers = (*shape.inner, *shape.given)
        self.present: dict[int, set[str]] = {number: set() for number in numbers}
        self._needs: dict[int, dict[str, int]] = {number: {} for number in numbers}
        self._fresh: list[tuple[Step, str]] = []
        self._wanted: dict[EntitiesKey, list[tuple[Step, Place | None]]] = {}
        self._answered: dict[EntitiesKey, list[str]] = {}
        self._leads: dict[Place, list[tuple[Step, Sequence[str]]]] = {}
        """What an entity was found to lead to."""
        self._sure: deque[tuple[Step, str]] = deque()

    async def run(self) -> None:
        """Find all entities of the inner steps, and what is sure about them.

        Raises:
            LimitError: they are too many.
        """
        await self._seed()
        while self._fresh or self._wanted:
            while self._fresh:
                await self._turn()
                self._spread(*self._fresh.pop())
            await self._hear(await self._ask())
        await self._settle()
        self._leads.clear()
        self._answered.clear()

    @property
    def size(self) -> int:
        """How many (step, entity) pairs it holds."""
        return self._nodes

    def value(self, step: Step, id_: str) -> Value:
        """What is known of a step on an entity: nothing, but of an inner one."""
        needs = self._needs.get(step.number)
        if needs is None or step.number in self._shape.open:
            return None
        need = needs.get(id_)
        if need is not None:
            return need
        return None if id_ in self.present[step.number] else ~self._shape.longest[step.number]

    def need(self, place: Place) -> int | None:
        """The budget with which a step is allowed on an entity for sure."""
        return self._needs[place[0]].get(place[1])

    def is_present(self, step: Step, id_: str) -> bool:
        """Whether a step may be allowed on an entity; any may that is no inner one."""
        present = self.present.get(step.number)
        return present is None or step.number in self._shape.open or id_ in present

    async def _turn(self, steps: int = 1) -> None:
        self._turns += steps
        if self._turns >= _TURN:
            self._turns = 0
            await asyncio.sleep(0)

    async def _seed(self) -> None:
        subject = self._subject
        for step in self._shape.given.values():
            for id_ in self._scope[step.type]:
                self._add(step, id_)
        for step in self._shape.inner.values():
            if isinstance(step, RelationStep) and (subject.type, subject.relation) in step.kinds:
                self._want(EntitiesKey(*subject, step.type, step.name), step, None)
            elif isinstance(step, AttributeStep):
                for id_ in await self._read_attribute(step):
                    self._add_sure(step, id_, 0)
            if not isinstance(step, ArrowStep) and (step.type, step.name) == subject[::2]:
                self._add_sure(step, subject.id, 0)

    async def _read_attribute(self, step: AttributeStep) -> list[str]:
        given = self._context.given(step)
        found = self._context.true(step)
        after, more = "", True
        while more:
            ids, values, more = await self._facts.having(
                step.type, step.name, after=after, limit=IDS_PER_PAGE_MAX
            )
            found += [
                id_
                for id_, value in zip(ids, values, strict=True)
                if value.type is step.value_type and value.data is True and id_ not in given
            ]
            after = ids[-1] if ids else after
            await self._turn()
        return found

    def _want(self, key: EntitiesKey, step: Step, child: Place | None) -> None:
        """Ask which entities of a relation or arrow a subject leads to."""
        self._wanted.setdefault(key, []).append((step, child))

    async def _ask(self) -> dict[EntitiesKey, list[str]]:
        """Read what is wanted and was not read before, all pages of it."""
        asking = [key for key in self._wanted if key not in self._answered]
        found = {key: list(self._context.entities(key)) for key in asking}
        while asking:
            pages = await self._facts.entities(asking, limit=IDS_PER_PAGE_MAX)
            following: list[EntitiesKey] = []
            for key, page in zip(asking, pages, strict=True):
                found[key._replace(after="")] += page.ids
                if page.more:
                    following.append(key._replace(after=page.ids[-1]))
            asking = following
        return found

    async def _hear(self, found: dict[EntitiesKey, list[str]]) -> None:
        wanted, self._wanted = self._wanted, {}
        self._answered |= found
        for key, askers in wanted.items():
            ids = self._answered[key]
            for step, child in askers:
                for start in range(0, len(ids), _TURN):
                    part = ids[start : start + _TURN]
                    self._reach(step, child, part)
                    await self._turn(len(part))

    def _reach(self, step: Step, child: Place | None, ids: Sequence[str]) -> None:
        if child is not None:
            self._leads.setdefault(child, []).append((step, ids))
            for id_ in ids:
                self._add(step, id_)
            return
        for id_ in ids:
            self._add_sure(step, id_, 0)

    def _add(self, step: Step, id_: str) -> None:
        present = self.present[step.number]
        if id_ in present or id_ not in self._scope.get(step.type, (id_,)):
            return
        present.add(id_)
        self._nodes += 1
        if self._nodes > self._nodes_max:
            raise LimitError(
                f"the lookup passes through more than nodes_max = {self._nodes_max} entities"
            )
        self._fresh.append((step, id_))

    def _spread(self, step: Step, id_: str) -> None:
        """Go on from a step that may be allowed on an entity."""
        shape = self._shape
        for parent in shape.above[step.number]:
            if id_ not in self.present[parent.number] and is_possible(
                parent, [self.is_present(operand, id_) for operand in parent.operands]
            ):
                self._add(parent, id_)
        for parent, relation in shape.feeds[step.number]:
            if parent.number in shape.inner:
                name = parent.relation.name if isinstance(parent, ArrowStep) else parent.name
                key = EntitiesKey(step.type, id_, relation, parent.type, name)
                self._want(key, parent, (step.number, id_))

    def _add_sure(self, step: Step, id_: str, need: int) -> None:
        self._add(step, id_)
        self._offer(step, id_, need)

    def _offer(self, step: Step, id_: str, need: int) -> None:
        """Note that a step is allowed on an entity for sure; the first finding stands."""
        needs = self._needs[step.number]
        if id_ not in needs and id_ in self.present[step.number]:
            needs[id_] = need
            self._sure.append((step, id_))

    async def _settle(self) -> None:
        """Find what follows from what is sure, now that everything is reached."""
        while self._sure:
            await self._turn()
            step, id_ = self._sure.popleft()
            need = self._needs[step.number][id_] + step.cost
            for parent in self._shape.above[step.number]:
                value = value_of(parent, self._operand_values(parent, id_))
                if value is not None and value >= 0:
                    self._offer(parent, id_, value)
            for parent, ids in self._leads.get((step.number, id_), ()):
                await self._turn(len(ids))
                for other in ids:
                    self._offer(parent, other, need)

    def _operand_values(self, parent: Composite, id_: str) -> list[Value]:
        return [spent(self.value(operand, id_), operand.cost) for operand in parent.operands]
