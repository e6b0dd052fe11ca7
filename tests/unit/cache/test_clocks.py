"""The validity clock: the rule, what moves it, what ends it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from grantlog.cache.clock import (
    CHANGES_TOUCHED_MAX,
    KIND_SLOTS,
    SLOT_BYTES,
    SLOTS_MIN,
    Cause,
    fact_dependency,
)
from grantlog.cache.clocks import Clocks
from grantlog.model.change import SchemaWritten, TenantDeleted
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from tests.unit.cache.making import ACME, clock, head, stable_hash, transaction, written

DOC = stable_hash(("doc", "1", "viewer"))
OTHER = stable_hash(("folder", "9", "viewer"))
DOCS = ~stable_hash(("doc", "viewer"))
VIEWED = written("doc:1#viewer@user:1")


def told(began: int, *revisions: int):
    """A clock that began at a revision and saw doc:1#viewer touched at the first one given."""
    one = clock(began)
    first, *rest = revisions
    for revision in range(began + 1, max(revisions) + 1):
        body = VIEWED if revision in (first, *rest[:-1]) else SchemaWritten(SchemaVersion("v"), "")
        assert one.follow(transaction(revision, body))
    return one


def test_a_value_answers_at_the_very_revision_it_was_read_at_whatever_the_clock_knows():
    assert clock(10).may_answer(Revision(3), Revision(3), [DOC])
    assert clock(10).may_answer(Revision(99), Revision(99), [DOC])


@pytest.mark.parametrize(
    ("read_at", "at", "may"),
    [
        (10, 11, False),  # right, but of a touch only the newest is known
        (10, 12, False),
        (11, 12, False),
        (12, 14, True),
        (14, 12, True),  # as of earlier: the rule has no direction
        (14, 11, False),
        (9, 11, False),  # before the base
        (12, 15, False),  # ahead of what was seen
    ],
)
def test_a_value_answers_where_nothing_it_depends_on_moved_in_between(read_at, at, may):
    one = told(10, 12, 14)
    assert one.may_answer(Revision(read_at), Revision(at), [DOC]) is may


def test_a_key_that_nothing_touched_answers_over_the_whole_interval():
    one = told(10, 12, 14)
    assert one.may_answer(Revision(10), Revision(14), [OTHER])
    assert not one.may_answer(Revision(10), Revision(14), [OTHER, DOC])


def test_a_whole_relation_of_a_type_is_touched_by_each_of_its_facts():
    one = told(10, 12, 14)
    assert not one.may_answer(Revision(10), Revision(14), [DOCS])
    assert one.may_answer(Revision(12), Revision(14), [DOCS])


def test_a_collision_costs_an_answer():
    one = clock(0, slots=1)
    one.follow(transaction(1, VIEWED))
    assert not one.may_answer(Revision(0), Revision(1), [OTHER])


def test_growing_forgets_nothing_and_frees_what_collided_only_later():
    one = clock(0, slots=1)
    one.follow(transaction(1, VIEWED))
    for _ in range(8):
        one.grow()
    assert one.slots == 256
    assert not one.may_answer(Revision(0), Revision(1), [DOC])
    assert not one.may_answer(Revision(0), Revision(1), [OTHER])
    one.follow(transaction(2, VIEWED))
    assert one.may_answer(Revision(1), Revision(2), [OTHER])
    assert not one.may_answer(Revision(1), Revision(2), [DOC])


def test_why_not_names_what_stands_against_it():
    one = told(10, 12, 14)
    assert one.why_not(Revision(12), Revision(15)) is Cause.AHEAD
    assert one.why_not(Revision(9), Revision(14)) is Cause.BEFORE
    assert one.why_not(Revision(10), Revision(14)) is Cause.MOVED


def test_what_was_taken_in_is_passed_over_and_a_gap_is_not_taken_in():
    one = told(10, 12, 14)
    assert one.follow(transaction(13, VIEWED))
    assert one.seen == 14
    assert not one.follow(transaction(16, VIEWED))
    assert one.seen == 14


def test_a_large_write_moves_the_base_and_touches_no_slot():
    one = clock(0)
    many = written(*[f"doc:{n}#viewer@user:1" for n in range(CHANGES_TOUCHED_MAX + 1)])
    assert one.follow(transaction(1, many))
    assert (one.base, one.seen) == (1, 1)
    assert not one.may_answer(Revision(0), Revision(1), [OTHER])


def test_attributes_touch_their_name():
    one = clock(0)
    one.follow(transaction(1, written("doc:1$public|boolean:true")))
    public = fact_dependency("doc", "1", "public")
    assert not one.may_answer(Revision(0), Revision(1), [public])
    assert one.may_answer(Revision(0), Revision(1), [DOC])


def test_a_question_of_another_life_has_another_clock():
    clocks = Clocks()
    first = clocks.at(ACME, head(10))
    assert clocks.at(ACME, head(11)) is first
    second = clocks.at(ACME, head(12, begins=12))
    assert second is not None
    assert first is not None
    assert second.number != first.number
    assert clocks.at(ACME, head(9)) is None, "that life is over"
    third = clocks.at(ACME, head(3, epoch=2))
    assert third is not None
    assert third.number != second.number
    assert clocks.at(ACME, head(12, begins=12)) is None, "that history is over"


def test_a_deletion_a_new_epoch_or_another_history_end_a_clock():
    clocks = Clocks()
    for ending in (
        transaction(11, TenantDeleted()),
        transaction(11, VIEWED, epoch=2),
        transaction(3, VIEWED, epoch=2),
    ):
        clocks.at(ACME, head(10))
        assert clocks.follow([ending])
        assert clocks.find(ACME) is None
    clocks.at(ACME, head(10))
    assert clocks.follow([transaction(11, VIEWED)])
    assert not clocks.follow([transaction(12, VIEWED, after="other")])
    assert clocks.find(ACME) is None


def test_a_late_message_of_an_ended_epoch_or_life_moves_nothing():
    clocks = Clocks()
    one = clocks.at(ACME, head(10, epoch=2, begins=5))
    assert one is not None
    assert clocks.follow([transaction(11, VIEWED, epoch=1)])
    assert clocks.follow([transaction(5, TenantDeleted(), epoch=2)])
    assert clocks.find(ACME) is one
    assert one.seen == 10


def test_clocks_are_bounded_and_the_one_not_asked_for_goes():
    clocks = Clocks(tenants_max=2)
    a, b, c = (TenantId(name) for name in "abc")
    clocks.at(a, head(1))
    clocks.at(b, head(1))
    clocks.at(a, head(1))
    clocks.at(c, head(1))
    assert clocks.find(b) is None
    assert clocks.find(a) is not None
    assert clocks.slot_bytes == 2 * SLOT_BYTES * (SLOTS_MIN + KIND_SLOTS)


def test_slots_grow_with_what_is_touched_up_to_the_bounds():
    clocks = Clocks(slots_min=2, slots_max=8)
    one = clocks.at(ACME, head(0))
    assert one is not None
    for revision in range(1, 40):
        clocks.follow([transaction(revision, VIEWED)])
    assert one.slots == 8
    tight = Clocks(slots_min=2, slot_bytes_max=SLOT_BYTES * (2 + KIND_SLOTS))
    one = tight.at(ACME, head(0))
    assert one is not None
    for revision in range(1, 40):
        tight.follow([transaction(revision, VIEWED)])
    assert one.slots == 2


def test_few_of_the_slots_have_been_touched_so_that_other_values_are_seldom_lost():
    clocks = Clocks()
    one = clocks.at(ACME, head(0))
    assert one is not None
    for revision in range(1, 1_000):
        clocks.follow([transaction(revision, VIEWED)])
        assert one.slots >= min(32 * revision, 16_384)


def test_a_write_loses_less_than_one_in_two_thousand_values_of_others_from_the_first_writes_on():
    clocks = Clocks()
    one = clocks.at(ACME, head(0))
    assert one is not None
    values = [(fact_dependency("doc", f"d{number}", "viewer"),) for number in range(1_000)]
    lost = 0
    for number in range(400):
        before = one.seen
        clocks.follow([transaction(before + 1, written(f"doc:w{number}#viewer@user:1"))])
        lost += sum(not one.may_answer(before, one.seen, value) for value in values)
    assert 0 < lost < 400 * 1_000 / 2_000


def test_clocks_that_were_asked_for_are_told_once():
    clocks = Clocks()
    one = clocks.at(ACME, head(1))
    assert clocks.take_asked() == {ACME: one}
    assert clocks.take_asked() == {}


def test_a_later_epoch_ends_the_clocks_of_earlier_ones():
    clocks = Clocks()
    clocks.at(ACME, head(1))
    newer = clocks.at(TenantId("b"), head(1, epoch=2))
    clocks.forget_before(Epoch(2))
    assert clocks.find(ACME) is None
    assert clocks.find(TenantId("b")) is newer
    assert len(clocks) == 1


def test_a_clock_that_began_at_a_known_transaction_goes_on_from_no_other():
    clocks = Clocks()
    clocks.at(ACME, replace(head(10), digest=b"lost"))
    assert not clocks.follow([transaction(11, VIEWED)])
    assert clocks.find(ACME) is None
    clocks.at(ACME, replace(head(10), digest=b"10"))
    assert clocks.follow([transaction(11, VIEWED)])
    assert clocks.places() == {ACME: (1, 11, b"11")}


def test_all_clocks_can_be_dropped():
    clocks = Clocks()
    clocks.at(ACME, head(10))
    clocks.at(TenantId("other"), head(3))
    clocks.forget_all()
    assert (len(clocks), clocks.slot_bytes, clocks.places()) == (0, 0, {})
