"""Up to which time everything is done."""

from __future__ import annotations

from datetime import UTC, datetime

from grantlog.model.ids import Revision, TenantId
from grantlog.projection.goal import Goal

ACME, OTHER = TenantId("acme"), TenantId("other")
NOON, ONE = (datetime(2030, 1, 1, hour, tzinfo=UTC) for hour in (12, 13))


def at(**revisions: int):
    return lambda tenant, revision: revisions.get(tenant, 0) >= revision


def test_without_anybody_behind_a_goal_is_reached_at_once() -> None:
    goal = Goal()
    assert goal.through is None
    goal.aim(NOON, {})
    goal.arrive(at())
    assert goal.through == NOON


def test_everybody_who_was_behind_must_have_come() -> None:
    goal = Goal()
    goal.aim(NOON, {ACME: Revision(2), OTHER: Revision(1)})
    for reached in (at(acme=1), at(acme=2), at(acme=2)):
        goal.arrive(reached)
        assert goal.through is None
    goal.arrive(at(other=1))
    assert goal.through == NOON


def test_a_goal_stays_until_it_is_reached_and_the_next_one_is_taken_then() -> None:
    goal = Goal()
    goal.aim(NOON, {ACME: Revision(1)})
    goal.aim(ONE, {ACME: Revision(100)})
    goal.arrive(at(acme=1))
    assert goal.through == NOON
    goal.arrive(at(acme=100))
    assert goal.through == NOON
    goal.aim(ONE, {ACME: Revision(100)})
    goal.arrive(at(acme=100))
    assert goal.through == ONE


def test_a_goal_that_is_dropped_is_never_reached() -> None:
    goal = Goal()
    goal.aim(NOON, {ACME: Revision(1)})
    goal.drop()
    goal.arrive(at(acme=1))
    assert goal.through is None
