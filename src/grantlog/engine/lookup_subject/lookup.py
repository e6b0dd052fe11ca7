"""Looking up subjects: who is allowed for sure, in order, and a check of those in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from grantlog.engine.conform import ELLIPSIS
from grantlog.engine.contextual import arrange
from grantlog.engine.graph import Graph
from grantlog.engine.lookup_subject.gather import Gathering
from grantlog.engine.lookup_subject.solve import Solution
from grantlog.engine.many import (
    Candidate,
    FactMemo,
    Verdict,
    allowed_among,
    check_many,
    in_parts,
)
from grantlog.engine.merge import Merge, Source
from grantlog.engine.node import Node
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
from grantlog.model.tuples import Entity, Subject
from grantlog.ports.reverse import IDS_PER_PAGE_MAX, IdPage, OfKindKey

SUBJECTS_MAX: Final = 1_000_000
"""Usersets, and subjects that arrows lead to, that a lookup may pass through."""

_TURN = 500

_Source = Source[OfKindKey, Node | None]
_Merge = Merge[OfKindKey, Node | None]
"""The mark of an id is a relation that holds it; None if the id is just one to look at."""


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


class SubjectLookup:
    """One lookup, from which ids can be taken as long as they are wanted.

    Known subjects are candidates: those of tuples, stored or contextual, with exactly the type and
    relation asked for.
    """

    def __init__(
        self,
        plan: Plan,
        query: SubjectQuery,
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
            limits: the bounds of every check, and of the nodes that are looked at.
        """
        if query.subject_relation == ELLIPSIS:
            query = replace(query, subject_relation="")
        self._plan = plan
        self._query = query
        self._facts = facts
        self._after = after
        self._wanted = wanted
        self._limits = limits
        self._kind = (query.subject_type, query.subject_relation)
        self._memo = FactMemo(facts.fetch)
        self._own: frozenset[str] = frozenset()
        """Ids of subjects that are nodes themselves: a check of theirs looks at other nodes."""
        self._nodes = 0
        self._merge: _Merge | None = None

    @property
    def held(self) -> int:
        """How many nodes, subjects and facts it holds: what it costs to keep it open."""
        buffered = self._merge.buffered if self._merge is not None else 0
        return self._nodes + buffered + self._memo.size

    async def parts(self) -> AsyncGenerator[list[str]]:
        """The ids that a check allows, in the order of their bytes, each once, some at a time.

        Those before one that raises are given first.

        Raises:
            NotFoundError: the schema has no such entity type or name.
            InvalidInputError: the depth is out of range, or the name cannot be asked like this.
            DepthExceededError, RuleFailedError, LimitError: a candidate's check has no answer.
            LimitError: the lookup passes through more than `SUBJECTS_MAX` subjects.
        """
        require_depth(self._query.depth)
        gathering = await self._gathered()
        solution = Solution(gathering)
        await solution.prepare()
        self._nodes = len(solution.nodes)
        self._own = frozenset(
            node.id
            for node in solution.nodes
            if not isinstance(node.step, ArrowStep)
            and (node.step.type, node.step.name) == self._kind
        )
        merge = self._merge = await self._merged(gathering, everyone=solution.is_open)
        while (window := await merge.window()) is not None:
            candidates = await self._candidates(window, solution)
            for part in in_parts(candidates):
                ids, error = allowed_among(part, await self._checked(part))
                if ids:
                    yield ids
                if error is not None:
                    raise error

    async def _gathered(self) -> Gathering:
        """All nodes in reach."""
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
        return gathering

    async def _merged(self, gathering: Gathering, *, everyone: bool) -> _Merge:
        """The known subjects that may be allowed, each with the nodes that hold it."""
        # Those that are nodes themselves are always candidates, if they are known.
        own = await self._known_among(sorted(self._own))
        sources: list[_Source] = [_Source(None, ids=own)]
        if everyone:
            sources += [_Source(None, ids=self._sent()), _Source(None, read=self._read_known)]
        for turn, node in enumerate(gathering.holders, 1):
            sources.append(_Source(node, key=OfKindKey(*_place(node), *self._kind)))
            if node in gathering.sent:
                sources.append(_Source(node, ids=gathering.sent[node]))
            if turn % _TURN == 0:
                await asyncio.sleep(0)

        async def read(keys: Sequence[OfKindKey], limit: int) -> Sequence[IdPage]:
            return await self._facts.of_kind(keys, limit=limit)

        return _Merge(sources, read, after=self._after, wanted=self._wanted)

    async def _candidates(
        self, window: Mapping[str, Sequence[Node | None]], solution: Solution
    ) -> list[Candidate]:
        """Those of a window that may be allowed, and whether they are for sure."""
        own = self._own
        ids = list(window)
        found: list[Candidate] = []
        for start in range(0, len(ids), solution.ids_max):
            some = ids[start : start + solution.ids_max]
            holding: dict[Node, set[str]] = {}
            for id_ in some:
                for node in window[id_]:
                    if node is not None:
                        holding.setdefault(node, set()).add(id_)
            may, sure = await solution.of({n: frozenset(held) for n, held in holding.items()})
            found += [
                (id_, id_ in sure and id_ not in own) for id_ in some if id_ in may or id_ in own
            ]
        return found

    def _sent(self) -> set[str]:
        found = (fact.subject for fact in self._query.context.tuples)
        plain = ("", ELLIPSIS) if not self._kind[1] else (self._kind[1],)
        return {s.id for s in found if s.type == self._kind[0] and s.relation in plain}

    async def _read_known(self, after: str, limit: int) -> IdPage:
        return await self._facts.subjects(*self._kind, after=after, limit=limit)

    async def _known_among(self, ids: list[str]) -> set[str]:
        """Those of the ids that are known."""
        known = self._sent().intersection(ids)
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

    async def _checked(self, part: Sequence[Candidate]) -> dict[str, Verdict]:
        """The verdicts of those that are not sure."""
        unsure = [id_ for id_, sure in part if not sure]
        queries = [self._question(id_) for id_ in unsure]
        verdicts = await check_many(self._plan, queries, self._memo, limits=self._limits)
        return dict(zip(unsure, verdicts, strict=True))

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


def _place(node: Node) -> tuple[str, str, str]:
    """The relation that a node is: entity type, entity id, name."""
    return node.step.type, node.id, node.step.name
