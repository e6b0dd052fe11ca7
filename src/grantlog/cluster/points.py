"""Consistent hashing: which node owns an entity. Pure, and the same in every process.

Each node stands at many points of a circle of 2**64 places; an entity belongs to the node whose
point comes next behind its own place. A node that comes or goes moves only what is its own. A node
that has its share of what is under way already is passed over (bounded load; Mirrokni, Thorup,
Zadimoghaddam 2016), so that one entity that all ask for does not stop its owner.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping
from hashlib import blake2b
from typing import Final

POINTS_EACH: Final = 512
"""Of one node: shares then differ from equal ones by about 1/sqrt(512) = 4 %."""

LOAD_FACTOR: Final = 1.25
"""A node gets at most so many times the mean of what is under way."""

LOAD_FREE: Final = 64
"""Keys under way that are no load yet: moving so few costs more than it saves."""

_POINT_BYTES: Final = 8
_POINTS_PER_HASH: Final = 64 // _POINT_BYTES


def place_of(tenant: str, entity_type: str, entity_id: str) -> int:
    """Where an entity of a tenant lies on the circle."""
    parts = (tenant, entity_type, entity_id)
    hashed = blake2b(digest_size=_POINT_BYTES)
    for part in parts:
        told = part.encode("utf-8", "surrogatepass")
        hashed.update(len(told).to_bytes(4, "big") + told)
    return int.from_bytes(hashed.digest(), "big")


class HashRing:
    """Nodes on the circle.

    Args:
        nodes: their names; at least one.
        points_each: points of one node, a multiple of 8.
    """

    def __init__(self, nodes: Collection[str], *, points_each: int = POINTS_EACH) -> None:
        if not nodes:
            raise ValueError("a ring has at least one node")
        self.nodes: Final = frozenset(nodes)
        points = sorted(
            (point, node) for node in self.nodes for point in _points(node, points_each)
        )
        self._points = [point for point, _ in points]
        self._nodes = [node for _, node in points]

    def owner(self, place: int) -> str:
        """The node that owns a place."""
        return self._nodes[bisect_right(self._points, place) % len(self._nodes)]

    def owner_with_room(
        self,
        place: int,
        loads: Mapping[str, int],
        *,
        factor: float = LOAD_FACTOR,
        free: int = LOAD_FREE,
    ) -> str:
        """The owner, or the next node on the circle that has room.

        Args:
            place: on the circle.
            loads: what is under way at each node; one that is not named has nothing.
            factor: at least 1. The one chosen has less than factor times the mean, with what is
                asked now counted, rounded up.
            free: up to here a node has room in any case.
        """
        owner = self.owner(place)
        if loads.get(owner, 0) < free:
            return owner
        total = sum(loads.get(node, 0) for node in self.nodes) + 1
        bound = max(free, -int(-factor * total // len(self.nodes)))
        # All cannot be at the bound: their loads would add up to more than there is.
        return next(node for node in self._behind(place) if loads.get(node, 0) < bound)

    def _behind(self, place: int) -> Iterator[str]:
        """The nodes in the order of the circle behind a place; some several times."""
        start = bisect_right(self._points, place)
        yield from self._nodes[start:]
        yield from self._nodes[:start]


def _points(node: str, count: int) -> Iterator[int]:
    name = node.encode()
    for number in range(count // _POINTS_PER_HASH):
        digest = blake2b(name, salt=number.to_bytes(16, "big")).digest()
        for start in range(0, len(digest), _POINT_BYTES):
            yield int.from_bytes(digest[start : start + _POINT_BYTES], "big")
