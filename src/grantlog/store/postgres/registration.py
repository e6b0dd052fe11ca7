"""A replica's name in the primary: one replica has it, and one process at a time beats for it.

What a replica holds back from garbage collection stands beside its name. Two replicas of one name
would write over each other's, and history would go that one of them still needs.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Final

import asyncpg

from grantlog.errors import PreconditionError
from grantlog.store.postgres.followers import REPLICA
from grantlog.store.postgres.pool import Pool, acquired
from grantlog.store.postgres.statements import load

_SQL: Final = load("follow")
_DOING: Final = "registering the replica"

STALE_S: Final = 5.0
"""A name whose holder has not beaten for so long is free; beats come every 2 s at the latest."""
POLL_S: Final = 0.25

_INSTANCE: Final = "replica_id"


async def instance_of(replica: Pool, new_id: str) -> str:
    """The id that a replica's database got when it was first used; `new_id` if that is now.

    The same for every address that leads there.
    """
    async with acquired(replica, doing=_DOING) as connection:
        await connection.execute(_SQL["put_instance"], _INSTANCE, new_id)
        instance: str = await connection.fetchval(_SQL["instance"], _INSTANCE)
    return instance


class NameTakenError(PreconditionError):
    """Another replica, or a copy of this one, works under the name."""


class Registration:
    """One process' hold of a replica's name.

    Args:
        primary: connections to the primary.
        name: the replica's.
        instance: which replica it is, `instance_of`.
        session: which process this is: text that no other process has.
    """

    def __init__(self, primary: Pool, name: str, *, instance: str, session: str) -> None:
        self._primary = primary
        self._name = name
        self._instance = instance
        self._session = session
        self._other: datetime | None = None

    async def claim(self) -> None:
        """Take the name, unless another replica beats under it.

        A process of the same replica that died a moment ago need not be waited for.

        Raises:
            NameTakenError: another replica beats under the name.
            UnavailableError: the primary does not answer.
        """
        while True:
            other = await self._beaten(None, "")
            if other is None or other["instance"] == self._instance:
                return
            self._refuse_if_alive(other)
            await asyncio.sleep(POLL_S)

    async def beat(self, *, through: datetime | None, detail: str) -> None:
        """Say that the replica works, and up to which time everything is folded.

        Nothing is said while the name may be held by a process of the same replica that has died.

        Raises:
            NameTakenError: another process beats under the name.
            UnavailableError: the primary does not answer.
        """
        other = await self._beaten(through, detail)
        if other is not None:
            self._refuse_if_alive(other)

    async def release(self) -> None:
        """Let another process of the replica beat at once."""
        async with acquired(self._primary, doing=_DOING) as connection:
            await connection.execute(_SQL["release_name"], self._name, self._session)

    async def _beaten(self, through: datetime | None, detail: str) -> asyncpg.Record | None:
        """Beat; the row of the other one that holds the name, if it does."""
        async with acquired(self._primary, doing=_DOING) as connection:
            status = await connection.execute(
                _SQL["beat_as"],
                self._name,
                REPLICA,
                through,
                detail,
                self._instance,
                self._session,
                STALE_S,
            )
            if status == "INSERT 0 1":
                self._other = None
                return None
            return await connection.fetchrow(_SQL["holder"], self._name)

    def _refuse_if_alive(self, other: asyncpg.Record) -> None:
        """Refuse if the other one has beaten since it was first seen."""
        if self._other in (None, other["beat_at"]):
            self._other = other["beat_at"]
            return
        if other["instance"] == self._instance:
            raise NameTakenError(
                f"another process beats as the replica {self._name!r}, on a copy of this database: "
                "give this one a name of its own (GRANTLOG_REPLICA_NAME), and delete the row "
                f"{_INSTANCE!r} of its table meta"
            )
        raise NameTakenError(
            f"the name {self._name!r} is another replica's, which works: "
            "give this one a name of its own (GRANTLOG_REPLICA_NAME)"
        )
