"""What a follower keeps of the topic."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from grantlog.changelog.kafka.intake import IDLE_ROUNDS_MAX, Intake
from grantlog.changelog.kafka.message import EventMessage, Fence, HeartbeatMessage
from grantlog.model.chain import GENESIS
from grantlog.model.change import TenantCreated, Transaction
from grantlog.model.ids import Epoch, Revision, TenantId

ACME, OTHER = TenantId("acme"), TenantId("other")
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
FENCE = Fence(Epoch(1), 1)


def entry(revision: int, tenant: TenantId = ACME) -> Transaction:
    """A link of a chain whose digests are its revisions."""
    return Transaction(
        tenant=tenant,
        epoch=Epoch(1),
        revision=Revision(revision),
        commit_time=NOON,
        body=TenantCreated("a name"),
        salt=b"",
        previous_digest=b"%d" % (revision - 1) if revision > 1 else GENESIS,
        digest=b"%d" % revision,
    )


def part(number: int, parts: int, *, revision: int = 1, tenant: TenantId = ACME) -> EventMessage:
    return EventMessage(FENCE, tenant, Revision(revision), number, parts, b"%d" % number)


def revisions(page: list[Transaction]) -> list[int]:
    return [each.revision for each in page]


def read(intake: Intake, after: int, changes_max: int = 100) -> list[int]:
    return revisions(intake.read(ACME, after=Revision(after), changes_max=changes_max))


@pytest.fixture
def intake() -> Intake:
    return Intake(2, bytes_max=100)


def test_parts_make_a_whole_only_in_order_and_without_a_gap(intake: Intake) -> None:
    assert intake.collect(part(0, 3)) is None
    assert intake.collect(part(0, 1, tenant=OTHER)) is not None
    assert intake.collect(part(1, 3)) is None
    whole = intake.collect(part(2, 3))
    assert whole is not None
    assert (list(whole.payloads), whole.size) == ([b"0", b"1", b"2"], 3)
    for wrong in (part(1, 3), part(1, 3, revision=2), part(1, 2)):
        assert intake.collect(part(0, 3)) is None
        lacking = replace(wrong, part=2) if wrong == part(1, 3) else wrong
        assert intake.collect(lacking) is None
        assert intake.collect(part(2, 3)) is None
    assert intake.counters.incomplete == 3


def test_parts_that_begin_anew_are_a_whole(intake: Intake) -> None:
    for number in (0, 1, 0, 1):
        assert intake.collect(part(number, 3)) is None
    assert intake.collect(part(2, 3)) is not None


def test_a_whole_transaction_ends_one_that_lacks_parts(intake: Intake) -> None:
    intake.collect(part(0, 2))
    assert intake.collect(part(0, 1, revision=2)) is not None
    assert intake.collect(part(1, 2)) is None


def test_a_succeeded_publisher_is_not_admitted_on_its_partition(intake: Intake) -> None:
    assert intake.admits(0, Fence(Epoch(1), 2))
    assert not intake.admits(0, Fence(Epoch(1), 1))
    assert intake.admits(0, Fence(Epoch(1), 2))
    assert intake.admits(0, Fence(Epoch(2), 1))
    assert not intake.admits(0, Fence(Epoch(1), 9))
    assert intake.admits(1, Fence(Epoch(1), 1))
    assert intake.counters.old_publishers == 2


def test_what_is_complete_is_told_when_all_partitions_told_it(intake: Intake) -> None:
    intake.beat(0, HeartbeatMessage(FENCE, NOON))
    assert intake.through is None
    intake.beat(1, HeartbeatMessage(FENCE, NOON + timedelta(seconds=5)))
    assert intake.through == NOON
    intake.beat(0, HeartbeatMessage(FENCE, NOON - timedelta(seconds=1)))
    assert intake.through == NOON
    intake.forget_place()
    assert intake.through is None


def test_a_run_is_read_in_order_in_pages_and_only_once(intake: Intake) -> None:
    for revision in range(3, 7):
        intake.keep(entry(revision), 1)
    assert read(intake, 1) == []
    assert read(intake, 2, changes_max=2) == [3, 4]
    assert read(intake, 4, changes_max=0) == [5]
    assert read(intake, 4) == []
    assert read(intake, 5) == [6]
    assert intake.counters.read_here == 4


def test_duplicates_and_what_was_read_are_not_kept(intake: Intake) -> None:
    intake.keep(entry(1), 1)
    intake.keep(entry(1), 1)
    assert read(intake, 0) == [1]
    intake.keep(entry(1), 1)
    intake.passed(ACME, Revision(3))
    intake.keep(entry(3), 1)
    assert intake.counters.duplicates == 3
    assert read(intake, 0) == []


@pytest.mark.parametrize("following", [entry(4), replace(entry(3), previous_digest=b"other")])
def test_what_does_not_continue_a_run_begins_another(intake: Intake, following) -> None:
    intake.keep(entry(1), 50)
    intake.keep(entry(2), 50)
    assert intake.full
    intake.keep(following, 1)
    assert not intake.full
    assert read(intake, 0) == []
    assert read(intake, following.revision - 1) == [following.revision]


def test_what_another_source_gave_makes_room(intake: Intake) -> None:
    for revision in (1, 2, 3):
        intake.keep(entry(revision), 40)
    assert intake.full
    intake.passed(ACME, Revision(2))
    assert not intake.full
    assert read(intake, 2) == [3]


def test_only_a_full_intake_drops_what_nobody_reads(intake: Intake) -> None:
    intake.keep(entry(1), 60)
    for _ in range(2 * IDLE_ROUNDS_MAX):
        intake.next_round()
    intake.keep(entry(1, OTHER), 60)
    assert intake.full
    intake.next_round()
    assert not intake.full
    assert intake.counters.dropped == 1
    assert read(intake, 0) == []
    assert revisions(intake.read(OTHER, after=Revision(0), changes_max=9)) == [1]


def test_who_hears_of_much_elsewhere_lets_what_it_does_not_read_go(intake: Intake) -> None:
    intake.keep(entry(1), 10)
    intake.keep(entry(1, OTHER), 10)
    for revision in (1, 2):
        intake.next_round(idle_max=3)
        assert intake.read(OTHER, after=Revision(revision), changes_max=9) == []
        intake.keep(entry(revision + 1, OTHER), 10)
    assert intake.counters.dropped == 0
    intake.next_round(idle_max=3)
    assert intake.counters.dropped == 1
    assert read(intake, 0) == []
    assert revisions(intake.read(OTHER, after=Revision(2), changes_max=9)) == [3]


def test_a_tenant_that_is_forgotten_leaves_nothing(intake: Intake) -> None:
    intake.keep(entry(1), 100)
    intake.forget(ACME)
    assert not intake.full
    intake.keep(entry(1), 1)
    assert read(intake, 0) == [1]
