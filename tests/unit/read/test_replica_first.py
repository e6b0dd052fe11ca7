"""A replica that lags, dies, or stands in another epoch: who answers, and with what."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from grantlog.errors import (
    BehindWindowError,
    OtherEpochError,
    ProjectionLaggingError,
    UnavailableError,
)
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.store.postgres.guard import Guard
from tests.unit.read.copies import ACME, KEYS, QUICK, served


async def told(reader, at: int = 10, tenant: TenantId = ACME) -> str:
    (name,) = await reader.read(tenant, Revision(at), KEYS)
    return name


async def test_a_replica_that_is_there_answers_alone() -> None:
    (replica,), primary, reader = served(10)
    assert await told(reader) == "r1"
    assert (replica.asked, primary.asked) == (1, 0)


async def test_a_replica_that_arrives_within_the_wait_answers() -> None:
    (replica,), primary, reader = served(9)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(told(reader))
        while replica.asked < 3:
            await asyncio.sleep(0)
        replica.revision = 10
    assert reading.result() == "r1"
    assert primary.asked == 0


async def test_a_replica_that_does_not_arrive_leaves_it_to_the_primary() -> None:
    _, primary, reader = served(9)
    assert await told(reader) == "primary"
    assert primary.asked == 1


async def test_a_revision_is_waited_for_once_however_many_reads_its_question_takes() -> None:
    (replica,), primary, reader = served(9)
    assert await told(reader) == "primary"
    asked = replica.asked
    for _ in range(5):
        assert await told(reader) == "primary"
    assert (replica.asked, primary.asked) == (asked + 5, 6)
    assert await told(reader, tenant=TenantId("other")) == "primary"
    assert replica.asked > asked + 6, "another tenant's revision has a wait of its own"
    replica.revision = 10
    assert await told(reader) == "r1"


async def test_after_a_wait_in_vain_a_tenants_next_revisions_are_not_waited_for() -> None:
    (replica,), primary, reader = served(8)
    assert await told(reader, 9) == "primary"
    asked = replica.asked
    assert await told(reader, 10) == "primary"
    assert (replica.asked, primary.asked) == (asked + 1, 2)


async def test_a_replica_that_failed_is_left_out_until_it_is_found_well() -> None:
    (replica,), _, reader = served(10)
    state = replica.state
    assert state is not None
    replica.failure = UnavailableError("gone")
    for _ in range(5):
        assert await told(reader) == "primary"
    assert (replica.asked, state.out_because) == (1, "gone")
    assert state.failed_now.is_set(), "whoever probes it is told"
    replica.failure = None
    assert await told(reader) == "primary"
    assert state.kind is not None
    state.fits(state.kind)
    assert await told(reader) == "r1"


async def test_more_than_the_primary_may_take_is_shed() -> None:
    for failure, at, expected in (
        (UnavailableError("gone"), 10, "no replica answers and the primary has enough to do"),
        (None, 9, "no replica can answer yet and the primary has enough to do"),
    ):
        (replica,), primary, reader = served(at, limits=replace(QUICK, wait_s_max=0.0))
        replica.failure = failure
        primary.gate = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            reads = [group.create_task(told(reader)) for _ in range(2)]
            while primary.asked < 2:
                await asyncio.sleep(0)
            with pytest.raises(UnavailableError, match=expected):
                await told(reader)
            primary.gate.set()
        assert [read.result() for read in reads] == ["primary", "primary"]


async def test_with_both_gone_the_error_is_clear() -> None:
    (replica,), primary, reader = served(10)
    replica.failure = primary.failure = UnavailableError("gone")
    with pytest.raises(UnavailableError, match="neither a replica nor the primary"):
        await told(reader)


async def test_history_that_the_replica_does_not_hold_is_read_from_the_primary() -> None:
    (replica,), primary, reader = served(10)
    replica.failure = BehindWindowError("collected")
    assert await told(reader, 1) == "primary"
    assert replica.asked == 1
    primary.failure = BehindWindowError("collected here too")
    with pytest.raises(BehindWindowError, match="here too"):
        await told(reader, 1)


@pytest.mark.parametrize(
    ("at", "epoch", "expected"),
    [
        (10, 0, None),
        (11, 0, ProjectionLaggingError),
        (5, 0, None),
        (4, 0, BehindWindowError),
        (3, 0, BehindWindowError),
        (10, 2, None),
        (10, 3, OtherEpochError),
        (10, 1, OtherEpochError),
        (0, 3, BehindWindowError),
    ],
)
def test_the_guard_admits_from_floor_to_revision_in_the_epoch(at, epoch, expected) -> None:
    guard = Guard(Revision(10), Revision(5), Revision(4), Epoch(2))
    refusal = guard.refusal(Revision(at), Epoch(epoch))
    assert type(refusal) is (expected or type(None))


def test_a_tenant_never_written_can_be_read_at_zero_in_any_epoch() -> None:
    nobody = Guard(Revision(0), Revision(0), Revision(0), Epoch(0))
    assert nobody.refusal(Revision(0), Epoch(7)) is None
    assert isinstance(nobody.refusal(Revision(1)), ProjectionLaggingError)
