"""Who may be allowed at each node, and who is for sure.

A check of a subject that is not in a node's `may` is denied there; of one in `sure` it is allowed.
Between the two stand those for whom an error may matter: depth that ran out, a rule that failed, an
answer that hangs on its own denial.

What holds for a subject does not depend on who else there is. So everything is solved once for a
stranger, who stands in no relation, and then for some subjects at a time: at the nodes that their
relations lead to, and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from heapq import heapify, heappop, heappush
from typing import Final

from grantlog.engine.algebra import EXCLUSION, UNION
from grantlog.engine.cycles import Components, Edges
from grantlog.engine.lookup_subject.gather import Gathering
from grantlog.engine.lookup_subject.sets import EVERYONE, NOBODY, SubjectSet, union
from grantlog.engine.node import Node
from grantlog.engine.steps import ExpressionStep
from grantlog.errors import DepthExceededError

_TURN = 200
"""Nodes and children of theirs after which others on the event loop have their turn."""

CARRIED_MAX: Final = 2_000_000
"""Ids in the sets of all nodes on cycles together, about 130 MB; more are solved for in parts."""

Direct = Mapping[Node, frozenset[str]]
"""The ids that stand in a relation itself."""


class Sets(dict[Node, SubjectSet]):
    """The sets of nodes, where they are not those of a stranger."""

    def __init__(self, stranger: Mapping[Node, SubjectSet] | None = None) -> None:
        super().__init__()
        self._stranger = stranger or {}

    def __missing__(self, node: Node) -> SubjectSet:
        """A stranger's set."""
        return self._stranger.get(node, NOBODY)


class Solution:
    """The two sets of every node."""

    def __init__(self, gathering: Gathering) -> None:
        """Begin with what is gathered."""
        self._gathering = gathering
        self._root = gathering.graph.root
        self._may, self._sure = Sets(), Sets()
        self._components: list[list[Node]] = []
        """Each behind those that it depends on."""
        self._place: dict[Node, int] = {}
        """The number of a node's component."""
        self._above: dict[Node, list[Node]] = {}
        """The nodes of other components that depend on a node."""
        self._everyone: dict[Node, tuple[int, int]] = {}
        """Of nodes that are unions, how many children hold every stranger: may, and for sure."""
        self._fixed: set[int] = set()
        """Components with a cycle through the right side of a `not`: a check tells whose."""
        self._round: set[int] = set()
        """Components with cycles, and none such."""
        self._carrying = 0
        """Nodes of those where every node has a set of its own."""

    @property
    def is_open(self) -> bool:
        """Whether a stranger may be allowed."""
        return self._may[self._root].is_open

    @property
    def ids_max(self) -> int:
        """For how many ids at a time this may be solved."""
        return max(1, CARRIED_MAX // max(1, self._carrying))

    @property
    def nodes(self) -> list[Node]:
        """All nodes that something was found out about."""
        return list(self._may)

    async def prepare(self) -> None:
        """Solve all nodes for a stranger."""
        for node in self._gathering.graph.cut:
            if node.budget < 0:
                node.outcome = DepthExceededError()
                self._may[node], self._sure[node] = EVERYONE, NOBODY
        search = Components([self._root])
        turns = 0
        more = True
        while more:
            more = search.step()
            for component in search.found[len(self._components) :]:
                self._add(component, search.edges)
                await self._settle(len(self._components) - 1, {}, self._may, self._sure)
            turns += 1
            if turns % _TURN == 0:
                await asyncio.sleep(0)

    def _add(self, component: list[Node], edges: Mapping[Node, Edges]) -> None:
        place = len(self._components)
        self._components.append(component)
        self._place |= dict.fromkeys(component, place)
        inside = [
            negative
            for node in component
            for child, negative in edges[node]
            if self._place.get(child) == place
        ]
        if any(inside):
            self._fixed.add(place)
        elif inside:
            self._round.add(place)
            self._carrying += 0 if _are_unions(component) else len(component)
        for node in component:
            for child in {child for child, _ in edges[node] if self._place[child] != place}:
                self._above.setdefault(child, []).append(node)

    async def _settle(self, place: int, direct: Direct, may: Sets, sure: Sets) -> None:
        """Solve a component from all it depends on."""
        component = self._components[place]
        if place in self._fixed:
            may |= dict.fromkeys(component, EVERYONE)
            sure |= dict.fromkeys(component, NOBODY)
        elif place in self._round:
            solve = self._union if _are_unions(component) else self._fixpoint
            await solve(component, direct, may, sure)
            await solve(component, direct, sure, may)
        else:
            (node,) = component
            may[node] = self._of(node, direct, may, sure, on_error=EVERYONE)
            sure[node] = self._of(node, direct, sure, may, on_error=NOBODY)
            children = set(node.children)
            self._everyone[node] = (
                sum(may[child].is_open for child in children),
                sum(sure[child].is_open for child in children),
            )

    async def of(self, direct: Direct) -> tuple[SubjectSet, SubjectSet]:
        """Who of the ids that stand in relations may be allowed, and who is for sure.

        What the two sets say of other ids is said of strangers.
        """
        may, sure = Sets(self._may), Sets(self._sure)
        touched: dict[Node, list[Node]] = {node: [] for node in direct}
        """Nodes to solve anew, with those of their children that have other sets now."""
        ahead = list({self._place[node] for node in direct})
        heapify(ahead)
        queued = set(ahead)
        turns = 0
        while ahead:
            place = heappop(ahead)
            if place in self._round:
                await self._settle(place, direct, may, sure)
            elif place not in self._fixed:
                (node,) = self._components[place]
                self._solve(node, direct, touched[node], may, sure)
            for node in self._components[place]:
                if may[node] == self._may[node] and sure[node] == self._sure[node]:
                    continue
                for above in self._above.get(node, ()):
                    touched.setdefault(above, []).append(node)
                    if self._place[above] not in queued:
                        queued.add(self._place[above])
                        heappush(ahead, self._place[above])
            turns += 1
            if turns % _TURN == 0:
                await asyncio.sleep(0)
        return may[self._root], sure[self._root]

    def _solve(
        self, node: Node, direct: Direct, touched: list[Node], may: Sets, sure: Sets
    ) -> None:
        """Solve a node of which only some children have other sets than a stranger's."""
        if isinstance(node.step, ExpressionStep):
            may[node], sure[node] = _combined(node, may, sure), _combined(node, sure, may)
            return
        own = SubjectSet(direct.get(node, frozenset()))
        everyone = self._everyone[node]
        for sets, stranger, count in (
            (may, self._may, everyone[0]),
            (sure, self._sure, everyone[1]),
        ):
            if count > sum(stranger[child].is_open for child in touched):
                sets[node] = EVERYONE  # by a child that has no exceptions
            else:
                sets[node] = union([own, *(sets[child] for child in touched)])

    async def _union(self, component: list[Node], direct: Direct, sets: Sets, other: Sets) -> None:
        """The fixpoint of unions: each leads to every other, so all hold what any of them holds."""
        del other
        members = set(component)
        found: dict[SubjectSet, None] = {}
        turn = 0
        for node in component:
            if node in direct:
                found[SubjectSet(direct[node])] = None
            found |= {sets[child]: None for child in node.children if child not in members}
            turn = await _turn(turn, node)
        sets |= dict.fromkeys(component, union(found))

    async def _fixpoint(
        self, component: list[Node], direct: Direct, sets: Sets, other: Sets
    ) -> None:
        """The least sets that agree with each other; they only grow."""
        members = set(component)
        sets |= dict.fromkeys(component, NOBODY)
        waiters: dict[Node, list[Node]] = {node: [] for node in component}
        for node in component:
            for child in node.children:
                if child in members:
                    waiters[child].append(node)
        pending = dict.fromkeys(component)
        turn = 0
        while pending:
            node = next(iter(pending))
            del pending[node]
            new = _from_children(node, direct, sets, other)
            if new != sets[node]:
                sets[node] = new
                pending |= dict.fromkeys(waiters[node])
            turn = await _turn(turn, node)

    def _of(
        self, node: Node, direct: Direct, mine: Sets, other: Sets, *, on_error: SubjectSet
    ) -> SubjectSet:
        if node in self._gathering.decided:
            outcome = self._gathering.decided[node]
            return on_error if outcome is None else EVERYONE if outcome else NOBODY
        return _from_children(node, direct, mine, other)


def _are_unions(component: list[Node]) -> bool:
    return not any(isinstance(node.step, ExpressionStep) for node in component)


async def _turn(turn: int, node: Node) -> int:
    """Count a node that was solved; others on the event loop have their turn now and then."""
    turn += 1 + len(node.children)
    if turn < _TURN:
        return turn
    await asyncio.sleep(0)
    return 0


def _from_children(node: Node, direct: Direct, mine: Sets, other: Sets) -> SubjectSet:
    """A node's set by those of its children; `other` is what is taken away by a `not`."""
    if isinstance(node.step, ExpressionStep):
        return _combined(node, mine, other)
    own = SubjectSet(direct.get(node, frozenset()))
    return union([own, *(mine[child] for child in node.children)])


def _combined(node: Node, mine: Sets, other: Sets) -> SubjectSet:
    step = node.step
    assert isinstance(step, ExpressionStep), "the caller looked"
    # A pair per operand: the set that counts, and the one that counts when it is taken away.
    stack: list[tuple[SubjectSet, SubjectSet]] = []
    for code in step.program:
        if code >= 0:
            child = node.children[code]
            stack.append((mine[child], other[child]))
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
