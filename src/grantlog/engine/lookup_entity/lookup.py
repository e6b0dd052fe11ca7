"""Looking up entities: candidates in the order of ids, and a check where nothing less can tell."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Final

from grantlog.engine.conform import plain_subject
from grantlog.engine.contextual import arrange
from grantlog.engine.lookup_entity.backwards import ContextBackwards
from grantlog.engine.lookup_entity.candidates import Candidates
from grantlog.engine.lookup_entity.merge import SEEN, Merge, Source
from grantlog.engine.lookup_entity.shape import Shape
from grantlog.engine.lookup_entity.walk import NO_SCOPE, Scope, Walk
from grantlog.engine.many import FactMemo, check_many
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
from grantlog.errors import GrantlogError, NotFoundError
from grantlog.model.tuples import Entity, Subject
from grantlog.ports.reverse import IDS_PER_PAGE_MAX, IdPage

CHECKS_AT_ONCE: Final = 100
"""Candidates that are decided together."""

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


async def lookup_entities(
    plan: Plan,
    query: EntityQuery,
    facts: LookupFacts,
    *,
    after: str = "",
    wanted: int = IDS_PER_PAGE_MAX,
    limits: Limits = DEFAULT_LIMITS,
) -> AsyncIterator[str]:
    """The ids behind `after` that a check allows, in the order of their bytes, each once.

    Known ids are candidates: those of the type in any fact, on either side of a tuple, stored or
    contextual, and the subject's own. Where facts bound the answer, candidates are those that a
    chain of facts leads to from the subject; a check of any other is denied, or too deep to tell.
    A type or permission that the schema lacks has no entities.

    Args:
        plan: of the schema version that the answer stands on.
        query: the question.
        facts: what is read, at one revision.
        after: ids up to this one are left out.
        wanted: about how many ids will be taken: how far to read ahead.
        limits: the bounds of every check.

    Raises:
        InvalidInputError: the depth is out of range, or the name cannot be asked like this.
        DepthExceededError, RuleFailedError, LimitError: a candidate's check has no answer.
        LimitError: the lookup passes through more than `WALK_NODES_MAX` entities.
    """
    require_depth(query.depth)
    try:
        step = plan.find(query.entity_type, query.permission)
    except NotFoundError:
        return
    lookup = _Lookup(plan, query, facts, limits)
    passed = {type_: ids for type_, ids in query.scope.items() if type_ != query.entity_type}
    shape = Shape(step, passed)
    if query.scope and (not passed or step.number in shape.open):
        windows = lookup.scoped(after, wanted)
    elif step.number in shape.open:
        windows = lookup.everything(after, wanted)
    else:
        windows = lookup.reached(shape, passed, after, wanted)
    async for window in windows:
        async for id_ in lookup.decide(window):
            yield id_


class _Lookup:
    """The parts of one lookup."""

    def __init__(self, plan: Plan, query: EntityQuery, facts: LookupFacts, limits: Limits) -> None:
        self._plan = plan
        self._query = query
        self._subject = plain_subject(query.subject)
        self._facts = facts
        self._limits = limits
        self._memo = FactMemo(facts.fetch)
        self._context = ContextBackwards(arrange(plan, query.context), query.context)

    async def reached(
        self, shape: Shape, passed: Scope, after: str, wanted: int
    ) -> AsyncIterator[list[tuple[str, bool]]]:
        """Those that facts lead to."""
        walk = Walk(
            shape,
            self._subject,
            self._facts,
            self._context,
            scope=passed,
            nodes_max=WALK_NODES_MAX,
        )
        await walk.run()
        own = self._query.scope.get(self._query.entity_type)
        candidates = Candidates(shape, walk, self._subject, self._facts, self._context)
        depth = None if passed else self._query.depth  # what was left out may take away
        async for window in candidates.windows(after=after, wanted=wanted, depth=depth):
            yield window if own is None else [found for found in window if found[0] in own]

    async def everything(self, after: str, wanted: int) -> AsyncIterator[list[tuple[str, bool]]]:
        """All known ids."""
        entity_type = self._query.entity_type

        async def read(after: str, limit: int) -> IdPage:
            return await self._facts.known(entity_type, after=after, limit=limit)

        sources = [Source(SEEN, ids=self._sent()), Source(SEEN, read=read)]
        merge = Merge(sources, self._facts, after=after, wanted=wanted)
        while (window := await merge.window()) is not None:
            yield [(id_, False) for id_ in window]

    async def scoped(self, after: str, wanted: int) -> AsyncIterator[list[tuple[str, bool]]]:
        """The known ids among those that the scope names, or all where it names none."""
        named = self._query.scope.get(self._query.entity_type)
        if named is None:
            async for window in self.everything(after, wanted):
                yield window
            return
        sent = self._sent()
        ids = sorted(id_ for id_ in named if id_ > after)
        for start in range(0, len(ids), IDS_PER_PAGE_MAX):
            part = ids[start : start + IDS_PER_PAGE_MAX]
            known = set(sent)
            behind, more = "", True
            while more:
                stored, more = await self._facts.known(
                    self._query.entity_type, after=behind, limit=IDS_PER_PAGE_MAX, among=part
                )
                known.update(stored)
                behind = stored[-1] if stored else behind
            yield [(id_, False) for id_ in part if id_ in known]

    def _sent(self) -> set[str]:
        """The ids that the request itself makes known."""
        ids = self._context.known(self._query.entity_type)
        if self._subject.type == self._query.entity_type:
            ids.add(self._subject.id)
        return ids

    async def decide(self, window: list[tuple[str, bool]]) -> AsyncIterator[str]:
        """The allowed ones of a window; what is not sure is checked, some at a time."""
        for part in _parts(window):
            unsure = [id_ for id_, sure in part if not sure]
            queries = [self._question(id_) for id_ in unsure]
            verdicts = await check_many(self._plan, queries, self._memo, limits=self._limits)
            found = dict(zip(unsure, verdicts, strict=True))
            for id_, _ in part:
                verdict = found.get(id_)
                if isinstance(verdict, GrantlogError):
                    raise verdict
                if verdict is None or verdict.allowed:
                    yield id_

    def _question(self, id_: str) -> CheckQuery:
        query = self._query
        entity = Entity(query.entity_type, id_)
        return CheckQuery(
            entity, query.permission, self._subject, context=query.context, depth=query.depth
        )


def _parts(window: list[tuple[str, bool]]) -> Iterable[list[tuple[str, bool]]]:
    """A window in parts that hold at most `CHECKS_AT_ONCE` to be checked."""
    part: list[tuple[str, bool]] = []
    unsure = 0
    for candidate in window:
        part.append(candidate)
        unsure += not candidate[1]
        if unsure == CHECKS_AT_ONCE:
            yield part
            part, unsure = [], 0
    if part:
        yield part
