"""What remains open when there is nothing left to do lies on cycles or hangs on them.

A closed group (every open node that a member waits for is a member) is decided at once:

- If a member waits for a member through the right side of a `not`, its denial would hang on itself:
  it has no answer, and every member is an error.
- Otherwise the group takes its least fixpoint: nobody is allowed through the cycle alone. Members
  are denied, but for those that reach an error; an error travels round by round, so that the
  nearest one is kept.

Groups are strongly connected components of what open nodes wait for, the deepest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from grantlog.engine.algebra import evaluate, open_operands
from grantlog.engine.graph import Graph
from grantlog.engine.node import Node
from grantlog.engine.steps import ExpressionStep
from grantlog.errors import DepthExceededError, GrantlogError, LimitError

VISITS_PER_NODE_MAX = 50
"""Groups may split when deeper ones are decided; data that make them split for ever are refused."""

_PAUSE_EVERY = 1_000

Edges = list[tuple[Node, bool]]
"""Open nodes that one waits for, and whether on the right side of a `not`."""


def decide_cycles(graph: Graph) -> Iterator[None]:
    """Decide open nodes, deepest groups first, until the root is decided.

    Yields:
        Now and then, so that others can run.

    Raises:
        LimitError: it takes more than `VISITS_PER_NODE_MAX` visits per node.
    """
    groups: list[list[Node]] = [[graph.root]]
    visits = 0
    visits_max = VISITS_PER_NODE_MAX * graph.size
    while graph.root.outcome is None:
        search = Components(node for node in groups.pop() if node.outcome is None)
        while search.step():
            visits += 1
            if visits > visits_max:
                raise LimitError("the cycles in the data are too entangled to be decided")
            if visits % _PAUSE_EVERY == 0:
                yield
        if len(search.found) == 1:
            _decide(graph, search.found[0], search.edges)
            graph.propagate()
        else:
            groups += reversed(search.found)


class Components:
    """Tarjan's algorithm without recursion, over the nodes given and all that they wait for.

    Attributes:
        found: the components, each after those that it depends on.
        edges: what each node waits for.
    """

    def __init__(self, starts: Iterable[Node]) -> None:
        self.found: list[list[Node]] = []
        self.edges: dict[Node, Edges] = {}
        self._starts = iter(starts)
        self._index: dict[Node, int] = {}
        self._low: dict[Node, int] = {}
        self._stack: list[Node] = []
        self._stacked: set[Node] = set()
        self._path: list[tuple[Node, Iterator[tuple[Node, bool]]]] = []

    def step(self) -> bool:
        """Go one step; False when all components are found."""
        if not self._path:
            start = next((node for node in self._starts if node not in self._index), None)
            if start is None:
                return False
            self._enter(start)
            return True
        node, ahead = self._path[-1]
        for child, _ in ahead:
            if child not in self._index:
                self._enter(child)
                return True
            if child in self._stacked:
                self._low[node] = min(self._low[node], self._index[child])
        self._leave(node)
        return True

    def _enter(self, node: Node) -> None:
        self._index[node] = self._low[node] = len(self._index)
        self._stack.append(node)
        self._stacked.add(node)
        edges = self.edges[node] = _waits_for(node)
        self._path.append((node, iter(edges)))

    def _leave(self, node: Node) -> None:
        self._path.pop()
        low = self._low[node]
        if self._path:
            above = self._path[-1][0]
            self._low[above] = min(self._low[above], low)
        if low == self._index[node]:
            component: list[Node] = []
            while not component or component[-1] is not node:
                component.append(self._stack.pop())
            self._stacked.difference_update(component)
            self.found.append(component)


def _waits_for(node: Node) -> Edges:
    step, children = node.step, node.children
    if isinstance(step, ExpressionStep):
        operands = open_operands(step.program, [child.outcome for child in children])
        return [(children[place], negative) for place, negative in operands]
    return [(child, False) for child in children if child.outcome is None]


def _decide(graph: Graph, group: list[Node], edges: Mapping[Node, Edges]) -> None:
    """Decide a closed group."""
    members = set(group)
    if any(negative and child in members for node in group for child, negative in edges[node]):
        error = DepthExceededError(
            "the answer hangs on its own denial: a cycle passes the right side of a `not`"
        )
        for node in group:
            graph.settle(node, error)
        return
    waiters: dict[Node, list[Node]] = {node: [] for node in group}
    for node in group:
        for child, _ in edges[node]:
            waiters[child].append(node)
    candidates = members
    while candidates:
        # A round sees only what the round before decided: no order among its nodes shows.
        failed = [(node, error) for node in candidates if (error := _error_of(graph, node))]
        for node, error in failed:
            graph.settle(node, error)
        candidates = {w for node, _ in failed for w in waiters[node] if w.outcome is None}
    for node in group:
        graph.settle(node, outcome=False)


def _error_of(graph: Graph, node: Node) -> GrantlogError | None:
    """The error that a node is if all it waits for is denied; None if it is denied then."""
    step = node.step
    if isinstance(step, ExpressionStep):
        outcome = evaluate(step.program, [child.outcome or False for child in node.children])
        return outcome if isinstance(outcome, GrantlogError) else None
    return graph.first_error(node)
