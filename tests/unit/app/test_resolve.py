from dataclasses import dataclass, field

import pytest

from grantlog.app.known import KnownHeads
from grantlog.app.resolve import Consistency, Resolver, token_of
from grantlog.errors import BeyondHeadError, InvalidTokenError, LostWriteError
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.ports.heads import Head

T1 = TenantId("t1")


def head(revision, *, epoch=1, schema="s"):
    return Head(Epoch(epoch), Revision(revision), SchemaVersion(schema))


@dataclass
class Heads:
    """A primary whose head the test moves."""

    now: Head
    survived: dict[int, int] = field(default_factory=dict)
    asked: int = 0

    async def head(self, tenant):
        self.asked += 1
        return self.now

    async def recorded_head(self, tenant, epoch):
        return Revision(self.survived[epoch])


def resolver(heads, consistency):
    known = KnownHeads()
    return Resolver(heads, None, known, consistency), known


async def test_head_consistency_asks_the_primary_for_every_question_without_a_token():
    heads = Heads(head(5))
    resolve, _ = resolver(heads, Consistency.HEAD)
    assert await resolve.resolve(T1, "") == head(5)
    heads.now = head(6)
    assert await resolve.resolve(T1, "") == head(6)
    assert heads.asked == 2


async def test_node_consistency_asks_once_and_then_follows_what_it_acknowledged():
    heads = Heads(head(5))
    resolve, known = resolver(heads, Consistency.NODE)
    await resolve.resolve(T1, "")
    known.learn(T1, head(9))
    assert await resolve.resolve(T1, "") == head(9)
    assert heads.asked == 1


@pytest.mark.parametrize("consistency", list(Consistency))
async def test_an_answer_never_stands_before_one_given_earlier(consistency):
    heads = Heads(head(9))
    resolve, _ = resolver(heads, consistency)
    await resolve.resolve(T1, "")
    heads.now = head(7)  # a slower query that read earlier
    assert await resolve.resolve(T1, "") == head(9)
    assert await resolve.resolve(T1, token_of(T1, head(8))) == head(9)


@pytest.mark.parametrize("consistency", list(Consistency))
async def test_a_token_that_the_node_has_passed_needs_no_query(consistency):
    heads = Heads(head(9))
    resolve, known = resolver(heads, consistency)
    known.learn(T1, head(9))
    assert await resolve.resolve(T1, token_of(T1, head(4))) == head(9)
    assert heads.asked == 0


@pytest.mark.parametrize("consistency", list(Consistency))
async def test_a_token_ahead_of_the_node_is_judged_by_the_primary(consistency):
    heads = Heads(head(12))
    resolve, known = resolver(heads, consistency)
    known.learn(T1, head(3))
    assert await resolve.resolve(T1, token_of(T1, head(12))) == head(12)
    with pytest.raises(BeyondHeadError):
        await resolve.resolve(T1, token_of(T1, head(13)))


async def test_a_token_of_a_later_epoch_than_the_primarys_is_beyond_head():
    resolve, _ = resolver(Heads(head(12)), Consistency.HEAD)
    with pytest.raises(BeyondHeadError):
        await resolve.resolve(T1, token_of(T1, head(1, epoch=2)))


async def test_a_token_of_an_older_epoch_is_good_up_to_what_survived():
    heads = Heads(head(20, epoch=3), survived={1: 8, 2: 15})
    resolve, _ = resolver(heads, Consistency.HEAD)
    assert await resolve.resolve(T1, token_of(T1, head(8, epoch=1))) == head(20, epoch=3)
    assert await resolve.resolve(T1, token_of(T1, head(15, epoch=2))) == head(20, epoch=3)
    with pytest.raises(LostWriteError):
        await resolve.resolve(T1, token_of(T1, head(9, epoch=1)))


async def test_another_tenants_token_is_refused():
    resolve, _ = resolver(Heads(head(5)), Consistency.HEAD)
    with pytest.raises(InvalidTokenError, match="another tenant"):
        await resolve.resolve(T1, token_of(TenantId("t2"), head(5)))
