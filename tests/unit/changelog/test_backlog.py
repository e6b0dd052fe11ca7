"""What a publisher still has to send."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from grantlog.changelog.kafka.backlog import Backlog
from grantlog.changelog.parts import Part
from grantlog.changelog.postgres.outbox import WHOLE, Place
from grantlog.event.v1 import event_pb2
from grantlog.model.ids import Epoch, Revision, TenantId

ACME, OTHER, THIRD = TenantId("acme"), TenantId("other"), TenantId("third")
PAYLOAD = event_pb2.Event(tenant="acme").SerializeToString()
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def part(revision: int, number: int = 0, parts: int = 1, tenant: TenantId = ACME) -> Part:
    return Part(tenant, Revision(revision), number, parts, Epoch(1), PAYLOAD)


def test_turns_go_round() -> None:
    backlog = Backlog({ACME: Revision(2)})
    for tenant in (ACME, OTHER, THIRD):
        backlog.note(tenant, Revision(9))
    assert backlog.turn(2) == [
        (ACME, Place(Revision(2), WHOLE, complete=True)),
        (OTHER, Place(Revision(0), WHOLE, complete=True)),
    ]
    assert [tenant for tenant, _ in backlog.turn(2)] == [THIRD, ACME]
    assert len(backlog) == 3


def test_a_tenant_is_done_when_its_head_is_sent_as_a_whole() -> None:
    backlog = Backlog()
    backlog.note(ACME, Revision(1))
    first = backlog.sendable([part(1, 0, 2)], [ACME])
    backlog.sent(first)
    assert backlog
    assert backlog.place(ACME).published == 0
    rest = backlog.sendable([part(1, 1, 2)], [ACME])
    backlog.sent(rest)
    assert not backlog
    assert backlog.place(ACME).published == 1


def test_a_gap_stops_its_tenant_alone() -> None:
    backlog = Backlog()
    for tenant in (ACME, OTHER):
        backlog.note(tenant, Revision(3))
    parts = [part(1), part(3), part(1, tenant=OTHER), part(2, 1, 2, tenant=OTHER)]
    assert backlog.sendable(parts, [ACME, OTHER]) == [parts[0], parts[2]]
    assert set(backlog.stopped) == {ACME, OTHER}
    assert "part 0 of revision 3" in backlog.stopped[ACME]
    backlog.note(ACME, Revision(4))
    assert not backlog


def test_a_log_that_ends_before_its_head_or_before_what_was_published_stops_its_tenant() -> None:
    backlog = Backlog({OTHER: Revision(5)})
    backlog.note(ACME, Revision(2))
    backlog.note(OTHER, Revision(4))
    assert backlog.sendable([], [ACME]) == []
    assert "not at its head 2" in backlog.stopped[ACME]
    assert "revision 5 was published" in backlog.stopped[OTHER]


def test_a_time_is_complete_when_what_was_behind_at_it_is_sent_even_if_more_came() -> None:
    backlog = Backlog()
    backlog.aim(NOON)
    assert backlog.through == NOON
    backlog.note(ACME, Revision(1))
    backlog.aim(NOON + timedelta(seconds=1))
    backlog.note(ACME, Revision(9))
    backlog.aim(NOON + timedelta(seconds=2))
    assert backlog.through == NOON
    backlog.sent([part(1)])
    assert backlog.through == NOON + timedelta(seconds=1)
    backlog.aim(NOON + timedelta(seconds=3))
    assert backlog.through == NOON + timedelta(seconds=1)


def test_a_stopped_tenant_does_not_hold_the_time_back() -> None:
    backlog = Backlog()
    backlog.note(ACME, Revision(2))
    backlog.aim(NOON)
    backlog.sendable([part(2)], [ACME])
    backlog.aim(NOON + timedelta(seconds=1))
    assert backlog.through == NOON


def test_the_deletion_of_a_tenant_may_stand_behind_any_place() -> None:
    deletion = event_pb2.Event(tenant_deleted=event_pb2.TenantDeleted())
    deletion.tenant_deleted.SetInParent()
    deleted = replace(part(9), payload=deletion.SerializeToString())
    for before in ([], [part(1)], [part(1), part(2, 0, 3)]):
        backlog = Backlog()
        backlog.note(ACME, Revision(9))
        if before:
            backlog.sent(backlog.sendable(before, [ACME]))
        assert backlog.sendable([deleted], [ACME]) == [deleted]
        backlog.sent([deleted])
        assert not backlog.stopped
        assert not backlog
