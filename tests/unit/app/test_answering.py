"""What a node tells another one: at exactly the place asked, from memory where it holds it."""

from __future__ import annotations

import pytest

from grantlog.app.answering import AnswerFacts
from grantlog.app.cached import Caches
from grantlog.cache.clocks import Clocks
from grantlog.cache.relations import RelationCache
from grantlog.errors import ProjectionLaggingError
from grantlog.model.ids import ANY_EPOCH, Epoch, Revision, SchemaVersion, TenantId
from grantlog.ports.facts import DirectKey
from grantlog.ports.heads import Head
from grantlog.ports.ring import FactQuestion, FactReply
from grantlog.ports.standing import Source, read_from_replica

ACME = TenantId("acme")
KEY = DirectKey("doc", "1", "viewer", "user", "ann", "")


class Store:
    """Holds one revision of one epoch; remembers what it was asked."""

    def __init__(self, *, is_replica: bool = False) -> None:
        self.asked: list[tuple[Revision, Epoch]] = []
        self._is_replica = is_replica

    async def read(self, tenant, revision, keys, *, epoch=ANY_EPOCH):
        self.asked.append((revision, epoch))
        if revision > 7:
            raise ProjectionLaggingError("not there")
        if self._is_replica:
            read_from_replica()
        return [True] * len(keys)


class NeverAsked:
    """Other nodes, which a node that is asked must not ask."""

    async def read(self, tenant, head, keys):
        pytest.fail("what was forwarded is forwarded again")


def node(store: Store) -> AnswerFacts:
    relations = RelationCache(1 << 20)
    return AnswerFacts(store, Caches(Clocks(), None, None, relations, shared=NeverAsked()))


def question(revision: int = 7, epoch: int = 3) -> FactQuestion:
    head = Head(Epoch(epoch), Revision(revision), SchemaVersion(""), Revision(2))
    return FactQuestion(ACME, head, [KEY])


@pytest.mark.parametrize("is_replica", [True, False])
async def test_what_was_fetched_for_one_is_told_to_the_next_from_memory(is_replica: bool):
    store = Store(is_replica=is_replica)
    answer = node(store)
    read = Source.REPLICA if is_replica else Source.PRIMARY
    assert await answer(question()) == FactReply([True], read)
    assert await answer(question()) == FactReply([True], Source.CACHE)
    assert store.asked == [(7, 3)]


@pytest.mark.parametrize("other", [question(revision=6), question(epoch=4)])
async def test_what_is_held_of_another_place_is_not_told(other: FactQuestion):
    store = Store()
    answer = node(store)
    await answer(question())
    assert (await answer(other)).source is Source.PRIMARY
    assert store.asked[-1] == (other.head.revision, other.head.epoch)


async def test_a_place_that_the_store_does_not_hold_is_refused():
    with pytest.raises(ProjectionLaggingError):
        await node(Store())(question(revision=8))
