"""A consumer applies each revision once, whatever is sent again, lost, cut or killed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grantlog.changelog.kafka.message import Fence, event_message, heartbeat_message
from grantlog.changelog.parts import Part
from grantlog.consumer.follow import ConsumerLimits, _Following
from grantlog.consumer.sequence import Sequencer
from grantlog.consumer.values import (
    Entry,
    PartitionPlace,
    Positions,
    RebuildNeededError,
    TenantPosition,
)
from grantlog.errors import CorruptionError, LimitError
from grantlog.event.v1 import event_pb2
from grantlog.model.chain import GENESIS
from grantlog.model.change import BundleDeleted, Change, DataWritten, TenantDeleted, Transaction
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.wire.event import encode_transaction
from tests.kafka_world import Record
from tests.property.test_wire_event import UNIX_EPOCH, sample, tuple_changes

T1, T2 = TenantId("t1"), TenantId("t2")


@dataclass
class Kept:
    """A store in memory."""

    entries: list[Entry] = field(default_factory=list)
    state: Positions = field(default_factory=Positions)

    async def positions(self) -> Positions:
        return self.state

    async def apply(self, batch: Sequence[Entry], positions: Positions) -> None:
        self.entries += batch
        self.state = Positions(
            positions.topic,
            {**self.state.tenants, **positions.tenants},
            {**self.state.partitions, **positions.partitions},
        )

    def of(self, tenant: TenantId) -> list[int]:
        return [entry.revision for entry in self.entries if entry.tenant == tenant]


def entry_of(
    tenant: TenantId, revision: int, *, epoch: int = 1, before: bytes | None = None, **other
) -> Transaction:
    digest = f"{tenant}-{epoch}-{revision}".encode().ljust(16, b".")
    previous = f"{tenant}-{epoch}-{revision - 1}".encode().ljust(16, b".")
    return replace(
        sample(BundleDeleted("b")),
        tenant=tenant, revision=Revision(revision), epoch=Epoch(epoch), digest=digest,
        previous_digest=before or (GENESIS if revision == 1 else previous), **other,
    )  # fmt: skip


@dataclass
class Topic:
    """One partition, and the consumers that read it one behind the other."""

    store: Kept = field(default_factory=Kept)
    records: list[Record] = field(default_factory=list)
    told: list[RebuildNeededError] | None = None
    rebuilt: TenantPosition | None = None
    kept_before: list[int] | None = None
    """What had been applied of the tenant when a rebuild was asked for."""

    def send(self, *entries: Transaction, publisher: int = 1, cut: int | None = None) -> None:
        """Put transactions on it, each in as many parts as it has; of the last one only `cut`."""
        for entry in entries:
            payloads = encode_transaction(entry)
            for number, payload in enumerate(payloads):
                if cut is not None and entry is entries[-1] and number >= cut:
                    return
                part = Part(entry.tenant, entry.revision, number, len(payloads), entry.epoch,
                            payload)  # fmt: skip
                sent = event_message(part, partition=0, fence=Fence(Epoch(1), publisher))
                self.put(sent.key, sent.value, sent.headers)

    def put(self, key, value, headers) -> None:
        self.records.append(Record("t", 0, len(self.records), key, value, headers))

    async def consume(self, count: int | None = None, *, keep: bool = True) -> None:
        """Read on from where the store stands; `keep=False` is killed before it keeps the end."""
        sequence = Sequencer("t", self.store.state)
        handler = self.rebuild if self.told is not None else None
        following = _Following(sequence, self.store, None, handler, ConsumerLimits())
        start = sequence.place(0).offset
        for record in self.records[start:][:count]:
            try:
                await following._take(record)
            except RebuildNeededError:
                await following._keep()
                raise
        if keep:
            await following._keep()

    async def rebuild(self, error: RebuildNeededError) -> TenantPosition | None:
        assert self.told is not None
        self.told.append(error)
        self.kept_before = self.store.of(error.tenant)
        return self.rebuilt


@pytest.fixture(autouse=True, scope="module")
def small_parts() -> Iterator[None]:
    """Two changes are a part, so that large transactions are small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("grantlog.wire.event.PART_CHANGES_MAX", 2)
        yield


def large(tenant: TenantId, revision: int) -> Transaction:
    entry = entry_of(tenant, revision)
    return replace(entry, body=DataWritten(_MANY, SchemaVersion("v")))


_MANY: tuple[Change, ...] = tuple_changes(5)
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


async def test_a_new_epoch_goes_on_where_its_history_holds_what_was_applied() -> None:
    topic = Topic()
    topic.send(entry_of(T1, 1), entry_of(T1, 2))
    topic.send(entry_of(T1, 3, epoch=2, before=entry_of(T1, 2).digest))
    topic.send(entry_of(T1, 1), entry_of(T1, 2))  # `grantlog topic republish`
    await topic.consume()
    assert topic.store.of(T1) == [1, 2, 3]


async def test_what_comes_late_of_an_epoch_that_ended_is_ignored() -> None:
    topic = Topic()
    topic.send(entry_of(T1, 1), entry_of(T1, 2, epoch=2, before=entry_of(T1, 1).digest))
    topic.send(entry_of(T1, 2), entry_of(T1, 3), entry_of(T1, 5))
    await topic.consume()
    assert topic.store.of(T1) == [1, 2]


@pytest.mark.parametrize(
    "lost",
    [
        entry_of(T1, 2, epoch=2),  # over what was applied
        entry_of(T1, 3, epoch=2),  # behind it
        entry_of(T1, 2, before=b"o" * 16, commit_time=UNIX_EPOCH),
    ],
)
async def test_a_history_without_what_was_applied_needs_a_rebuild(lost: Transaction) -> None:
    topic = Topic()
    topic.send(entry_of(T1, 1), entry_of(T1, 2))
    if lost.epoch == 1:
        lost = replace(lost, digest=b"o" * 16)
    topic.send(lost)
    with pytest.raises(RebuildNeededError, match="was the primary restored"):
        await topic.consume()
    assert topic.store.of(T1) == [1, 2]


async def test_an_unknown_digest_and_a_new_epoch_are_asked_about() -> None:
    topic = Topic()
    topic.store.state = Positions("t", {T1: TenantPosition(1, 2)})
    topic.send(entry_of(T1, 3))
    await topic.consume()
    topic = Topic()
    topic.store.state = Positions("t", {T1: TenantPosition(1, 2)})
    topic.send(entry_of(T1, 3, epoch=2))
    with pytest.raises(RebuildNeededError, match="no API node"):
        await topic.consume()


async def test_a_deletion_of_the_tenant_may_stand_behind_any_revision() -> None:
    topic = Topic()
    topic.send(entry_of(T1, 1), entry_of(T1, 7, body=TenantDeleted()), entry_of(T1, 8))
    await topic.consume()
    assert topic.store.of(T1) == [1, 7, 8]


async def test_what_is_not_known_stops_its_tenant_by_name() -> None:
    topic = Topic(told=[])
    topic.send(entry_of(T1, 1))
    last = topic.records[-1]
    event = event_pb2.Event.FromString(last.value or b"")
    event.ClearField("body")
    topic.records[-1] = replace(last, value=event.SerializeToString())
    headers = tuple({**dict(last.headers), "grantlog-kind": b"later"}.items())
    topic.put(T2.encode(), b"x", headers)
    topic.send(entry_of(TenantId("t3"), 1))
    await topic.consume()
    stopped = {tenant: at.stopped for tenant, at in topic.store.state.tenants.items() if at.stopped}
    assert "offset 0 of partition 0" in stopped[T1]
    assert "kind that is not known" in stopped[T1]
    assert "its kind (later) is not known" in stopped[T2]
    assert topic.store.of(TenantId("t3")) == [1]
    topic.put(None, b"x", headers)
    with pytest.raises(CorruptionError, match="offset 3 of partition 0"):
        await topic.consume()


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
