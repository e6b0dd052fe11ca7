"""One replica as a node knows it: whether it is asked, how far it is, how much it has to do."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, NamedTuple

import structlog
from cachetools import LRUCache

from grantlog.errors import (
    GrantlogError,
    OtherEpochError,
    ProjectionLaggingError,
    UnavailableError,
)
from grantlog.model.ids import ANY_EPOCH, Epoch, Revision, TenantId
from grantlog.ports.facts import FactReader
from grantlog.ports.listing import FactLister
from grantlog.ports.reverse import ReverseReader
from grantlog.store.postgres.guard import Guard
from grantlog.store.postgres.lives import NOT_BEGUN, Kind, Lives

_LOG = structlog.get_logger("grantlog.replicas")

TENANTS_MAX: Final = 10_000
"""Tenants of which it is remembered how far a replica is."""

FRESH_S: Final = 0.1
"""A replica that was behind so long ago may have arrived."""


class Reads(NamedTuple):
    """All that reads facts from one database."""

    facts: FactReader
    lister: FactLister
    reverse: ReverseReader


class OwnLog:
    """Which log this node's primary holds, as it was last asked.

    Args:
        lives: what the primary said.
        doubted: to be set when something was met that does not fit: ask the primary again, soon.
    """

    def __init__(self, lives: Lives, doubted: asyncio.Event) -> None:
        self.lives = lives
        self.doubted = doubted


class ReplicaState:
    """What is known of one replica. Used from the event loop's thread alone.

    Args:
        number: its place among the addresses, from 1: its name in logs and to health.
        log: the log whose copy it must be.
        place: its database and host, for logs.
    """

    def __init__(self, number: int, log: OwnLog, place: str = "") -> None:
        self.number = number
        self._place = place
        self.kind: Kind | None = None
        self.out_because = "not asked yet"
        self.in_flight: set[asyncio.Timeout] = set()
        """The bounds of reads under way: those of a replica that is found unfit go elsewhere."""
        self.turn = 0
        """When it was last chosen; among equals the one chosen longest ago is next."""
        self.failures = 0
        """In a row, of probes and of reads."""
        self.failed_now = asyncio.Event()
        self._log = log
        self._proven = False
        self._applied: LRUCache[TenantId, tuple[Revision, float]] = LRUCache(TENANTS_MAX)

    @property
    def is_in(self) -> bool:
        """Whether it is asked."""
        return not self.out_because

    def admit(
        self, tenant: TenantId, at: Revision, epoch: Epoch, guard: Guard
    ) -> GrantlogError | None:
        """Judge a read by its guard, and learn from it how far the replica is."""
        if not self._proven:
            return UnavailableError("the replica has not proven yet whose copy it is")
        proven = self._log.lives.epoch
        if epoch not in {ANY_EPOCH, proven}:
            self._log.doubted.set()
            return ProjectionLaggingError(f"epoch {epoch} is asked for, {proven} was proven")
        if guard.epoch == proven:
            self._applied[tenant] = guard.revision, _now()
        refusal = guard.refusal(at, proven)
        if isinstance(refusal, OtherEpochError):  # it may arrive there yet, or another copy has
            return ProjectionLaggingError(refusal.explanation)
        return refusal

    def seems_behind(self, tenant: TenantId, at: Revision) -> bool:
        """Whether it was seen behind a revision just now."""
        seen = self._applied.get(tenant)
        return seen is not None and seen[0] < at and _now() - seen[1] < FRESH_S

    def failed(self, error: GrantlogError) -> None:
        """Leave it out: a read failed. What probes it finds out soon whether it is well."""
        self.failures += 1
        self._leave(error.explanation or error.reason)
        self.failed_now.set()

    def unfit(self, because: str) -> None:
        """Leave it out, and what it is asked just now, until it has proven itself."""
        self.failures += 1
        self._proven = False
        self._applied.clear()
        self._leave(because)
        for bound in self.in_flight:
            if bound.when() is None:  # else it ends already
                bound.reschedule(_now())

    def doubt(self) -> None:
        """The log's newest epoch is another one: nothing counts that was proven before."""
        self._proven = False
        self._leave("a new epoch of the log has begun")
        self.failed_now.set()

    def fits(self, kind: Kind) -> None:
        """It has proven itself and is asked again."""
        if self.is_in:
            self.failures = 0
        self.kind = kind
        self._proven = True
        if not self.is_in:
            self.out_because = ""
            _LOG.info("replica in", replica=self.number, at=self._place, kind=kind.value)

    def answered(self) -> None:
        """A read of it came back whole."""
        self.failures = 0

    def _leave(self, because: str) -> None:
        if because != self.out_because:
            self.out_because = because
            tell = _LOG.info if because == NOT_BEGUN else _LOG.warning
            tell("replica out", replica=self.number, at=self._place, because=because)


@dataclass(frozen=True, slots=True, eq=False)
class ReplicaCopy:
    """A replica's state and what reads it."""

    state: ReplicaState
    reads: Reads


def _now() -> float:
    return asyncio.get_running_loop().time()
