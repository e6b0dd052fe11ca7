"""Strongly connected components of a graph; what the nodes mean is the caller's business."""

from __future__ import annotations

from collections.abc import Sequence


def components(successors: Sequence[Sequence[int]]) -> list[int]:
    """Number the component of each node; nodes share one if each can reach the other.

    A component leads only to components of smaller numbers. Linear in nodes and edges, and
    without recursion: chains of references are as long as the schema allows.

    Source: Tarjan 1972, Depth-first search and linear graph algorithms.
    """
    count = len(successors)
    order, low, component = [0] * count, [0] * count, [-1] * count
    pending: list[int] = []
    visited = found = 0
    for root in range(count):
        if order[root]:
            continue
        visited += 1
        order[root] = low[root] = visited
        pending.append(root)
        path = [(root, iter(successors[root]))]
        while path:
            node, rest = path[-1]
            for other in rest:
                if not order[other]:
                    visited += 1
                    order[other] = low[other] = visited
                    pending.append(other)
                    path.append((other, iter(successors[other])))
                    break
                if component[other] < 0:
                    low[node] = min(low[node], order[other])
            else:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[node])
                if low[node] == order[node]:
                    _close(node, pending, component, found)
                    found += 1
    return component


def _close(root: int, pending: list[int], component: list[int], number: int) -> None:
    """Take the component of `root` off the stack."""
    node = -1
    while node != root:
        node = pending.pop()
        component[node] = number
