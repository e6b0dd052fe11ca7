"""A replica that lags, dies, or stands in another epoch: who answers, and with what."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from grantlog.errors import (
    BehindWindowError,
    GrantlogError,
    ProjectionLaggingError,
    UnavailableError,
)
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.ports.facts import FactAnswer, FactKey
from grantlog.store.postgres.guard import Guard
from grantlog.store.postgres.replica_first import ReplicaFirst, ReplicaLimits
from grantlog.store.postgres.replica_reads import ReplicaFactReader
from grantlog.testing.contracts.places import direct

ACME = TenantId("acme")
KEYS = [direct("doc:1#viewer@user:1")]
QUICK = ReplicaLimits(wait_s_max=0.05, poll_s=0.002, dead_for_s=0.05, primary_calls_max=2)


class Source:
    """A reader that is at a revision, or fails; its answers tell who answered."""

    def __init__(self, name: str, revision: int) -> None:
        self.name = name
        self.revision = revision
        self.failure: GrantlogError | None = None
        self.asked = 0
        self.gate: asyncio.Event | None = None

    async def read(
        self, tenant: TenantId, revision: Revision, keys: Sequence[FactKey]
    ) -> Sequence[FactAnswer]:
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        if revision > self.revision:
            raise ProjectionLaggingError(f"{self.name} is at {self.revision}")
        return [self.name for _ in keys]


def sources(replica_at: int) -> tuple[Source, Source, ReplicaFactReader]:
    replica, primary = Source("replica", replica_at), Source("primary", 10)
    return replica, primary, ReplicaFactReader(ReplicaFirst(replica, QUICK), replica, primary)


async def test_a_replica_that_is_there_answers_alone() -> None:
    replica, primary, reader = sources(10)
    assert list(await reader.read(ACME, Revision(10), KEYS)) == ["replica"]
    assert (replica.asked, primary.asked) == (1, 0)


async def test_a_replica_that_arrives_within_the_wait_answers() -> None:
    replica, primary, reader = sources(9)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(reader.read(ACME, Revision(10), KEYS))
        while replica.asked < 3:
            await asyncio.sleep(0)
        replica.revision = 10
    assert list(reading.result()) == ["replica"]
    assert primary.asked == 0


async def test_a_replica_that_does_not_arrive_leaves_it_to_the_primary() -> None:
    _, primary, reader = sources(9)
    assert list(await reader.read(ACME, Revision(10), KEYS)) == ["primary"]
    assert primary.asked == 1


async def test_a_revision_is_waited_for_once_however_many_reads_its_question_takes() -> None:
    replica, primary, reader = sources(9)
    assert list(await reader.read(ACME, Revision(10), KEYS)) == ["primary"]
    asked = replica.asked
    for _ in range(5):
        assert list(await reader.read(ACME, Revision(10), KEYS)) == ["primary"]
    assert (replica.asked, primary.asked) == (asked + 5, 6)
    assert list(await reader.read(TenantId("other"), Revision(10), KEYS)) == ["primary"]
    assert replica.asked > asked + 6, "another tenant's revision has a wait of its own"
    replica.revision = 10
    assert list(await reader.read(ACME, Revision(10), KEYS)) == ["replica"]


async def test_a_dead_replica_is_left_alone_for_a_while_and_tried_by_one_call() -> None:
    replica, _, reader = sources(10)
    replica.failure = UnavailableError("gone")
    for _ in range(5):
        assert list(await reader.read(ACME, Revision(10), KEYS)) == ["primary"]
    assert replica.asked == 1
    await asyncio.sleep(QUICK.dead_for_s)
    replica.failure, replica.gate = None, asyncio.Event()
    async with asyncio.TaskGroup() as group:
        trying = group.create_task(reader.read(ACME, Revision(10), KEYS))
        while replica.asked < 2:
            await asyncio.sleep(0)
        assert list(await reader.read(ACME, Revision(10), KEYS)) == ["primary"]
        replica.gate.set()
    assert list(trying.result()) == ["replica"]
    assert list(await reader.read(ACME, Revision(10), KEYS)) == ["replica"]


async def test_more_than_the_primary_may_take_is_shed() -> None:
    replica, primary, reader = sources(10)
    replica.failure = UnavailableError("gone")
    primary.gate = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        reads = [group.create_task(reader.read(ACME, Revision(10), KEYS)) for _ in range(2)]
        while primary.asked < 2:
            await asyncio.sleep(0)
        with pytest.raises(ProjectionLaggingError):
            await reader.read(ACME, Revision(10), KEYS)
        primary.gate.set()
    assert [list(read.result()) for read in reads] == [["primary"], ["primary"]]


async def test_with_both_gone_the_error_is_clear() -> None:
    replica, primary, reader = sources(10)
    replica.failure = primary.failure = UnavailableError("gone")
    with pytest.raises(UnavailableError, match="neither the replica nor the primary"):
        await reader.read(ACME, Revision(10), KEYS)


async def test_history_that_the_replica_does_not_hold_is_read_from_the_primary() -> None:
    replica, primary, reader = sources(10)
    replica.failure = BehindWindowError("collected")
    assert list(await reader.read(ACME, Revision(1), KEYS)) == ["primary"]
    assert replica.asked == 1
    primary.failure = BehindWindowError("collected here too")
    with pytest.raises(BehindWindowError, match="here too"):
        await reader.read(ACME, Revision(1), KEYS)


@pytest.mark.parametrize(
    ("at", "epoch_floor", "expected"),
    [
        (10, 0, None),
        (11, 0, ProjectionLaggingError),
        (5, 0, None),
        (4, 0, BehindWindowError),
        (3, 0, BehindWindowError),
        (10, 2, None),
        (10, 3, ProjectionLaggingError),
        (0, 3, BehindWindowError),
    ],
)
def test_the_guard_admits_from_floor_to_revision_in_the_epoch(at, epoch_floor, expected) -> None:
    guard = Guard(Revision(10), Revision(5), Revision(4), Epoch(2))
    refusal = guard.refusal(Revision(at), Epoch(epoch_floor))
    assert type(refusal) is (expected or type(None))


def test_a_tenant_never_written_can_be_read_at_zero_in_any_epoch() -> None:
    nobody = Guard(Revision(0), Revision(0), Revision(0), Epoch(0))
    assert nobody.refusal(Revision(0), Epoch(7)) is None
    assert isinstance(nobody.refusal(Revision(1)), ProjectionLaggingError)
