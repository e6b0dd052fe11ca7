"""The port `Nodes` in memory: nodes of one process, for tests and for trying things out."""

from __future__ import annotations

from collections.abc import Callable, Sequence


class MemoryNodes:
    """Who is there, by a table that the nodes of one process share.

    Args:
        table: by address, the session that stands there and until when, by the clock.
        own: this node's address.
        session: of this node alone.
        clock: seconds.
        lease_s: so long after its last beat a node is there.
    """

    def __init__(
        self,
        table: dict[str, tuple[str, float]],
        own: str,
        session: str,
        *,
        clock: Callable[[], float],
        lease_s: float,
    ) -> None:
        self._table = table
        self._own = own
        self._session = session
        self._clock = clock
        self._lease_s = lease_s

    async def beat(self) -> Sequence[str]:
        """As `Nodes.beat`."""
        now = self._clock()
        self._table[self._own] = (self._session, now + self._lease_s)
        return sorted(address for address, (_, until) in self._table.items() if until >= now)

    async def leave(self) -> None:
        """As `Nodes.leave`."""
        session, _ = self._table.get(self._own, ("", 0.0))
        if session == self._session:
            del self._table[self._own]
