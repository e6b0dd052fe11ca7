"""Replicas that are what a test says: at a revision, failing, well or out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from grantlog.errors import GrantlogError, ProjectionLaggingError
from grantlog.model.ids import ANY_EPOCH, NOTHING, Epoch, Revision, TenantId
from grantlog.ports.facts import FactAnswer, FactKey
from grantlog.store.postgres.guard import Guard
from grantlog.store.postgres.lives import Kind, Lives
from grantlog.store.postgres.replica_first import ReplicaFirst, ReplicaLimits
from grantlog.store.postgres.replica_reads import ReplicaFactReader
from grantlog.store.postgres.replica_state import OwnLog, Reads, ReplicaCopy, ReplicaState
from grantlog.testing.contracts.places import direct

ACME = TenantId("acme")
KEYS = [direct("doc:1#viewer@user:1")]
QUICK = ReplicaLimits(wait_s_max=0.05, poll_s=0.002, primary_calls_max=2, rest_s=60.0)
LIVES = Lives("2/1700/system/1", frozenset({"1/1600/system/1"}), 0)


class Source:
    """A reader that is at a revision, or fails; its answers tell who answered."""

    def __init__(self, name: str, revision: int) -> None:
        self.name = name
        self.revision = revision
        self.failure: GrantlogError | None = None
        self.asked = 0
        self.gate: asyncio.Event | None = None
        self.farewell: asyncio.Event | None = None
        """A read that is cancelled ends no sooner."""
        self.leaving = False
        self.state: ReplicaState | None = None

    async def read(
        self,
        tenant: TenantId,
        revision: Revision,
        keys: Sequence[FactKey],
        *,
        epoch: Epoch = ANY_EPOCH,
    ) -> Sequence[FactAnswer]:
        self.asked += 1
        if self.gate is not None:
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.leaving = True
                if self.farewell is not None:
                    await self.farewell.wait()
                raise
        if self.failure is not None:
            raise type(self.failure)(self.failure.explanation)
        if self.state is not None:
            guard = Guard(Revision(self.revision), NOTHING, NOTHING, Epoch(2))
            refusal = self.state.admit(tenant, revision, epoch, guard)
            if refusal is not None:
                raise refusal
        elif revision > self.revision:
            raise ProjectionLaggingError(f"{self.name} is at {self.revision}")
        return [self.name for _ in keys]


def own_log() -> OwnLog:
    """A log in epoch 2."""
    return OwnLog(LIVES, asyncio.Event())


def copy_of(reads: Reads, number: int = 1, log: OwnLog | None = None) -> ReplicaCopy:
    """A replica that is well."""
    state = ReplicaState(number, log or own_log())
    state.fits(Kind.PROJECTED)
    return ReplicaCopy(state, reads)


def reads_of(source: Source) -> Reads:
    """Only facts are read from it."""
    return Reads(source, None, None)


def served(
    *at: int, limits: ReplicaLimits = QUICK
) -> tuple[list[Source], Source, ReplicaFactReader]:
    """Replicas named r1, r2 … at revisions, their primary at 10, and the reader over them."""
    replicas = [Source(f"r{number}", revision) for number, revision in enumerate(at, start=1)]
    primary = Source("primary", 10)
    copies = [copy_of(reads_of(source), n) for n, source in enumerate(replicas, start=1)]
    for source, copy in zip(replicas, copies, strict=True):
        source.state = copy.state
    first = ReplicaFirst(copies, reads_of(primary), limits)
    return replicas, primary, ReplicaFactReader(first)
