"""Processes that follow the log: which of them works, and the beats by which others see it.

A role is a session's advisory lock: it goes with the connection, whatever kills the process, and
another one that stands by takes it. Two that work at once for a moment do no harm, they are only
not needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final

import asyncpg
import structlog

from grantlog.background import background_tasks
from grantlog.errors import UnavailableError
from grantlog.model.ids import Revision, TenantId
from grantlog.store.postgres.connecting import THE_PRIMARY, THE_REPLICA
from grantlog.store.postgres.driver_errors import translating
from grantlog.store.postgres.pool import Pool, acquired, connect
from grantlog.store.postgres.statements import load
from grantlog.waiting import set_within

_LOG = structlog.get_logger("grantlog.follow")
_SQL: Final = load("follow")

STANDBY_POLL_S: Final = 1.0
BACKOFF_S_MIN: Final = 0.1
BACKOFF_S_MAX: Final = 5.0

MAINTENANCE: Final = "maintenance"
"""The kind of follower that keeps the primary tidy, and its name: there is one."""
REPLICA: Final = "replica"
"""The kind of follower that folds the log into a replica, under a name of its own."""
HOLD: Final = "hold"
"""The kind of follower that only holds history back."""
HOLD_BEAT_S: Final = 60.0


class Role(Enum):
    """What one process of a database does; the value is its advisory lock's key."""

    MAINTENANCE = 0x6772_616E_746D_6E74
    PROJECTOR = 0x6772_616E_7470_726A


@dataclass(frozen=True, slots=True)
class Follower:
    """A row of the table of followers."""

    name: str
    kind: str
    age: timedelta
    """Since its last beat."""
    applied_through: datetime | None
    """A replica has folded everything that was committed before."""
    applied_age: timedelta | None
    detail: str


async def beat(
    pool: Pool, name: str, kind: str, *, through: datetime | None = None, detail: str = ""
) -> None:
    """Say that a follower works, by the database's clock.

    Raises:
        UnavailableError: the primary does not answer.
    """
    async with acquired(pool, doing="beating") as connection:
        await connection.execute(_SQL["beat"], name, kind, through, detail)


async def followers(pool: Pool) -> list[Follower]:
    """All followers that ever beat and were not forgotten."""
    async with acquired(pool, doing="reading the followers") as connection:
        rows = await connection.fetch(_SQL["followers"])
    return [Follower(*row.values()) for row in rows]


async def forget_follower(pool: Pool, name: str) -> bool:
    """Take a replica that is gone for good off the table, so that history need not wait for it."""
    async with acquired(pool, doing="forgetting a follower") as connection:
        status = await connection.execute(_SQL["forget_follower"], name)
    return status == "DELETE 1"


@asynccontextmanager
async def holding(pool: Pool, name: str) -> AsyncGenerator[None]:
    """Let no history be collected while the block runs.

    If the process is killed, the hold ends a day later, with the same name's next one, or with
    `forget_follower`. So it does when the block fails: its work is going to be taken up again.

    Raises:
        UnavailableError: the primary does not answer at the beginning.
    """

    async def keep() -> None:
        while True:
            await asyncio.sleep(HOLD_BEAT_S)
            with suppress(UnavailableError):
                await beat(pool, name, HOLD)

    await beat(pool, name, HOLD)
    async with background_tasks() as group:
        keeping = group.create_task(keep(), name="hold")
        try:
            yield
        finally:
            keeping.cancel()
    await forget_follower(pool, name)


async def lags(pool: Pool, applied: Mapping[TenantId, Revision]) -> dict[TenantId, timedelta]:
    """How long ago the first transaction behind each of these revisions was committed."""
    async with acquired(pool, doing="reading lags") as connection:
        rows = await connection.fetch(_SQL["lags"], list(applied), list(applied.values()))
    return {TenantId(row["tenant_id"]): row["lag"] for row in rows}


async def unpublished_tenants(pool: Pool) -> int:
    """Tenants whose log is not on the topic up to its head; 0 where there is no topic."""
    async with acquired(pool, doing="reading what is published") as connection:
        count: int = await connection.fetchval(_SQL["unpublished_tenants"])
    return count


Work = Callable[[asyncio.Event], Awaitable[None]]


async def keep_role(dsn: str, role: Role, work: Work, stop: asyncio.Event) -> None:
    """Work whenever this process has the role, stand by while another has it, until `stop`.

    Args:
        dsn: the database whose role it is; directly, not through a transaction pooler.
        role: which.
        work: runs until the event that it is given is set: `stop`, or the role was lost.
        stop: ends it.

    Raises:
        GrantlogError: anything but UnavailableError that `work` raises.
    """
    backoff_s = BACKOFF_S_MIN
    while not stop.is_set():
        try:
            whose = THE_PRIMARY if role is Role.MAINTENANCE else THE_REPLICA
            name = f"grantlog {role.name.lower()}"
            async with connect(dsn, application_name=name, whose=whose) as holder:
                if await _obtained(holder, role, stop):
                    backoff_s = BACKOFF_S_MIN
                    await _work_while_connected(holder, work, stop)
        except UnavailableError as error:
            _LOG.warning(
                "role interrupted", role=role.name, because=error.explanation, again_s=backoff_s
            )
            await set_within(stop, backoff_s)
            backoff_s = min(2 * backoff_s, BACKOFF_S_MAX)


async def _obtained(
    holder: asyncpg.Connection[asyncpg.Record], role: Role, stop: asyncio.Event
) -> bool:
    """Wait for the role; False if `stop` comes first."""
    told = False
    while not stop.is_set():
        with translating("asking for a role"):
            if await holder.fetchval(_SQL["try_role"], role.value):
                _LOG.info("role taken", role=role.name)
                return True
        if not told:
            _LOG.info("standing by", role=role.name)
            told = True
        await set_within(stop, STANDBY_POLL_S)
    return False


async def _work_while_connected(
    holder: asyncpg.Connection[asyncpg.Record], work: Work, stop: asyncio.Event
) -> None:
    until = asyncio.Event()

    def lost(_: Any) -> None:
        until.set()

    async def relay() -> None:
        await stop.wait()
        until.set()

    holder.add_termination_listener(lost)
    async with background_tasks() as group:
        relaying = group.create_task(relay(), name="relay stop")
        try:
            await work(until)
        finally:
            relaying.cancel()
            holder.remove_termination_listener(lost)
