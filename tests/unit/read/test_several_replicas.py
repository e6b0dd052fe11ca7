"""Several replicas: which is asked, what happens when one fails, and what is never mixed."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from grantlog.errors import (
    BehindWindowError,
    ConflictError,
    CorruptionError,
    InvalidInputError,
    PreconditionError,
    ProjectionLaggingError,
    UnavailableError,
)
from grantlog.model.ids import ANY_EPOCH, NOTHING, Epoch, Revision, TenantId
from grantlog.ports.standing import Source as Origin
from grantlog.ports.standing import follow_standing
from grantlog.store.postgres.driver_errors import StatementCancelledError
from grantlog.store.postgres.guard import Guard
from grantlog.store.postgres.lives import RUN_AS_PRIMARY, Identity, Kind
from grantlog.store.postgres.replica_first import ReplicaLimits
from grantlog.store.postgres.replica_state import ReplicaState
from tests.unit.read.copies import ACME, LIVES, QUICK, own_log, served
from tests.unit.read.test_replica_first import told


async def test_questions_take_turns_among_replicas_that_have_as_little_to_do() -> None:
    replicas, primary, reader = served(10, 10, 10)
    assert Counter([await told(reader) for _ in range(30)]) == {"r1": 10, "r2": 10, "r3": 10}
    assert primary.asked == 0
    del replicas


async def test_a_busy_replica_is_spared() -> None:
    (slow, _), _, reader = served(10, 10)
    slow.gate = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(told(reader))
        while not slow.asked:
            await asyncio.sleep(0)
        assert {await told(reader) for _ in range(10)} == {"r2"}
        slow.gate.set()
    assert waiting.result() == "r1"


async def test_a_replica_seen_behind_is_not_asked_before_one_that_may_be_there() -> None:
    (behind, _), primary, reader = served(9, 10)
    assert {await told(reader) for _ in range(20)} == {"r2"}
    assert behind.asked == 1, "its guard said where it is"
    assert primary.asked == 0
    assert await told(reader, 9) == "r1", "what it has, it may answer"


async def test_one_that_arrives_answers_for_all_that_lag() -> None:
    patient = replace(QUICK, wait_s_max=60.0)
    (first, second), primary, reader = served(8, 9, limits=patient)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(told(reader))
        while second.asked < 3:
            await asyncio.sleep(0)
        second.revision = 10
    assert reading.result() == "r2"
    assert first.asked >= 2
    assert primary.asked == 0


async def test_all_reads_of_a_request_stay_on_one_replica_until_it_fails() -> None:
    replicas, _, reader = served(10, 10, 10)

    async def request() -> tuple[set[str], str, Origin]:
        standing = follow_standing()
        before = {await told(reader) for _ in range(7)}
        (mine,) = (source for source in replicas if source.name in before)
        mine.failure = UnavailableError("gone")
        after = {await told(reader) for _ in range(7)}
        assert len(after) == 1
        return before, after.pop(), standing.source

    async with asyncio.TaskGroup() as group:
        asking = group.create_task(request())
    before, after, source = asking.result()
    assert len(before) == 1
    assert after not in before
    assert source is Origin.REPLICA


@pytest.mark.parametrize("failure", [UnavailableError, PreconditionError])
async def test_a_failed_replicas_requests_go_on_elsewhere(failure) -> None:
    (dead, _), primary, reader = served(10, 10)
    dead.failure = failure("it went away")
    assert {await told(reader) for _ in range(10)} == {"r2"}
    assert (dead.asked, primary.asked) == (1, 0)
    assert dead.state is not None
    assert dead.state.out_because == "it went away"


@pytest.mark.parametrize(
    "failure", [ConflictError, StatementCancelledError, CorruptionError, BehindWindowError]
)
async def test_what_one_statement_met_does_not_count_against_the_replica(failure) -> None:
    (unlucky, _), primary, reader = served(10, 10)
    unlucky.failure = failure("canceling statement due to conflict with recovery")
    assert {await told(reader) for _ in range(10)} == {"r2"}
    assert primary.asked == 0
    unlucky.failure = None
    assert {await told(reader) for _ in range(10)} == {"r1", "r2"}


async def test_the_requests_own_mistake_is_told_by_the_first_that_is_asked() -> None:
    (first, second), primary, reader = served(10, 10)
    first.failure = InvalidInputError("a NUL")
    with pytest.raises(InvalidInputError, match="a NUL"):
        await told(reader)
    assert (second.asked, primary.asked) == (0, 0)
    assert first.state is not None
    assert first.state.is_in


async def test_a_replica_that_hangs_while_it_is_waited_for_costs_no_more_than_the_wait() -> None:
    (replica,), _, reader = served(9)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(told(reader))
        while not replica.asked:
            await asyncio.sleep(0)
        replica.gate = asyncio.Event()
    assert reading.result() == "primary"


async def test_what_an_unfit_replica_is_asked_just_then_is_asked_elsewhere() -> None:
    (hung, _), primary, reader = served(10, 10)
    hung.gate = asyncio.Event()
    assert hung.state is not None
    async with asyncio.TaskGroup() as group:
        reads = [group.create_task(told(reader)) for _ in range(8)]
        while not hung.asked:
            await asyncio.sleep(0)
        hung.state.unfit("it does not answer in time")
    assert {read.result() for read in reads} == {"r2"}
    assert hung.asked == 1
    assert not hung.state.in_flight
    assert hung.state.out_because == "it does not answer in time"
    assert primary.asked == 0


async def test_a_replica_may_be_found_unfit_while_a_read_of_it_is_still_ending() -> None:
    """A statement on a server that hangs is not over at once; probes go on meanwhile."""
    (hung, _), _, reader = served(10, 10)
    assert hung.state is not None
    hung.gate, hung.farewell = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(told(reader))
        try:
            while not hung.asked:
                await asyncio.sleep(0)
            hung.state.unfit("it does not answer in time")
            while not hung.leaving:
                await asyncio.sleep(0)
            hung.state.unfit("the database does not answer")
        finally:
            hung.farewell.set()
    assert reading.result() == "r2"
    assert not hung.state.in_flight


def at(revision: int, epoch: int = 2) -> Guard:
    return Guard(Revision(revision), NOTHING, NOTHING, Epoch(epoch))


async def test_another_epoch_than_the_logs_newest_is_refused_whichever_way_it_differs() -> None:
    state = ReplicaState(1, own_log())
    state.fits(Kind.STANDBY)
    assert state.admit(ACME, Revision(5), ANY_EPOCH, at(5)) is None
    for epoch in (1, 3):
        refusal = state.admit(ACME, Revision(5), ANY_EPOCH, at(5, epoch))
        assert isinstance(refusal, ProjectionLaggingError)


@pytest.mark.parametrize("resolved", [1, 3])
async def test_a_read_of_another_epoch_than_was_proven_is_refused_and_the_log_doubted(
    resolved,
) -> None:
    log = own_log()
    state = ReplicaState(1, log)
    state.fits(Kind.STANDBY)
    assert isinstance(
        state.admit(ACME, Revision(5), Epoch(resolved), at(5, resolved)), ProjectionLaggingError
    )
    assert log.doubted.is_set()


async def test_what_was_not_proven_in_this_epoch_answers_nothing() -> None:
    state = ReplicaState(1, own_log())
    assert isinstance(state.admit(ACME, Revision(5), ANY_EPOCH, at(9)), UnavailableError)
    state.fits(Kind.PROJECTED)
    assert state.admit(ACME, Revision(5), ANY_EPOCH, at(9)) is None
    state.doubt()
    assert not state.is_in
    assert isinstance(state.admit(ACME, Revision(5), ANY_EPOCH, at(9)), UnavailableError)


async def test_how_far_a_replica_was_is_forgotten_with_what_it_was() -> None:
    state = ReplicaState(1, own_log())
    state.fits(Kind.PROJECTED)
    state.admit(ACME, Revision(5), ANY_EPOCH, at(4))
    assert state.seems_behind(ACME, Revision(5))
    assert not state.seems_behind(ACME, Revision(4))
    assert not state.seems_behind(TenantId("other"), Revision(5))
    state.unfit("it holds another log")
    assert not state.seems_behind(ACME, Revision(5))


def test_a_replica_is_left_alone_longer_with_every_failure_up_to_a_bound() -> None:
    limits = ReplicaLimits(back_s_min=0.1, back_s_max=1.0)
    assert [limits.back_s(n) for n in (1, 2, 3, 4, 5, 10_000)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


@pytest.mark.parametrize(
    ("in_recovery", "has_log", "life", "started", "expected"),
    [
        (True, True, LIVES.newest, 7, ""),
        (False, False, LIVES.newest, 7, ""),
        (True, False, LIVES.newest, 7, ""),
        (False, True, LIVES.newest, 0, ""),
        (False, True, LIVES.newest, 7, "it is a primary of its own: promoted, or never a copy"),
        (True, True, "1/1600/system/1", 7, "it has not reached the log's newest epoch"),
        (False, False, "", 7, "it follows no log: no projector has begun to fold into it"),
        (True, True, "2/1701/system/1", 7, "it holds another log than this primary's"),
        (True, True, "3/1800/system/2", 7, "it holds another log than this primary's"),
    ],
)
def test_a_database_must_be_a_copy_of_the_log_in_its_newest_epoch(
    in_recovery, has_log, life, started, expected
) -> None:
    assert Identity(started, in_recovery, has_log, life).misfit(LIVES) == expected


def test_a_replica_that_was_run_as_a_primary_is_told_as_such_unless_it_is_the_primary() -> None:
    for started, life in ((7, "9/1/other/1"), (0, "9/1/other/1"), (7, LIVES.newest)):
        found = Identity(started, in_recovery=False, has_log=True, life=life, was_replica=True)
        assert found.misfit(LIVES) == RUN_AS_PRIMARY
    primary = Identity(0, in_recovery=False, has_log=True, life=LIVES.newest, was_replica=True)
    assert primary.misfit(LIVES) == ""
    copy = Identity(7, in_recovery=True, has_log=True, life=LIVES.newest, was_replica=True)
    assert copy.misfit(LIVES) == ""


async def test_a_revision_that_even_the_primary_lacks_is_told_as_such() -> None:
    _, _, reader = served(9)
    with pytest.raises(ProjectionLaggingError, match="primary is at 10"):
        await told(reader, 11)
