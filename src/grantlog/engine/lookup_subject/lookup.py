"""Looking up subjects: who is allowed for sure, in order, and a check of those in between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Final

from grantlog.engine.conform import ELLIPSIS
from grantlog.engine.contextual import arrange
from grantlog.engine.graph import Graph
from grantlog.engine.lookup_subject.gather import Gathering
from grantlog.engine.lookup_subject.sets import SubjectSet
from grantlog.engine.lookup_subject.solve import Solution
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
from grantlog.engine.steps import ArrowStep
from grantlog.errors import GrantlogError
from grantlog.model.tuples import Entity, Subject
from grantlog.ports.reverse import IDS_PER_PAGE_MAX

CHECKS_AT_ONCE: Final = 100
"""Candidates that are decided together."""

SUBJECTS_MAX: Final = 1_000_000
"""Subjects that a lookup may read."""


@dataclass(frozen=True, slots=True)
class SubjectQuery:
    """Which subjects of a kind hold the permission on the entity?

    Attributes:
        subject_type: the subjects' type.
        subject_relation: their relation, "" for plain entities.
        arguments: of a rule asked by its own name, as of a check.
    """

    entity: Entity
    permission: str
    subject_type: str
    subject_relation: str = ""
    arguments: tuple[str, ...] = ()
    context: RequestContext = NO_CONTEXT
    depth: int = DEPTH_DEFAULT


async def lookup_subjects(
    plan: Plan,
    query: SubjectQuery,
    facts: LookupFacts,
    *,
    after: str = "",
    wanted: int = IDS_PER_PAGE_MAX,
    limits: Limits = DEFAULT_LIMITS,
) -> AsyncIterator[str]:
    """The ids behind `after` that a check allows, in the order of their bytes, each once.

    Known subjects are candidates: those of tuples, stored or contextual, with exactly the type and
    relation asked for.

    Args:
        plan: of the schema version that the answer stands on.
        query: the question.
        facts: what is read, at one revision.
        after: ids up to this one are left out.
        wanted: about how many ids will be taken: how far to read ahead.
        limits: the bounds of every check, and of the nodes that are looked at.

    Raises:
        NotFoundError: the schema has no such entity type or name.
        InvalidInputError: the depth is out of range, or the name cannot be asked like this.
        DepthExceededError, RuleFailedError, LimitError: a candidate's check has no answer.
        LimitError: the lookup reads more than `SUBJECTS_MAX` subjects.
    """
    require_depth(query.depth)
    if query.subject_relation == ELLIPSIS:
        query = replace(query, subject_relation="")
    lookup = _Lookup(plan, query, facts, limits)
    may, sure = await lookup.sets()
    async for candidates in lookup.candidates(may, after, wanted):
        async for id_ in lookup.decide(candidates, sure):
            yield id_


class _Lookup:
    """The parts of one lookup."""

    def __init__(self, plan: Plan, query: SubjectQuery, facts: LookupFacts, limits: Limits) -> None:
        self._plan = plan
        self._query = query
        self._facts = facts
        self._limits = limits
        self._kind = (query.subject_type, query.subject_relation)
        self._memo = FactMemo(facts.fetch)
        self._own: frozenset[str] = frozenset()
        """Ids of subjects that are nodes themselves: a check of theirs looks at other nodes."""

    async def sets(self) -> tuple[SubjectSet, SubjectSet]:
        """Who may be allowed, and who is for sure."""
        plan, query = self._plan, self._query
        step = plan.find(query.entity.type, query.permission, query.arguments)
        graph = Graph(
            step,
            query.entity.id,
            depth=query.depth,
            nodes_max=self._limits.nodes_max,
            thorough=True,
        )
        gathering = Gathering(
            graph,
            self._kind,
            self._facts,
            sent=arrange(plan, query.context),
            context=query.context,
            subjects_max=SUBJECTS_MAX,
        )
        await gathering.run()
        solution = Solution(gathering)
        await solution.run()
        self._own = frozenset(
            node.id
            for node in solution.may
            if not isinstance(node.step, ArrowStep)
            and (node.step.type, node.step.name) == self._kind
        )
        own = SubjectSet(self._own)
        return solution.may[graph.root] | own, solution.sure[graph.root] - own

    async def candidates(
        self, may: SubjectSet, after: str, wanted: int
    ) -> AsyncIterator[list[str]]:
        """The known subjects behind an id that may be allowed, in order, some at a time."""
        if may.is_open:
            async for ids in self._known(after, wanted):
                yield [id_ for id_ in ids if id_ in may]
            return
        # Every other id of the set was found as the subject of a tuple: it is known.
        strange = self._own - await self._known_among(sorted(self._own))
        yield sorted(id_ for id_ in may.ids if id_ > after and id_ not in strange)

    def _sent(self) -> set[str]:
        found = (fact.subject for fact in self._query.context.tuples)
        plain = ("", ELLIPSIS) if not self._kind[1] else (self._kind[1],)
        return {s.id for s in found if s.type == self._kind[0] and s.relation in plain}

    async def _known(self, after: str, wanted: int) -> AsyncIterator[list[str]]:
        """All known subjects behind an id."""
        sent = sorted(id_ for id_ in self._sent() if id_ > after)
        limit = min(max(wanted + 1, CHECKS_AT_ONCE), IDS_PER_PAGE_MAX)
        more = True
        while more:
            page = await self._facts.subjects(*self._kind, after=after, limit=limit)
            more, end = page.more, page.ids[-1] if page.ids else after
            here = [id_ for id_ in sent if id_ > after and (id_ <= end or not more)]
            yield sorted({*page.ids, *here})
            after = end

    async def _known_among(self, ids: list[str]) -> set[str]:
        known = self._sent()
        for start in range(0, len(ids), IDS_PER_PAGE_MAX):
            part = ids[start : start + IDS_PER_PAGE_MAX]
            after, more = "", True
            while more:
                page = await self._facts.subjects(
                    *self._kind, after=after, limit=IDS_PER_PAGE_MAX, among=part
                )
                known.update(page.ids)
                after, more = page.ids[-1] if page.ids else after, page.more
        return known

    async def decide(self, candidates: list[str], sure: SubjectSet) -> AsyncIterator[str]:
        """The allowed ones; who is not sure is checked, some at a time."""
        for part in _parts(candidates, sure):
            unsure = [id_ for id_ in part if id_ not in sure]
            queries = [self._question(id_) for id_ in unsure]
            verdicts = await check_many(self._plan, queries, self._memo, limits=self._limits)
            found = dict(zip(unsure, verdicts, strict=True))
            for id_ in part:
                verdict = found.get(id_)
                if isinstance(verdict, GrantlogError):
                    raise verdict
                if verdict is None or verdict.allowed:
                    yield id_

    def _question(self, id_: str) -> CheckQuery:
        query = self._query
        type_, relation = self._kind
        return CheckQuery(
            query.entity,
            query.permission,
            Subject(type_, id_, relation),
            query.arguments,
            query.context,
            query.depth,
        )


def _parts(candidates: list[str], sure: SubjectSet) -> Iterator[list[str]]:
    """Candidates in parts that hold at most `CHECKS_AT_ONCE` to be checked."""
    part: list[str] = []
    unsure = 0
    for id_ in candidates:
        part.append(id_)
        unsure += id_ not in sure
        if unsure == CHECKS_AT_ONCE:
            yield part
            part, unsure = [], 0
    if part:
        yield part
