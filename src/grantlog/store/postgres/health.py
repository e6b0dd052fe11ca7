"""Whether the database answers and the followers of the log beat, by the database's clock."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from grantlog.store.postgres.pool import Pool, acquired
from grantlog.store.postgres.statements import load

_BEATS: Final = load("health")["beats"]

BEAT_AGE_S_MAX: Final = 5.0
"""A follower beats every second; one that has not for this long does not run."""


async def missing_followers(pool: Pool, kinds: Collection[str]) -> list[str]:
    """The kinds of follower of which none beats.

    Raises:
        UnavailableError: the database does not answer.
    """
    async with acquired(pool, doing="asking for the followers' beats") as connection:
        rows = await connection.fetch(_BEATS, BEAT_AGE_S_MAX)
    beating = {row["kind"] for row in rows}
    return [kind for kind in kinds if kind not in beating]
