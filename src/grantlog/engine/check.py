"""Check: does a subject hold a permission on an entity?

The evaluation itself is synchronous; here it meets the event loop. A relation cache belongs around
`fetch`, a result cache around `decide`: an answer is a pure function of plan, query and facts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from grantlog.engine.conform import plain_subject
from grantlog.engine.contextual import arrange
from grantlog.engine.cycles import decide_cycles
from grantlog.engine.evaluation import Evaluation
from grantlog.engine.plan import Plan
from grantlog.engine.question import (
    DEFAULT_LIMITS,
    CheckQuery,
    CheckResult,
    Limits,
    require_depth,
)
from grantlog.errors import GrantlogError
from grantlog.ports.facts import FactAnswer, FactKey

FactFetch: TypeAlias = Callable[[Sequence[FactKey]], Awaitable[Sequence[FactAnswer]]]
"""Answers every key, in order, all as of one revision. Called once per level, never with none."""


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer with what it rests on.

    Attributes:
        result: the answer.
        depth: a question that may go so deep, or deeper, has the same answer.
        reads: every fact that was asked for.
    """

    result: CheckResult
    depth: int
    reads: Sequence[FactKey]


async def check(
    plan: Plan, query: CheckQuery, fetch: FactFetch, *, limits: Limits = DEFAULT_LIMITS
) -> CheckResult:
    """Decide whether a subject holds a permission on an entity; errors as `decide`."""
    return (await decide(plan, query, fetch, limits=limits)).result


async def decide(
    plan: Plan, query: CheckQuery, fetch: FactFetch, *, limits: Limits = DEFAULT_LIMITS
) -> Decision:
    """Decide whether a subject holds a permission on an entity.

    The answer, and which error, depends on the schema, the facts and the query alone; `fetch` may
    be asked for facts that turn out not to matter.

    Raises:
        NotFoundError: the schema has no such entity type or name.
        InvalidInputError: the depth is out of range, or the name cannot be asked like this.
        DepthExceededError: the depth ran out, or the answer hangs on its own denial.
        RuleFailedError: a rule that matters could not be evaluated.
        LimitError: one of `limits` was reached.
    """
    require_depth(query.depth)
    subject = plain_subject(query.subject)
    if subject is not query.subject:
        query = query._replace(subject=subject)
    step = plan.find(query.entity.type, query.permission, query.arguments)
    run = Evaluation(step, query, arrange(plan, query.context), limits)
    await _run(run, fetch)
    if run.graph.root.outcome is None and run.graph.cut:
        if run.graph.skipped:
            # What was skipped may hold a shorter chain to a node that is cut.
            run = run.thoroughly()
            await _run(run, fetch)
        run.give_up_cut()
        await _run(run, fetch)
    for _ in decide_cycles(run.graph):
        await asyncio.sleep(0)
    outcome = run.graph.root.outcome
    if isinstance(outcome, GrantlogError):
        raise outcome
    result = CheckResult(allowed=outcome is True, check_count=run.seen)
    return Decision(result, run.depth_taken, run.reads)


async def _run(run: Evaluation, fetch: FactFetch) -> None:
    """Evaluate as far as facts can bring it."""
    while True:
        for _ in run.advance():
            await asyncio.sleep(0)
        if run.graph.root.outcome is not None:
            return
        keys = run.wanted()
        if not keys:
            return
        run.learn(await fetch(keys))
