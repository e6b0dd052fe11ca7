"""Many checks at once: each is decided as if it were alone, and what they read is read once.

The checks run in lockstep. Each goes on until it lacks facts; what all of them lack is fetched in
one batch; what one has learnt the others do not ask for again. Nodes are not shared: a node keeps
the largest budget of any chain that leads to it, and chains of another question must not lend it
theirs. So every answer, and every error, is the one that `check` gives.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from typing import Any, Final, TypeAlias

from grantlog.engine.check import Decision, FactFetch, decide
from grantlog.engine.plan import Plan
from grantlog.engine.question import DEFAULT_LIMITS, CheckQuery, CheckResult, Limits
from grantlog.errors import CorruptionError, GrantlogError
from grantlog.ports.facts import FactAnswer, FactKey, SubjectPage, UsersetsKey

FACTS_REMEMBERED_MAX: Final = 200_000
"""Answers, and subjects in them, that are kept for further checks of one request; with more, all
are forgotten and read again."""

CHECKS_AT_ONCE: Final = 100
"""Candidates of a lookup that are decided together."""

_TURN: Final = 20
"""Checks that are moved on before others on the event loop have their turn."""


class FactMemo:
    """Answers to the keys of one request, all at one revision."""

    def __init__(self, fetch: FactFetch, *, facts_max: int = FACTS_REMEMBERED_MAX) -> None:
        self._fetch = fetch
        self._facts_max = facts_max
        self._facts = 0
        # Those to a UsersetsKey apart, for it equals the SubjectsKey of its fields.
        self._known: tuple[dict[FactKey, FactAnswer], dict[FactKey, FactAnswer]] = ({}, {})

    @property
    def size(self) -> int:
        """How many answers, and subjects in them, it holds."""
        return self._facts

    def recall(self, keys: Sequence[FactKey]) -> Sequence[FactAnswer] | None:
        """The answers to the keys if all are known."""
        others, usersets = self._known
        try:
            return [(usersets if type(key) is UsersetsKey else others)[key] for key in keys]
        except KeyError:
            return None

    async def learn(self, wanted: Iterable[Sequence[FactKey]]) -> list[Sequence[FactAnswer]]:
        """The answers to several lists of keys; what is unknown is fetched in one batch."""
        asked = list(wanted)
        others, usersets = self._known
        missing: dict[tuple[bool, FactKey], FactKey] = {}
        for key in (key for keys in asked for key in keys):
            apart = type(key) is UsersetsKey
            if key not in (usersets if apart else others):
                missing.setdefault((apart, key), key)
        if missing:
            answers = await self._fetch(list(missing.values()))
            for (apart, key), answer in zip(missing, answers, strict=True):
                (usersets if apart else others)[key] = answer
                self._facts += 1 + (len(answer.subjects) if isinstance(answer, SubjectPage) else 0)
        learnt: list[Sequence[FactAnswer]] = [
            [(usersets if type(key) is UsersetsKey else others)[key] for key in keys]
            for keys in asked
        ]
        if self._facts > self._facts_max:
            others.clear()
            usersets.clear()
            self._facts = 0
        return learnt


class _Ask:
    """What a check awaits when it lacks facts; the driver sends the answers."""

    __slots__ = ("keys",)

    def __init__(self, keys: Sequence[FactKey]) -> None:
        self.keys = keys

    def __await__(self) -> Generator[_Ask, Sequence[FactAnswer], Sequence[FactAnswer]]:
        return (yield self)


Verdict: TypeAlias = CheckResult | GrantlogError
Decided: TypeAlias = Decision | GrantlogError
_Check: TypeAlias = Coroutine[Any, Any, Decision]
_Asking: TypeAlias = tuple[int, _Check, Sequence[FactKey]]


Candidate: TypeAlias = tuple[str, bool]
"""An id, and whether it is allowed for sure; a check decides the others."""


def in_parts(candidates: Sequence[Candidate]) -> Iterator[list[Candidate]]:
    """Candidates in parts that hold at most `CHECKS_AT_ONCE` to be checked."""
    part: list[Candidate] = []
    unsure = 0
    for candidate in candidates:
        part.append(candidate)
        unsure += not candidate[1]
        if unsure == CHECKS_AT_ONCE:
            yield part
            part, unsure = [], 0
    if part:
        yield part


def allowed_among(
    candidates: Sequence[Candidate], verdicts: Mapping[str, Verdict]
) -> tuple[list[str], GrantlogError | None]:
    """The ids that are allowed before the first whose check is an error, and that error.

    Args:
        candidates: a part of them.
        verdicts: of the checks of those that are not sure.
    """
    if not verdicts:
        return [id_ for id_, _ in candidates], None
    ids: list[str] = []
    for id_, _ in candidates:
        verdict = verdicts.get(id_)
        if isinstance(verdict, GrantlogError):
            return ids, verdict
        if verdict is None or verdict.allowed:
            ids.append(id_)
    return ids, None


async def one_by_one(parts: AsyncGenerator[Sequence[str]]) -> AsyncGenerator[str]:
    """The ids of a lookup's parts, which are closed with it; errors are theirs."""
    async with aclosing(parts) as some:
        async for part in some:
            for id_ in part:
                yield id_


async def check_many(
    plan: Plan,
    queries: Sequence[CheckQuery],
    memo: FactMemo,
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> list[Verdict]:
    """Decide every query; the verdicts are in the queries' order. As `decide_many`."""
    decided = await decide_many(plan, queries, memo, limits=limits)
    return [each.result if isinstance(each, Decision) else each for each in decided]


async def decide_many(
    plan: Plan,
    queries: Sequence[CheckQuery],
    memo: FactMemo,
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> list[Decided]:
    """Decide every query; the decisions are in the queries' order.

    An error that `decide` raises about a query stands in its place. Errors of reading facts are
    raised: they are about all.
    """
    checks: list[_Check] = [decide(plan, query, _Ask, limits=limits) for query in queries]
    verdicts: dict[int, Decided] = {}
    going: list[tuple[int, _Check, Sequence[FactAnswer] | None]]
    going = [(place, running, None) for place, running in enumerate(checks)]
    try:
        while going:
            asking: list[_Asking] = []
            for turn, (place, running, answers) in enumerate(going, 1):
                verdict = await _move(running, answers, memo)
                if isinstance(verdict, _Ask):
                    asking.append((place, running, verdict.keys))
                else:
                    verdicts[place] = verdict
                if turn % _TURN == 0:
                    await asyncio.sleep(0)
            learnt = await memo.learn(keys for _, _, keys in asking) if asking else ()
            going = [(p, c, answers) for (p, c, _), answers in zip(asking, learnt, strict=True)]
    finally:
        for running in checks:
            running.close()
    return [verdicts[place] for place in range(len(queries))]


async def _move(
    running: _Check, answers: Sequence[FactAnswer] | None, memo: FactMemo
) -> Decided | _Ask:
    """Bring one check as far as known facts do: to its verdict, or to what it asks for."""
    while True:
        try:
            wanted: object = running.send(answers)
        except StopIteration as done:
            return done.value
        except GrantlogError as error:
            return error
        if wanted is None:  # a long evaluation lets others have their turn
            await asyncio.sleep(0)
            answers = None
            continue
        if not isinstance(wanted, _Ask):
            raise CorruptionError("a check awaited something that is not a fact")
        answers = memo.recall(wanted.keys)
        if answers is None:
            return wanted
