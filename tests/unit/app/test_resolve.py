from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from grantlog.app.known import KnownHeads
from grantlog.app.resolve import Resolver, token_of
from grantlog.app.terms import NO_TERMS, Consistency, Terms
from grantlog.errors import (
    BehindWindowError,
    BeyondHeadError,
    InvalidInputError,
    InvalidTokenError,
    LostWriteError,
    UnavailableError,
)
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.model.token import SnapToken
from grantlog.ports.heads import Head
from grantlog.ports.standing import Source, follow_standing, read_from_replica

T1 = TenantId("t1")


def head(revision, *, epoch=1, schema="s"):
    return Head(Epoch(epoch), Revision(revision), SchemaVersion(schema))


def at(token, **terms):
    return Terms(snap_token=token, **terms)


@dataclass
class Heads:
    """A primary whose head the test moves."""

    now: Head
    survived: dict[int, int] = field(default_factory=dict)
    asked: int = 0
    gone: bool = False

    async def head(self, tenant):
        self.asked += 1
        if self.gone:
            raise UnavailableError("the database does not answer")
        return self.now

    async def recorded_head(self, tenant, epoch):
        return Revision(self.survived[epoch])


class Past:
    """The head of any revision; of a time, what the test says."""

    at = 4

    async def at_revision(self, tenant, revision):
        return head(revision, schema="old")

    async def at_time(self, tenant, time):
        return head(self.at, schema="old")


class Clock:
    """Seconds, moved by the test."""

    seconds = 100.0

    def __call__(self):
        return self.seconds


def resolver(heads, consistency, clock=Clock()):  # noqa: B008 - most tests do not move it
    known = KnownHeads(clock)
    return Resolver(heads, Past(), known, consistency, staleness_s_max=2.0), known


async def test_head_consistency_asks_the_primary_for_every_question_without_a_token():
    heads = Heads(head(5))
    resolve, _ = resolver(heads, Consistency.HEAD)
    assert await resolve.resolve(T1, NO_TERMS) == head(5)
    heads.now = head(6)
    assert await resolve.resolve(T1, NO_TERMS) == head(6)
    assert heads.asked == 2


async def test_node_consistency_asks_once_and_then_follows_what_it_acknowledged():
    heads = Heads(head(5))
    resolve, known = resolver(heads, Consistency.NODE)
    await resolve.resolve(T1, NO_TERMS)
    known.learn(T1, head(9), 0.0)
    assert await resolve.resolve(T1, NO_TERMS) == head(9)
    assert heads.asked == 1


@pytest.mark.parametrize("consistency", list(Consistency))
async def test_an_answer_never_stands_before_one_given_earlier(consistency):
    heads = Heads(head(9))
    resolve, _ = resolver(heads, consistency)
    await resolve.resolve(T1, NO_TERMS)
    heads.now = head(7)  # a slower query that read earlier
    assert await resolve.resolve(T1, NO_TERMS) == head(9)
    assert await resolve.resolve(T1, at(token_of(T1, head(8)))) == head(9)


@pytest.mark.parametrize("consistency", list(Consistency))
async def test_a_token_that_the_node_has_passed_needs_no_query(consistency):
    heads = Heads(head(9))
    resolve, known = resolver(heads, consistency)
    known.learn(T1, head(9), 99.0)
    assert await resolve.resolve(T1, at(token_of(T1, head(4)))) == head(9)
    assert heads.asked == 0


@pytest.mark.parametrize("consistency", list(Consistency))
async def test_a_token_ahead_of_the_node_is_judged_by_the_primary(consistency):
    heads = Heads(head(12))
    resolve, known = resolver(heads, consistency)
    known.learn(T1, head(3), 0.0)
    assert await resolve.resolve(T1, at(token_of(T1, head(12)))) == head(12)
    with pytest.raises(BeyondHeadError):
        await resolve.resolve(T1, at(token_of(T1, head(13))))


async def test_a_token_of_a_later_epoch_than_the_primarys_is_beyond_head():
    resolve, _ = resolver(Heads(head(12)), Consistency.HEAD)
    with pytest.raises(BeyondHeadError):
        await resolve.resolve(T1, at(token_of(T1, head(1, epoch=2))))


async def test_a_token_of_an_older_epoch_is_good_up_to_what_survived():
    heads = Heads(head(20, epoch=3), survived={1: 8, 2: 15})
    resolve, _ = resolver(heads, Consistency.HEAD)
    assert await resolve.resolve(T1, at(token_of(T1, head(8, epoch=1)))) == head(20, epoch=3)
    assert await resolve.resolve(T1, at(token_of(T1, head(15, epoch=2)))) == head(20, epoch=3)
    with pytest.raises(LostWriteError):
        await resolve.resolve(T1, at(token_of(T1, head(9, epoch=1))))


async def test_another_tenants_token_is_refused():
    resolve, _ = resolver(Heads(head(5)), Consistency.HEAD)
    with pytest.raises(InvalidTokenError, match="another tenant"):
        await resolve.resolve(T1, at(token_of(TenantId("t2"), head(5))))


BOUNDED = Terms(consistency=Consistency.BOUNDED)


def within(seconds):
    return Terms(consistency=Consistency.BOUNDED, staleness_s_max=seconds)


async def test_bounded_answers_at_what_is_known_while_it_is_young_enough():
    heads, clock = Heads(head(5)), Clock()
    resolve, _ = resolver(heads, Consistency.HEAD, clock)
    assert await resolve.resolve(T1, BOUNDED) == head(5)
    heads.now = head(8)
    clock.seconds += 1.9
    assert await resolve.resolve(T1, BOUNDED) == head(5)
    assert await resolve.resolve(T1, within(10)) == head(5)
    assert heads.asked == 1
    assert await resolve.resolve(T1, within(1.5)) == head(8)
    heads.now = head(9)
    clock.seconds += 2.0
    assert await resolve.resolve(T1, BOUNDED) == head(9)
    assert await resolve.resolve(T1, within(0)) == head(9)
    assert heads.asked == 4


async def test_age_counts_from_when_the_head_was_asked_for_not_from_its_answer():
    clock = Clock()

    class Slow(Heads):
        async def head(self, tenant):
            clock.seconds += 3
            return await super().head(tenant)

    resolve, known = resolver(Slow(head(5)), Consistency.BOUNDED, clock)
    assert await resolve.resolve(T1, NO_TERMS) == head(5)
    assert known.find(T1).complete_at == 100.0
    await resolve.resolve(T1, NO_TERMS)  # 3 seconds old when it came: it is asked for again
    assert known.find(T1).complete_at == 103.0


async def test_bounded_with_the_primary_gone_answers_until_it_is_too_old():
    heads, clock = Heads(head(5)), Clock()
    resolve, _ = resolver(heads, Consistency.BOUNDED, clock)
    await resolve.resolve(T1, NO_TERMS)
    heads.gone = True
    clock.seconds += 1
    assert await resolve.resolve(T1, NO_TERMS) == head(5)
    clock.seconds += 2
    with pytest.raises(UnavailableError) as refused:
        await resolve.resolve(T1, NO_TERMS)
    assert refused.value.explanation == (
        "the database does not answer; what this node knows of the tenant's head is 3000 ms old, "
        "and 2000 ms may be: allow more, or retry"
    )
    assert await resolve.resolve(T1, within(4)) == head(5)
    with pytest.raises(UnavailableError):
        await resolve.resolve(T1, Terms(consistency=Consistency.HEAD))
    with pytest.raises(UnavailableError):
        await resolve.resolve(TenantId("never asked for"), within(1000))


async def test_a_question_may_ask_for_another_consistency_than_the_nodes():
    heads = Heads(head(5))
    for default in Consistency:
        resolve, known = resolver(heads, default)
        known.learn(T1, head(3), 0.0)
        assert await resolve.resolve(T1, Terms(consistency=Consistency.NODE)) == head(3)
        assert await resolve.resolve(T1, Terms(consistency=Consistency.HEAD)) == head(5)


async def test_a_token_is_a_floor_whatever_the_consistency():
    for consistency in Consistency:
        heads = Heads(head(12))
        resolve, known = resolver(heads, Consistency.HEAD)
        known.learn(T1, head(3), 100.0)
        token = token_of(T1, head(7))
        assert await resolve.resolve(T1, at(token, consistency=consistency)) == head(12)
        beyond = token_of(T1, head(13))
        with pytest.raises(BeyondHeadError):
            await resolve.resolve(T1, at(beyond, consistency=consistency))


async def test_head_asked_for_beside_a_token_is_the_head_and_bounded_keeps_its_bound():
    heads, clock = Heads(head(5)), Clock()
    resolve, _ = resolver(heads, Consistency.NODE, clock)
    await resolve.resolve(T1, NO_TERMS)
    heads.now = head(6)
    token = token_of(T1, head(2))
    assert await resolve.resolve(T1, at(token)) == head(5)
    clock.seconds += 3
    assert await resolve.resolve(T1, at(token, consistency=Consistency.BOUNDED)) == head(6)
    heads.now = head(7)
    assert await resolve.resolve(T1, at(token, consistency=Consistency.HEAD)) == head(7)


async def test_where_an_answer_stands_is_noted_with_the_age_of_its_head():
    heads, clock = Heads(head(5)), Clock()
    resolve, _ = resolver(heads, Consistency.HEAD, clock)
    standing = follow_standing()
    await resolve.resolve(T1, NO_TERMS)
    assert (standing.snap_token, standing.complete_at) == (token_of(T1, head(5)), 100.0)
    clock.seconds = 200.0
    await resolve.resolve(T1, at(token_of(T1, head(4))))
    assert (standing.snap_token, standing.complete_at) == (token_of(T1, head(5)), 100.0)
    await resolve.resolve(T1, Terms(as_of=Revision(2)))
    assert (standing.snap_token, standing.complete_at) == (token_of(T1, head(2)), None)
    await resolve.resume(T1, SnapToken(Epoch(1), Revision(3)), NO_TERMS)
    assert (standing.snap_token, standing.complete_at) == (token_of(T1, head(3)), None)
    heads.now = head(9)
    read_from_replica()
    await resolve.resolve(T1, NO_TERMS)
    assert (standing.complete_at, standing.source) == (200.0, Source.PRIMARY)


NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize("as_of", [None, Revision(4), NOON])
async def test_a_page_behind_a_continuation_takes_the_as_of_of_the_first(as_of):
    resolve, _ = resolver(Heads(head(9)), Consistency.HEAD)
    place = SnapToken(Epoch(1), Revision(4))
    assert await resolve.resume(T1, place, Terms(as_of=as_of)) == head(9)


@pytest.mark.parametrize("as_of", [Revision(3), Revision(0), NOON])
async def test_a_page_behind_a_continuation_cannot_be_as_of_another_revision(as_of):
    resolve, _ = resolver(Heads(head(9)), Consistency.HEAD)
    with pytest.raises(InvalidInputError, match="repeat grantlog-as-of") as refused:
        await resolve.resume(T1, SnapToken(Epoch(1), Revision(5)), Terms(as_of=as_of))
    assert refused.value.reason == "INVALID_AS_OF"


async def test_a_page_of_a_life_that_ended_is_refused():
    reborn = replace(head(9), begins=Revision(6))
    resolve, _ = resolver(Heads(reborn), Consistency.HEAD)
    with pytest.raises(BehindWindowError):
        await resolve.resume(T1, SnapToken(Epoch(1), Revision(5)), NO_TERMS)
    await resolve.resume(T1, SnapToken(Epoch(1), Revision(6)), NO_TERMS)
