"""Who answers a read: a replica that may lag or be dead, or the primary behind it.

A replica answers for exactly the revision asked for or refuses. What it has not reached waits for
it up to a bound, once for all reads of one revision, then goes to the primary; history that it does
not hold goes there at once. That is through a few connections of their own; when those are busy, a
call is shed: a dead replica must not take the writers down with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from cachetools import LRUCache

from grantlog.errors import (
    BehindWindowError,
    PreconditionError,
    ProjectionLaggingError,
    UnavailableError,
)
from grantlog.model.ids import Revision, TenantId
from grantlog.ports.facts import FactReader
from grantlog.ports.standing import read_from_replica

T = TypeVar("T")

WAITS_MAX: Final = 10_000
"""Revisions of which it is remembered how long they may be waited for."""


@dataclass(frozen=True, slots=True)
class ReplicaLimits:
    """The bounds of waiting for a replica and of asking the primary in its place."""

    wait_s_max: float = 0.5
    """From the first read of a revision that the replica refuses."""
    poll_s: float = 0.01
    dead_for_s: float = 1.0
    """After a failure the replica is left alone for so long, but for one call that tries it."""
    primary_calls_max: int = 256
    """Calls that may wait for the primary at once; more are shed."""


class ReplicaFirst:
    """Decides, call by call, whether the replica or the primary answers."""

    def __init__(self, replica: FactReader, limits: ReplicaLimits) -> None:
        self._replica = replica
        self._limits = limits
        self._dead_until = 0.0
        self._on_primary = 0
        self._wait_until: LRUCache[tuple[TenantId, Revision], float] = LRUCache(WAITS_MAX)

    async def answer(
        self,
        tenant: TenantId,
        revision: Revision,
        *,
        replica: Callable[[], Awaitable[T]],
        primary: Callable[[], Awaitable[T]],
    ) -> T:
        """The answer of whichever copy can read the revision.

        Raises:
            ProjectionLaggingError: the replica is behind, and the primary has enough to do.
            UnavailableError: neither answers.
            BehindWindowError: no copy has that history any more.
        """
        if not self._may_try():
            return await self._by_primary(primary)
        try:
            try:
                answer = await replica()
            except ProjectionLaggingError:
                await self._reached(tenant, revision)
                answer = await replica()
        except (ProjectionLaggingError, BehindWindowError):
            return await self._by_primary(primary)
        except (UnavailableError, PreconditionError):  # gone, or dropped and not made anew yet
            self._dead_until = self._now() + self._limits.dead_for_s
            return await self._by_primary(primary)
        self._dead_until = 0.0
        read_from_replica()
        return answer

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _may_try(self) -> bool:
        """Whether the replica is asked: it is well, or this call is the one that tries it again."""
        if not self._dead_until:
            return True
        now = self._now()
        if now < self._dead_until:
            return False
        self._dead_until = now + self._limits.dead_for_s
        return True

    async def _reached(self, tenant: TenantId, revision: Revision) -> None:
        """Return when the replica can read the revision; the asking is shared, as all reads are.

        Raises:
            ProjectionLaggingError: it cannot, within the wait that all reads at it share.
        """
        wait_end = self._now() + self._limits.wait_s_max
        until = self._wait_until.setdefault((tenant, revision), wait_end)
        while self._now() < until:
            await asyncio.sleep(self._limits.poll_s)
            try:
                await self._replica.read(tenant, revision, ())
            except ProjectionLaggingError:
                continue
            return
        raise ProjectionLaggingError(f"the replica has not reached revision {revision} yet")

    async def _by_primary(self, primary: Callable[[], Awaitable[T]]) -> T:
        if self._on_primary >= self._limits.primary_calls_max:
            raise ProjectionLaggingError(
                "the replica cannot answer yet and the primary has enough to do: try again"
            )
        self._on_primary += 1
        try:
            return await primary()
        except UnavailableError as error:
            raise UnavailableError(
                "neither the replica nor the primary can answer: " + error.explanation
            ) from error
        finally:
            self._on_primary -= 1
