"""Looking up entities: candidates in the order of ids, and a check where nothing less can tell."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from grantlog.engine.conform import plain_subject
from grantlog.engine.contextual import arrange
from grantlog.engine.lookup_entity.backwards import ContextBackwards
from grantlog.engine.lookup_entity.candidates import Candidates, IdSource, reached
from grantlog.engine.lookup_entity.judge import SEEN, Judge
from grantlog.engine.lookup_entity.shape import Shape
from grantlog.engine.lookup_entity.walk import NO_SCOPE, Scope, Walk
from grantlog.engine.many import (
    CHECKS_AT_ONCE,
    Candidate,
    FactMemo,
    Verdict,
    allowed_among,
    check_many,
    in_parts,
)
from grantlog.engine.merge import Source
from grantlog.engine.own import OwnFacts
from grantlog.engine.plan import Plan
from grantlog.engine.question import (
    DEFAULT_LIMITS,
    DEPTH_DEFAULT,
    NO_CONTEXT,
    CheckQuery,
    Limits,
    RequestContext,
    require_depth,
)
from grantlog.engine.reading import LookupFacts
from grantlog.engine.steps import Step
from grantlog.errors import LimitError, NotFoundError
from grantlog.model.tuples import Entity, Subject
from grantlog.ports.reverse import IDS_PER_PAGE_MAX, IdPage

WALK_NODES_MAX: Final = 1_000_000
"""Entities that a lookup may pass through before its last hop."""


@dataclass(frozen=True, slots=True)
class EntityQuery:
    """On which entities of a type does the subject hold the permission?

    Attributes:
        depth: as of a check; every candidate is judged by it.
        scope: ids by entity type. Of the asked type, only these are candidates. Of another type,
            candidates are found only through these; the check of a candidate is not narrowed.
    """

    entity_type: str
    permission: str
    subject: Subject
    context: RequestContext = NO_CONTEXT
    depth: int = DEPTH_DEFAULT
    scope: Scope = field(default_factory=lambda: NO_SCOPE)


class EntityLookup:
    """One lookup, from which ids can be taken as long as they are wanted.

    Known ids are candidates: those of the type in any fact, on either side of a tuple, stored or
    contextual, and the subject's own. Where facts bound the answer, candidates are those that a
    chain of facts leads to from the subject; a check of any other is denied, or too deep to tell.
    A type or permission that the schema lacks has no entities.
    """

    def __init__(
        self,
        plan: Plan,
        query: EntityQuery,
        facts: LookupFacts,
        *,
        after: str = "",
        wanted: int = IDS_PER_PAGE_MAX,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """Prepare it; nothing is read yet.

        Args:
            plan: of the schema version that the answer stands on.
            query: the question.
            facts: what is read, at one revision.
            after: ids up to this one are left out.
            wanted: about how many ids will be taken: how far to read ahead.
            limits: the bounds of every check.
        """
        self._plan = plan
        self._query = query
        self._facts = facts
        self._after = after
        self._wanted = wanted
        self._limits = limits
        self._subject = plain_subject(query.subject)
        self._sent = arrange(plan, query.context)
        self._context = ContextBackwards(self._sent, query.context)
        self._memo = FactMemo(facts.fetch)
        self._walk: Walk | None = None
        self._candidates: Candidates | None = None

    @property
    def held(self) -> int:
        """How many entities and facts it holds: what it costs to keep it open."""
        walked = self._walk.size if self._walk is not None else 0
        merge = self._candidates.merge if self._candidates is not None else None
        return walked + self._memo.size + (merge.buffered if merge is not None else 0)

    async def parts(self) -> AsyncGenerator[list[str]]:
        """The ids that a check allows, in the order of their bytes, each once, some at a time.

        Those before one that raises are given first.

        Raises:
            InvalidInputError: the depth is out of range, or the name cannot be asked like this.
            DepthExceededError, RuleFailedError, LimitError: a candidate's check has no answer.
            LimitError: the lookup passes through more than `WALK_NODES_MAX` entities.
        """
        require_depth(self._query.depth)
        try:
            step = self._plan.find(self._query.entity_type, self._query.permission)
        except NotFoundError:
            return
        async with aclosing(self._found(step)) as parts:
            async for part in parts:
                for some in in_parts(part):
                    ids, error = allowed_among(some, await self._checked(some))
                    if ids:
                        yield ids
                    if error is not None:
                        raise error

    def _found(self, step: Step) -> AsyncGenerator[list[Candidate]]:
        """The candidates, some at a time."""
        scope = self._query.scope
        passed = {type_: ids for type_, ids in scope.items() if type_ != self._query.entity_type}
        shape = Shape(step, passed)
        if scope and (not passed or step.number in shape.open):
            return self._named(Shape(step))
        if step.number in shape.open:
            return self._every(shape)
        return self._reached(shape, passed)

    async def _reached(self, shape: Shape, passed: Scope) -> AsyncGenerator[list[Candidate]]:
        """Those that facts lead to."""
        walk = self._walk = self._new_walk(shape, passed)
        await walk.run()
        # What the scope leaves out may be what denies a candidate.
        depth = None if passed else self._query.depth
        candidates = self._judged_by(Judge(shape, walk, self._subject, depth=depth))
        own = self._query.scope.get(self._query.entity_type)
        async with aclosing(candidates.of(self._sources(shape, walk), self._after)) as parts:
            async for part in parts:
                yield part if own is None else [one for one in part if one[0] in own]

    async def _every(self, shape: Shape) -> AsyncGenerator[list[Candidate]]:
        """All known ids; facts tell at least of those that they lead to."""
        walk: Walk | None = self._new_walk(shape, NO_SCOPE)
        try:
            await walk.run()
        except LimitError:
            walk = None
        self._walk = walk
        judge = Judge(shape, walk, self._subject, depth=self._query.depth)
        sources: list[IdSource] = [Source(SEEN, ids=self._known_by_request())]
        sources.append(Source(SEEN, read=self._read_known))
        if walk is not None:
            sources += self._sources(shape, walk)
        async with aclosing(self._judged_by(judge).of(sources, self._after)) as parts:
            async for part in parts:
                yield part

    async def _named(self, shape: Shape) -> AsyncGenerator[list[Candidate]]:
        """The known ids among those that the scope names, or all where it names none."""
        named = self._query.scope.get(self._query.entity_type)
        if named is None:
            async with aclosing(self._every(shape)) as parts:
                async for part in parts:
                    yield part
            return
        candidates = self._judged_by(Judge(shape, None, self._subject, depth=self._query.depth))
        ids = sorted(id_ for id_ in named if id_ > self._after)
        size = min(IDS_PER_PAGE_MAX, max(CHECKS_AT_ONCE, self._wanted))
        for start in range(0, len(ids), size):
            part = ids[start : start + size]
            known = await self._known_among(part)
            yield await candidates.judged([(id_, ()) for id_ in part if id_ in known])

    def _new_walk(self, shape: Shape, scope: Scope) -> Walk:
        return Walk(
            shape, self._subject, self._facts, self._context, scope=scope, nodes_max=WALK_NODES_MAX
        )

    def _sources(self, shape: Shape, walk: Walk) -> Iterable[IdSource]:
        return reached(shape, walk, self._subject, self._facts, self._context)

    def _judged_by(self, judge: Judge) -> Candidates:
        own = OwnFacts(self._sent, self._query.context.data)
        self._candidates = Candidates(judge, self._facts, self._memo, own, wanted=self._wanted)
        return self._candidates

    async def _read_known(self, after: str, limit: int) -> IdPage:
        return await self._facts.known(self._query.entity_type, after=after, limit=limit)

    async def _known_among(self, ids: Sequence[str]) -> set[str]:
        known = self._known_by_request()
        behind, more = "", True
        while more:
            stored, more = await self._facts.known(
                self._query.entity_type, after=behind, limit=IDS_PER_PAGE_MAX, among=ids
            )
            known.update(stored)
            behind = stored[-1] if stored else behind
        return known

    def _known_by_request(self) -> set[str]:
        """The ids that the request itself makes known."""
        ids = self._context.known(self._query.entity_type)
        if self._subject.type == self._query.entity_type:
            ids.add(self._subject.id)
        return ids

    async def _checked(self, part: Sequence[Candidate]) -> dict[str, Verdict]:
        """The verdicts of the candidates that are not sure."""
        unsure = [id_ for id_, sure in part if not sure]
        queries = [self._question(id_) for id_ in unsure]
        verdicts = await check_many(self._plan, queries, self._memo, limits=self._limits)
        return dict(zip(unsure, verdicts, strict=True))

    def _question(self, id_: str) -> CheckQuery:
        query = self._query
        entity = Entity(query.entity_type, id_)
        return CheckQuery(
            entity, query.permission, self._subject, context=query.context, depth=query.depth
        )
