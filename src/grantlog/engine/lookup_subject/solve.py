"""Who may be allowed at each node, and who is for sure.

A check of a subject that is not in a node's `may` is denied there; of one in `sure` it is allowed.
Between the two stand those for whom an error may matter: depth that ran out, a rule that failed, an
answer that hangs on its own denial.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from grantlog.engine.algebra import EXCLUSION, UNION
from grantlog.engine.cycles import Components
from grantlog.engine.lookup_subject.gather import Gathering
from grantlog.engine.lookup_subject.sets import EVERYONE, NOBODY, SubjectSet, union
from grantlog.engine.node import Node
from grantlog.engine.steps import ExpressionStep
from grantlog.errors import DepthExceededError

_TURN = 500

Sets = dict[Node, SubjectSet]


class Solution:
    """The two sets of every node.

    Attributes:
        may: who may be allowed.
        sure: who is allowed for sure.
    """

    def __init__(self, gathering: Gathering) -> None:
        self._gathering = gathering
        self.may: Sets = {}
        self.sure: Sets = {}

    async def run(self) -> None:
        """Solve all nodes, those that others depend on first."""
        for node in self._gathering.graph.cut:
            if node.budget < 0:
                node.outcome = DepthExceededError()
                self.may[node], self.sure[node] = EVERYONE, NOBODY
        search = Components([self._gathering.graph.root])
        turns = 0
        done = 0
        more = True
        while more:
            more = search.step()
            for component in search.found[done:]:
                await self._solve(component, search.edges)
            done = len(search.found)
            turns += 1
            if turns % _TURN == 0:
                await asyncio.sleep(0)

    async def _solve(
        self, component: list[Node], edges: Mapping[Node, Sequence[tuple[Node, bool]]]
    ) -> None:
        members = set(component)
        inside = [e for node in component for e in edges[node] if e[0] in members]
        if any(negative for _, negative in inside):
            # The answers of some subjects hang on their own denial: a check tells whose.
            self.may |= dict.fromkeys(component, EVERYONE)
            self.sure |= dict.fromkeys(component, NOBODY)
            return
        if not inside:
            node = component[0]
            self.may[node] = self._of(node, self.may, self.sure)
            self.sure[node] = self._of(node, self.sure, self.may)
            return
        await self._fixpoint(component, self.may, self.sure)
        await self._fixpoint(component, self.sure, self.may)

    async def _fixpoint(self, component: list[Node], sets: Sets, other: Sets) -> None:
        """The least sets that agree with each other; they only grow."""
        members = set(component)
        sets |= dict.fromkeys(component, NOBODY)
        waiters: dict[Node, list[Node]] = {node: [] for node in component}
        for node in component:
            for child in node.children:
                if child in members:
                    waiters[child].append(node)
        pending = dict.fromkeys(component)
        turns = 0
        while pending:
            node = next(iter(pending))
            del pending[node]
            new = self._of(node, sets, other)
            if new != sets[node]:
                sets[node] = new
                pending |= dict.fromkeys(waiters[node])
            turns += 1
            if turns % _TURN == 0:
                await asyncio.sleep(0)

    def _of(self, node: Node, mine: Sets, other: Sets) -> SubjectSet:
        """A node's set by those of its children; `other` is what is taken away by a `not`."""
        gathering = self._gathering
        wants_all = mine is self.may
        if node in gathering.decided:
            outcome = gathering.decided[node]
            return EVERYONE if outcome or (outcome is None and wants_all) else NOBODY
        if isinstance(node.step, ExpressionStep):
            return _combined(node, mine, other)
        direct = gathering.direct.get(node)
        own = [SubjectSet(frozenset(direct))] if direct else []
        return union([*own, *(mine[child] for child in node.children)])


def _combined(node: Node, mine: Sets, other: Sets) -> SubjectSet:
    step = node.step
    assert isinstance(step, ExpressionStep), "the caller looked"
    # A pair per operand: the set that counts, and the one that counts when it is taken away.
    stack: list[tuple[SubjectSet, SubjectSet]] = []
    for code in step.program:
        if code >= 0:
            child = node.children[code]
            stack.append((mine[child], other.get(child, NOBODY)))
            continue
        right, right_other = stack.pop()
        left, left_other = stack.pop()
        if code == UNION:
            stack.append((left | right, left_other | right_other))
        elif code == EXCLUSION:
            stack.append((left - right_other, left_other - right))
        else:
            stack.append((left & right, left_other & right_other))
    return stack[0][0]
