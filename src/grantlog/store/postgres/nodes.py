"""The port `Nodes` on the primary: a row a node, and a lease by the database's clock."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Final

from grantlog.errors import UnavailableError
from grantlog.store.postgres.pool import Pool, acquired
from grantlog.store.postgres.statements import load

_SQL: Final = load("nodes")

LEASE_S: Final = 5.0
"""A node that has not beaten for so long is there no longer."""


class PostgresNodes:
    """Who is there, by what they last told the primary.

    Args:
        pool: of `open_primary_pool`.
        own: this node's address.
        session: of this process alone: what it leaves behind is not taken for its successor.
        lease_s: so long after its last beat a node is there.
    """

    def __init__(self, pool: Pool, own: str, session: str, *, lease_s: float = LEASE_S) -> None:
        self._pool = pool
        self._own = own
        self._session = session
        self._lease_s = lease_s

    async def beat(self) -> Sequence[str]:
        """As `Nodes.beat`."""
        async with acquired(self._pool, doing="telling other nodes of this one") as connection:
            rows = await connection.fetch(_SQL["beat"], self._own, self._session, self._lease_s)
        return sorted([self._own, *(row["address"] for row in rows)])

    async def leave(self) -> None:
        """As `Nodes.leave`."""
        with contextlib.suppress(UnavailableError):
            async with acquired(self._pool, doing="leaving the other nodes") as connection:
                await connection.execute(_SQL["leave"], self._own, self._session)
