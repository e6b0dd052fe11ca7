"""Whether the database answers and the followers of the log beat, by the database's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final

from grantlog.errors import UnavailableError
from grantlog.store.postgres.connecting import THE_PRIMARY
from grantlog.store.postgres.driver_errors import translating
from grantlog.store.postgres.followers import MAINTENANCE
from grantlog.store.postgres.pool import Pool, acquired, connect
from grantlog.store.postgres.statements import load

_SQL: Final = load("health")

BEAT_AGE_S_MAX: Final = 5.0
"""A follower beats every second; one that has not for this long does not run."""
ASKED_S_MAX: Final = 3.0
"""For asking once, with a connection of its own; whoever probes waits not much longer."""


async def missing_followers(pool: Pool, kinds: Collection[str]) -> list[str]:
    """The kinds of follower of which none beats.

    Raises:
        UnavailableError: the database does not answer.
    """
    async with acquired(pool, doing="asking for the followers' beats") as connection:
        rows = await connection.fetch(_SQL["beats"], BEAT_AGE_S_MAX)
    beating = {row["kind"] for row in rows}
    return [kind for kind in kinds if kind not in beating]


def unattended(missing: Collection[str]) -> str:
    """What kinds of follower that do not beat leave undone, for people."""
    if MAINTENANCE in missing:
        return (
            "no projector beats: start `grantlog run projector`; until then nothing is folded "
            "into replicas, and what was deleted keeps its space"
        )
    return (
        "no projector beats for a replica: start `grantlog run projector` with its address in "
        "GRANTLOG_REPLICA_URL, or see its log; reads that it cannot answer go to the primary"
    )


async def follower_beats(primary_dsn: str, name: str) -> bool:
    """Whether the follower of that name beats.

    Raises:
        UnavailableError: the primary does not answer in time, or was never migrated.
    """
    try:
        async with (
            asyncio.timeout(ASKED_S_MAX),
            connect(
                primary_dsn, application_name="grantlog health", whose=THE_PRIMARY
            ) as connection,
        ):
            with translating("asking for a follower's beat"):
                return bool(await connection.fetchval(_SQL["has_beaten"], BEAT_AGE_S_MAX, name))
    except TimeoutError as error:
        raise UnavailableError("the primary does not answer in time") from error
