"""The fold: however the log is cut, repeated or collected, the same facts hold."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantlog.errors import BehindWindowError, CorruptionError
from grantlog.model.change import DataWritten, TenantDeleted, Transaction
from grantlog.model.ids import Revision, TenantId
from grantlog.projection.fold import fold, lives
from grantlog.testing.contracts.places import Copy
from tests.contract.memory import memory_replica
from tests.property.fold_histories import every_key, histories, lived

TENANT = TenantId("acme")


async def states(copy: Copy, head: int) -> list[object]:
    """Everything that can be read, at every revision."""
    found: list[object] = []
    for at in range(head + 1):
        try:
            answers = list(await copy.facts.read(TENANT, Revision(at), every_key()))
            found.append((repr(answers), await copy.projection.digest(TENANT, Revision(at))))
        except BehindWindowError:
            found.append(BehindWindowError)
    return found


@given(histories, st.data())
def test_any_cutting_and_repeating_of_the_log_folds_to_the_primary(history, data) -> None:
    primary, log = lived(TENANT, history)
    replica = memory_replica()

    async def fold_in_pieces() -> None:
        at = 0
        while at < len(log):
            end = data.draw(st.integers(at + 1, len(log)), label="end")
            start = data.draw(st.integers(0, at), label="start again at")
            await replica.projection.apply(log[start:end])
            at = end

    asyncio.run(fold_in_pieces())
    assert asyncio.run(states(replica, len(log))) == asyncio.run(states(primary, len(log)))


@given(histories, st.data())
def test_a_log_with_a_hole_is_refused_and_leaves_the_replica_as_it_was(history, data) -> None:
    _, log = lived(TENANT, history)
    if len(log) < 2:
        return
    hole = data.draw(st.integers(0, len(log) - 2), label="hole")
    replica = memory_replica()

    async def skip() -> None:
        await replica.projection.apply(log[:hole])
        before = await states(replica, hole)
        with pytest.raises(CorruptionError):
            await replica.projection.apply(log[hole + 1 :])
        assert await states(replica, hole) == before

    asyncio.run(skip())


@given(histories)
def test_net_rows_are_the_changes_less_those_that_cancel(history) -> None:
    _, log = lived(TENANT, history)
    for run in lives(log):
        rows = fold(run)
        created = len(rows.tuples_created) + len(rows.attributes_created)
        passed = len(rows.tuples_passed) + len(rows.attributes_passed)
        expired = len(rows.tuples_expired) + len(rows.attributes_expired)
        assert created + expired + 2 * passed == sum(_changes(entry) for entry in run)
        assert len(run) == 1 or not any(isinstance(e.body, TenantDeleted) for e in run)


def _changes(entry: Transaction) -> int:
    return len(entry.body.changes) if isinstance(entry.body, DataWritten) else 0


@given(histories, st.data())
def test_collection_changes_no_answer_at_or_above_the_floor(history, data) -> None:
    primary, log = lived(TENANT, history)
    if not log:
        return
    floor = data.draw(st.integers(0, len(log)), label="floor")
    before = asyncio.run(states(primary, len(log)))
    asyncio.run(primary.collect(TENANT, Revision(floor)))
    after = asyncio.run(states(primary, len(log)))
    assert after[floor:] == before[floor:]
    assert set(map(str, after[:floor])) <= {str(BehindWindowError)}
