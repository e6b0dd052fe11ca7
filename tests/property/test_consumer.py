"""A consumer applies each revision once, whatever is sent again, lost, cut or killed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grantlog.changelog.kafka.message import Fence, heartbeat_message
from grantlog.consumer.follow import ConsumerLimits, _Following
from grantlog.consumer.sequence import Sequencer
from grantlog.consumer.values import (
    PartitionPlace,
    Positions,
    RebuildNeededError,
    TenantPosition,
)
from grantlog.errors import LimitError
from grantlog.model.ids import Epoch
from tests.property.consumer_topic import T1, T2, Kept, Topic, entry_of, large
from tests.property.test_wire_event import UNIX_EPOCH


@pytest.fixture(autouse=True, scope="module")
def small_parts() -> Iterator[None]:
    """Two changes are a part, so that large transactions are small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("grantlog.wire.event.PART_CHANGES_MAX", 2)
        yield


steps = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sampled_from([T1, T2]), st.booleans()),
        st.tuples(st.just("cut"), st.sampled_from([T1, T2]), st.booleans()),
        st.tuples(st.just("again"), st.integers(1, 4), st.booleans()),
        st.tuples(st.just("read"), st.integers(0, 6), st.booleans()),
    ),
    min_size=3,
    max_size=25,
)


@settings(max_examples=40)
@given(steps)
async def test_each_revision_is_applied_once_and_in_order(steps) -> None:
    topic, log, publisher = Topic(), {T1: [], T2: []}, 1
    for step in steps:
        match step:
            case ("send", tenant, is_large):
                revision = len(log[tenant]) + 1
                log[tenant].append((large if is_large else entry_of)(tenant, revision))
                topic.send(log[tenant][-1], publisher=publisher)
            case ("cut", tenant, _):  # a publisher dies within a transaction: its successor
                publisher += 1  # sends it again, behind what it had sent before
                log[tenant].append(large(tenant, len(log[tenant]) + 1))
                topic.send(log[tenant][-1], publisher=publisher - 1, cut=2)
                topic.send(*log[tenant][-2:], publisher=publisher)
            case ("again", behind, _):
                publisher += 1
                for tenant in (T1, T2):
                    topic.send(*log[tenant][-behind:], publisher=publisher)
                if publisher > 2:
                    topic.send(*log[T1][-1:], publisher=publisher - 2)  # it wakes up late
            case ("read", count, keep):
                await topic.consume(count, keep=keep)
    await topic.consume()
    for tenant in (T1, T2):
        assert topic.store.of(tenant) == [entry.revision for entry in log[tenant]]
        bodies = [entry.body for entry in topic.store.entries if entry.tenant == tenant]
        assert bodies == [entry.body for entry in log[tenant]]


async def test_a_gap_without_an_api_node_needs_a_rebuild_and_what_came_before_is_kept() -> None:
    topic = Topic()
    topic.send(entry_of(T1, 1), entry_of(T2, 1), entry_of(T1, 3), entry_of(T2, 2))
    with pytest.raises(RebuildNeededError, match="has revision 3 behind 1"):
        await topic.consume()
    assert (topic.store.of(T1), topic.store.of(T2)) == ([1], [1])
    with pytest.raises(RebuildNeededError):  # and again at the next start
        await topic.consume()


async def test_a_tenant_that_is_stopped_does_not_hold_the_others() -> None:
    topic = Topic(told=[])
    topic.send(entry_of(T1, 1), entry_of(T1, 3), entry_of(T1, 4), entry_of(T2, 1))
    await topic.consume()
    topic.send(entry_of(T1, 5), entry_of(T2, 2))
    await topic.consume()
    assert (topic.store.of(T1), topic.store.of(T2)) == ([1], [1, 2])
    assert [error.tenant for error in topic.told or ()] == [T1]
    assert "has revision 3 behind 1" in topic.store.state.tenants[T1].stopped


async def test_behind_a_rebuild_the_tenant_goes_on() -> None:
    topic = Topic(told=[], rebuilt=TenantPosition(1, 5))
    topic.send(entry_of(T1, 1), *(entry_of(T1, revision) for revision in range(3, 8)))
    await topic.consume()
    assert topic.store.of(T1) == [1, 6, 7]
    assert topic.kept_before == [1], "nothing older may be applied behind a rebuild"
    assert topic.store.state.tenants[T1] == TenantPosition(1, 7, entry_of(T1, 7).digest)


async def test_a_rebuild_from_before_the_gap_stops_the_tenant() -> None:
    topic = Topic(told=[], rebuilt=TenantPosition(1, 2))
    topic.send(entry_of(T1, 1), entry_of(T1, 3), entry_of(T1, 4))
    await topic.consume()
    assert "stands at revision 2, 3 was" in topic.store.state.tenants[T1].stopped


async def test_heartbeats_move_the_place_and_the_publisher() -> None:
    topic = Topic()
    beat = heartbeat_message(partition=0, fence=Fence(Epoch(1), 9), through=UNIX_EPOCH)
    topic.put(None, beat.value, beat.headers)
    topic.send(entry_of(T1, 1), publisher=8)
    await topic.consume()
    assert topic.store.state.partitions[0] == PartitionPlace(2, (1, 9), 0)
    assert topic.store.of(T1) == []


async def test_places_of_another_topic_are_not_used() -> None:
    topic = Topic(store=Kept(state=Positions("other", {}, {0: PartitionPlace(5, (3, 3), 1)})))
    topic.send(entry_of(T1, 1))
    await topic.consume()
    assert topic.store.of(T1) == [1]


async def test_open_transactions_have_a_bound() -> None:
    sequence = Sequencer("t", Positions(), open_bytes_max=10)
    topic = Topic()
    topic.send(large(T1, 1))
    following = _Following(sequence, topic.store, None, None, ConsumerLimits())
    with pytest.raises(LimitError, match="more than 10 bytes"):
        await following._take(topic.records[0])
