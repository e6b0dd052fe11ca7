"""Checks answered through the caches: what is known, what follows from it, then the store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from grantlog.app.cached import CachedFacts, Caches
from grantlog.app.schema_cache import LoadedSchema
from grantlog.cache.clock import Cause
from grantlog.cache.recall import Recall
from grantlog.cache.relations import RelationCache
from grantlog.cache.results import KeptResult, ResultKey, kept_result, result_key, result_keys
from grantlog.engine.check import Decision, decide
from grantlog.engine.conform import plain_subject
from grantlog.engine.many import FactMemo, decide_many
from grantlog.engine.question import NO_CONTEXT, CheckQuery, CheckResult, require_depth
from grantlog.engine.steps import Step
from grantlog.errors import GrantlogError, InvalidInputError, NotFoundError
from grantlog.model.ids import TenantId
from grantlog.model.tuples import Subject
from grantlog.ports.heads import Head
from grantlog.ports.standing import Source, note_source

LOOKS_PER_TURN: Final = 1_000
"""What a call of many questions spends in memory before others have their turn: about 1 ms."""

MISTAKES: Final = (InvalidInputError, NotFoundError)
"""What one of many questions may get wrong, which is its own answer and no other's."""


class CachedChecks:
    """Checks of one tenant at one place: the result cache, then the relation cache, then the store.

    What memory answers is answered without giving way to anybody.
    """

    __slots__ = (
        "_at",
        "_clock",
        "_facts",
        "_follower",
        "_has_reached",
        "_is_behind",
        "_loaded",
        "_recalls",
        "_relations",
        "_results",
        "_spent",
        "_steps",
        "_tenant",
        "_under_way",
    )

    def __init__(
        self, caches: Caches, tenant: TenantId, head: Head, loaded: LoadedSchema, facts: CachedFacts
    ) -> None:
        self._results = caches.results
        self._relations = caches.relations
        self._under_way = caches.under_way
        self._follower = caches.follower
        self._tenant = tenant
        self._at = head.revision
        self._loaded = loaded
        self._facts = facts
        self._clock = facts.clock
        self._has_reached = self._is_behind = False
        self._spent = 0
        self._recalls: dict[tuple[Subject, int], Recall] = {}
        self._steps: dict[tuple[str, str, tuple[str, ...]], Step] = {}

    async def check(self, query: CheckQuery) -> CheckResult:
        """As `engine.check`."""
        require_depth(query.depth)
        key = self._key(query)
        found = self._find(key, query)
        if found is Cause.AHEAD and await self._has_caught_up():
            found = self._find(key, query)
        self._count(found)
        if not isinstance(found, Cause):
            note_source(Source.CACHE)
            return found
        result = self._recall(query, key)
        if result is None and self._is_behind and await self._has_caught_up():
            result = self._recall(query, key)
        if result is not None:
            note_source(Source.CACHE)
            return result
        if key is None:
            return await self._decide(query, key)
        flight = (key, self._at, query.depth)
        return await self._under_way.once(flight, lambda: self._decide(query, key))

    async def _decide(self, query: CheckQuery, key: ResultKey | None) -> CheckResult:
        """Let the engine decide, and keep the answer."""
        decision = await decide(self._loaded.plan, query, self._facts.fetch)
        self._keep(key, decision)
        if not self._facts.reads:
            note_source(Source.CACHE)
        return decision.result

    async def check_many(self, queries: Sequence[CheckQuery]) -> list[CheckResult | GrantlogError]:
        """As `engine.check_many`; what the questions read they share.

        Raises:
            InvalidInputError: a depth is out of range.
        """
        for depth in {query.depth for query in queries}:
            require_depth(depth)
        keys = self._keys(queries)
        found = self._find_many(keys, queries)
        if Cause.AHEAD in found and await self._has_caught_up():
            found = self._find_many(keys, queries)
        answers: list[CheckResult | GrantlogError | None] = []
        places: list[int] = []
        for place, each in enumerate(found):
            self._count(each)
            if isinstance(each, Cause):
                places.append(place)
                answers.append(None)
            else:
                answers.append(each)
        places = await self._recall_many(places, queries, keys, answers)
        if places and self._is_behind and await self._has_caught_up():
            places = await self._recall_many(places, queries, keys, answers)
        if places:
            memo = FactMemo(self._facts.fetch)
            rest = [queries[place] for place in places]
            decided = await decide_many(self._loaded.plan, rest, memo)
            for place, each in zip(places, decided, strict=True):
                if isinstance(each, Decision):
                    self._keep(keys[place], each)
                answers[place] = each.result if isinstance(each, Decision) else each
        if not self._facts.reads:
            note_source(Source.CACHE)
        return [answer for answer in answers if answer is not None]

    async def _recall_many(
        self,
        places: Sequence[int],
        queries: Sequence[CheckQuery],
        keys: Sequence[ResultKey | None],
        answers: list[CheckResult | GrantlogError | None],
    ) -> list[int]:
        """Answer questions from memory; the places of those that this is not enough for."""
        left: list[int] = []
        for place in places:
            try:
                result = answers[place] = self._recall(queries[place], keys[place])
            except MISTAKES:  # the engine says it in the question's place
                result = None
            if result is None:
                left.append(place)
            if self._spent >= LOOKS_PER_TURN:
                self._spent = 0
                await asyncio.sleep(0)
        return left

    def _recall(self, query: CheckQuery, key: ResultKey | None) -> CheckResult | None:
        """The answer that follows from what the relation cache holds; None if that is not enough.

        Raises:
            NotFoundError, InvalidInputError: as `Plan.find`.
        """
        relations, context = self._relations, query.context
        if relations is None or (
            context is not NO_CONTEXT and (context.tuples or context.attributes)
        ):
            return None
        (type_, id_), permission, subject, arguments, _, depth = query
        step = self._step(type_, permission, arguments)
        whose = (subject, id(context))
        recall = self._recalls.get(whose) or self._new_recall(whose, query, relations)
        if recall is None:
            return None
        found = recall.decide(step, id_, depth)
        self._spent += recall.spent
        if found is None:
            self._is_behind |= recall.is_behind
            return None
        relations.count_hits(len(found.reads))
        kept = kept_result(found.allowed, found.looked, found.depth)
        if self._results is not None and key is not None:
            self._results.keep_recalled(key, kept, self._at, found.reads)
        return kept.result

    def _step(self, type_: str, name: str, arguments: tuple[str, ...]) -> Step:
        """As `Plan.find`, which looks through more than one map."""
        asked = (type_, name, arguments)
        step = self._steps.get(asked)
        if step is None:
            step = self._steps[asked] = self._loaded.plan.find(type_, name, arguments)
        return step

    def _new_recall(
        self, whose: tuple[Subject, int], query: CheckQuery, relations: RelationCache
    ) -> Recall | None:
        """Where a subject's questions with the same `context.data` are decided from memory."""
        clock = self._clock
        if clock is None:
            return None
        subject = plain_subject(query.subject)
        recall = Recall(relations, clock, self._at, subject, query.context.data)
        self._recalls[whose] = recall
        return recall

    async def _has_caught_up(self) -> bool:
        """Bring the clock to the question's revision, once; False if nothing can be new."""
        if self._follower is None or self._clock is None or self._has_reached:
            return False
        self._has_reached = True
        self._recalls.clear()
        await self._follower.reach(self._tenant, self._clock, self._at)
        return True

    def _key(self, query: CheckQuery) -> ResultKey | None:
        if self._results is None or self._clock is None:
            return None
        return result_key(self._clock, self._loaded.version, query)

    def _keys(self, queries: Sequence[CheckQuery]) -> Sequence[ResultKey | None]:
        if self._results is None or self._clock is None:
            return [None] * len(queries)
        return result_keys(self._clock, self._loaded.version, queries)

    def _find_many(
        self, keys: Sequence[ResultKey | None], queries: Sequence[CheckQuery]
    ) -> list[CheckResult | Cause]:
        if self._results is None or self._clock is None:
            return [Cause.ABSENT] * len(queries)
        return self._results.find_many(self._clock, keys, self._at, queries)

    def _find(self, key: ResultKey | None, query: CheckQuery) -> CheckResult | Cause:
        if key is None or self._results is None or self._clock is None:
            return Cause.ABSENT
        return self._results.find(self._clock, key, self._at, query.depth)

    def _count(self, found: CheckResult | Cause) -> None:
        if self._results is not None and self._clock is not None:
            self._results.count(found)

    def _keep(self, key: ResultKey | None, decision: Decision) -> None:
        if self._results is not None and key is not None:
            kept = KeptResult(decision.result, decision.depth)
            self._results.keep(key, kept, self._at, decision.reads)
