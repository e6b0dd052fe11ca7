"""What a consumer makes of histories that are not its own, and of what it does not know."""

from __future__ import annotations

from dataclasses import replace

import pytest

from grantlog.consumer.values import (
    Positions,
    RebuildNeededError,
    TenantPosition,
)
from grantlog.errors import CorruptionError
from grantlog.event.v1 import event_pb2
from grantlog.model.change import TenantDeleted, Transaction
from grantlog.model.ids import TenantId
from tests.property.consumer_topic import T1, T2, Topic, entry_of
from tests.property.test_wire_event import UNIX_EPOCH


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
