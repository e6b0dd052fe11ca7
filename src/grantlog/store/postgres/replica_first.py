"""Who answers a read: one of the replicas, which may lag or be dead, or the primary behind them.

A replica answers for exactly the revision asked for or refuses. A request stays with the replica
that answered it first; a new one goes to whichever has the least to do, of those not known to be
behind. What no replica has reached waits for one up to a bound, once for all reads of one revision,
then goes to the primary; history that none holds goes there at once. That is through a few
connections of their own; when those are busy, a call is shed: dead replicas must not take the
writers down with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from cachetools import LRUCache

from grantlog.errors import (
    BehindWindowError,
    ConflictError,
    CorruptionError,
    OtherEpochError,
    PreconditionError,
    ProjectionLaggingError,
    UnavailableError,
)
from grantlog.model.ids import ANY_EPOCH, Epoch, Revision, TenantId
from grantlog.ports.standing import read_from_replica, replica_stayed_with
from grantlog.store.postgres.driver_errors import StatementCancelledError
from grantlog.store.postgres.replica_state import Reads, ReplicaCopy

T = TypeVar("T")

WAITS_MAX: Final = 10_000
"""Revisions of which it is remembered how long they may be waited for."""


@dataclass(frozen=True, slots=True)
class ReplicaLimits:
    """The bounds of waiting for replicas, of probing them, and of asking the primary instead."""

    wait_s_max: float = 0.5
    """From the first read of a revision that the replicas refuse."""
    poll_s: float = 0.01
    rest_s: float = 1.0
    """After a wait that came to nothing the tenant's other revisions are not waited for so long."""
    probe_s: float = 1.0
    """Between two probes of a replica that is well."""
    probe_timeout_s: float = 1.5
    back_s_min: float = 0.05
    """A replica that failed is left alone for so long, doubled with every failure more"""
    back_s_max: float = 10.0
    """up to this."""
    primary_calls_max: int = 256
    """Calls that may wait for the primary at once; more are shed."""

    def back_s(self, failures: int) -> float:
        """How long a replica that failed so often in a row is left alone."""
        return min(self.back_s_max, self.back_s_min * 2.0 ** min(failures - 1, 30))


class ReplicaFirst:
    """Decides, call by call, which replica answers, or the primary."""

    def __init__(
        self, copies: Sequence[ReplicaCopy], primary: Reads, limits: ReplicaLimits
    ) -> None:
        self._copies = copies
        self._primary = primary
        self._limits = limits
        self._on_primary = 0
        self._turn = 0
        self._wait_until: LRUCache[tuple[TenantId, Revision], float] = LRUCache(WAITS_MAX)
        self._rest_until: LRUCache[TenantId, float] = LRUCache(WAITS_MAX)

    async def answer(
        self,
        tenant: TenantId,
        revision: Revision,
        ask: Callable[[Reads], Awaitable[T]],
        *,
        epoch: Epoch = ANY_EPOCH,
    ) -> T:
        """What `ask` has of whichever copy can read the revision.

        Raises:
            OtherEpochError: the primary's log is in another epoch.
            ProjectionLaggingError: the replicas are behind, and the primary has enough to do.
            UnavailableError: neither a replica nor the primary answers.
            BehindWindowError: no copy has that history any more.
        """
        behind: list[ReplicaCopy] = []
        left = [copy for copy in self._copies if copy.state.is_in]
        while left:
            copy = self._choose(left, tenant, revision)
            left.remove(copy)
            try:
                return await self._told_by(copy, ask)
            except ProjectionLaggingError:
                behind.append(copy)
            except _ASK_ANOTHER:
                continue
        arrived = await self._arrived(tenant, revision, epoch, behind) if behind else None
        if arrived is not None:
            try:
                return await self._told_by(arrived, ask)
            except _ASK_ANOTHER:
                pass
        return await self._of_primary(ask, lagging=bool(behind))

    def _choose(self, left: list[ReplicaCopy], tenant: TenantId, at: Revision) -> ReplicaCopy:
        stayed_with = replica_stayed_with()
        for copy in left:
            if copy is stayed_with:
                return copy
        chosen = min(
            left,
            key=lambda copy: (
                copy.state.seems_behind(tenant, at),
                len(copy.state.in_flight),
                copy.state.turn,
            ),
        )
        self._turn += 1
        chosen.state.turn = self._turn
        return chosen

    async def _told_by(self, copy: ReplicaCopy, ask: Callable[[Reads], Awaitable[T]]) -> T:
        """A replica's answer, noted as the one that the request stays with."""
        answer = await self._of(copy, ask)
        read_from_replica(copy)
        return answer

    async def _of(self, copy: ReplicaCopy, ask: Callable[[Reads], Awaitable[T]]) -> T:
        """A replica's answer; one that fails is left out from then on."""
        state = copy.state
        bound = asyncio.timeout(None)
        try:
            async with bound:
                state.in_flight.add(bound)
                answer = await ask(copy.reads)
        except TimeoutError as error:
            raise UnavailableError("the replica was found unfit meanwhile") from error
        except _NOT_ITS_FAULT:
            raise
        except (UnavailableError, PreconditionError) as error:
            state.failed(error)
            raise
        finally:
            state.in_flight.discard(bound)
        state.answered()
        return answer

    async def _arrived(
        self, tenant: TenantId, revision: Revision, epoch: Epoch, behind: Sequence[ReplicaCopy]
    ) -> ReplicaCopy | None:
        """The first of them that can read the revision; the asking is shared, as all reads are.

        None if none can within the wait that all reads at the revision share.
        """
        begun = self._now()
        if begun < self._rest_until.get(tenant, 0.0):
            return None
        wait_end = begun + self._limits.wait_s_max
        until = self._wait_until.setdefault((tenant, revision), wait_end)
        while self._now() < until:
            await asyncio.sleep(self._limits.poll_s)
            for copy in behind:
                if copy.state.is_in and await self._has(copy, tenant, revision, epoch, until):
                    return copy
        self._rest_until[tenant] = self._now() + self._limits.rest_s
        return None

    async def _has(
        self, copy: ReplicaCopy, tenant: TenantId, revision: Revision, epoch: Epoch, until: float
    ) -> bool:
        try:
            async with asyncio.timeout_at(until):
                await self._of(
                    copy, lambda reads: reads.facts.read(tenant, revision, (), epoch=epoch)
                )
        except (*_ASK_ANOTHER, TimeoutError):
            return False
        return True

    async def _of_primary(self, ask: Callable[[Reads], Awaitable[T]], *, lagging: bool) -> T:
        if self._on_primary >= self._limits.primary_calls_max:
            if lagging:
                raise ProjectionLaggingError(
                    "no replica can answer yet and the primary has enough to do: try again"
                )
            raise UnavailableError("no replica answers and the primary has enough to do: try again")
        self._on_primary += 1
        try:
            return await ask(self._primary)
        except (ProjectionLaggingError, OtherEpochError):
            raise  # it answers: it has no such revision
        except UnavailableError as error:
            raise UnavailableError(
                "neither a replica nor the primary can answer: " + error.explanation
            ) from error
        finally:
            self._on_primary -= 1

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


_NOT_ITS_FAULT: Final = (
    ProjectionLaggingError,
    BehindWindowError,
    # A standby's replay took the statement back, which says nothing about the next one.
    ConflictError,
    StatementCancelledError,
    # A row that cannot be read is one row; others may read it elsewhere.
    CorruptionError,
)
_ASK_ANOTHER: Final = (*_NOT_ITS_FAULT, UnavailableError, PreconditionError)
"""What one copy says and another may answer. InvalidInputError is the request's, everywhere."""
