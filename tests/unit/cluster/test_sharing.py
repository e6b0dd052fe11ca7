"""Owners are asked for what is theirs; whatever they do, the answer is this node's own store's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from grantlog.cluster.counts import RingCounts
from grantlog.cluster.points import LOAD_FREE, HashRing, place_of
from grantlog.cluster.sharing import KEYS_SHARED_MAX, RingReads, View
from grantlog.errors import UnavailableError
from grantlog.model.ids import ANY_EPOCH, Epoch, Revision, SchemaVersion, TenantId
from grantlog.ports.facts import DirectKey, FactKey
from grantlog.ports.heads import Head
from grantlog.ports.ring import FactQuestion, FactReply, Refusal
from grantlog.ports.standing import Source, follow_standing, source_noted

ACME = TenantId("acme")
HEAD = Head(Epoch(3), Revision(7), SchemaVersion("v"), Revision(2))
RING = HashRing({"a", "b", "c"})


def key(number: int) -> DirectKey:
    return DirectKey("doc", str(number), "viewer", "user", "ann", "")


def owned_by(name: str) -> list[FactKey]:
    keys = [key(number) for number in range(200)]
    return [k for k in keys if RING.owner(place_of(ACME, k[0], k[1])) == name]


@dataclass
class Store:
    """Says True to every key, and remembers what it was asked."""

    reads: list[tuple[Revision, int, Sequence[FactKey]]] = field(default_factory=list)
    error: UnavailableError | None = None

    async def read(self, tenant, revision, keys, *, epoch=ANY_EPOCH):
        assert tenant == ACME
        self.reads.append((revision, epoch, keys))
        if self.error is not None:
            raise self.error
        return [True] * len(keys)


@dataclass
class Other:
    """Another node that says False to every key, or what it is told to."""

    says: Callable[[FactQuestion], FactReply | Refusal | None] = lambda question: FactReply(
        [False] * len(question.keys), Source.CACHE
    )
    may_be_asked: bool = True
    asked: list[FactQuestion] = field(default_factory=list)
    silent: list[asyncio.Future[FactReply | Refusal]] = field(default_factory=list)

    def ask(self, question):
        self.asked.append(question)
        reply = asyncio.get_running_loop().create_future()
        said = self.says(question)
        if said is None:
            self.silent.append(reply)
        else:
            reply.set_result(said)
        return reply


class World:
    def __init__(self, hedge_s: float = 20.0, **others: Other) -> None:
        self.store, self.counts, self.others = Store(), RingCounts(), others
        view = View(RING, "a", others.get)
        self.reads = RingReads(self.store, lambda: view, self.counts, hedge_s=hedge_s)

    async def read(self, keys: Sequence[FactKey]) -> FactReply:
        return await self.reads.read(ACME, HEAD, keys)


async def test_each_key_is_read_by_its_owner_and_answers_keep_their_order():
    world = World(b=Other(), c=Other())
    keys = [
        k for trio in zip(owned_by("a"), owned_by("b"), owned_by("c"), strict=False) for k in trio
    ][:30]
    reply = await world.read(keys)
    assert reply.answers == [k in owned_by("a") for k in keys]
    for name, other in world.others.items():
        assert [question.keys for question in other.asked] == [
            [k for k in keys if k in owned_by(name)]
        ]
        assert all(q.tenant == ACME and q.head == HEAD for q in other.asked)
    assert [read[:2] for read in world.store.reads] == [(HEAD.revision, HEAD.epoch)]
    assert world.counts.keys_asked == world.counts.keys_told == 20
    assert world.counts.keys_own == 10
    await asyncio.sleep(0)  # callbacks of replies
    assert not world.reads._loads
    assert reply.source is Source.PRIMARY


async def test_no_key_is_left_out_where_a_node_is_found_once_and_then_no_more():
    store, found = Store(), iter([Other()])
    view = View(RING, "a", lambda _: next(found, None))
    reads = RingReads(store, lambda: view, RingCounts(), hedge_s=20.0)
    reply = await reads.read(ACME, HEAD, [owned_by("b")[0], owned_by("c")[0]])
    assert reply.answers == [False, True], "b's from b, c's from the own store"


async def test_what_no_store_was_read_for_is_from_memory():
    world = World(b=Other())
    assert (await world.read(owned_by("b")[:3])).source is Source.CACHE
    assert not world.store.reads


@pytest.mark.parametrize("source", [Source.REPLICA, Source.PRIMARY])
async def test_the_copy_that_the_owner_read_is_noted(source):
    world = World(b=Other(lambda q: FactReply([True] * len(q.keys), source)))
    follow_standing()
    assert (await world.read(owned_by("b")[:1])).source is source
    assert source_noted() is source


@pytest.mark.parametrize("refusal", Refusal)
async def test_what_an_owner_refuses_is_read_here(refusal):
    world = World(b=Other(lambda _: refusal))
    assert (await world.read(owned_by("b")[:3])).answers == [True] * 3
    assert world.counts.fallbacks == {refusal.value: 1}
    assert [read[:2] for read in world.store.reads] == [(HEAD.revision, HEAD.epoch)]


async def test_an_owner_that_says_nothing_is_waited_for_no_longer_than_the_hedge():
    world = World(b=Other(lambda _: None), hedge_s=0.0)
    assert (await world.read(owned_by("b")[:3])).answers == [True] * 3
    assert world.counts.fallbacks == {"late": 1}


async def test_what_an_owner_says_late_harms_nobody():
    world = World(b=Other(lambda _: None), hedge_s=0.0)
    await world.read(owned_by("b")[:1])
    world.others["b"].silent[0].set_result(FactReply([False], Source.CACHE))
    assert (await world.read(owned_by("a")[:1])).answers == [True]


@pytest.mark.parametrize("others", [{}, {"b": Other(may_be_asked=False)}])
async def test_an_owner_that_cannot_be_asked_is_not_waited_for(others):
    world = World(**others)
    assert (await world.read(owned_by("b")[:3])).answers == [True] * 3
    assert not any(other.asked for other in others.values())
    assert not world.counts.fallbacks


async def test_many_keys_are_read_here_at_once():
    world = World(b=Other())
    keys = [owned_by("b")[0]] * (KEYS_SHARED_MAX + 1)
    assert (await world.read(keys)).answers == [True] * len(keys)
    assert not world.others["b"].asked


async def test_the_errors_of_the_own_store_are_told_and_no_others():
    world = World(b=Other(lambda _: Refusal.FAILED))
    world.store.error = UnavailableError("away")
    with pytest.raises(UnavailableError, match="away"):
        await world.read(owned_by("b")[:1])
    with pytest.raises(UnavailableError, match="away"):
        await world.read(owned_by("a")[:1])
    await asyncio.sleep(0)  # callbacks of replies
    assert not world.reads._loads


async def test_an_owner_with_its_share_under_way_hands_on_to_the_next():
    world = World(b=Other(lambda _: None), c=Other(lambda _: None), hedge_s=0.0)
    hot = owned_by("b")[0]
    for _ in range(3):
        await world.read([hot] * KEYS_SHARED_MAX)
    asked = {name: sum(len(q.keys) for q in o.asked) for name, o in world.others.items()}
    assert asked["b"] > LOAD_FREE
    assert asked["c"] > LOAD_FREE, "one node would be asked for everything"


async def test_what_was_answered_is_load_no_longer():
    world = World(b=Other(), c=Other())
    hot = owned_by("b")[0]
    for _ in range(10):
        await world.read([hot] * LOAD_FREE)
        await asyncio.sleep(0)  # callbacks of replies
    assert not world.others["c"].asked
    assert len(world.others["b"].asked) == 10


async def test_who_stops_waiting_leaves_nothing_behind():
    world = World(b=Other(lambda _: None))
    reading = asyncio.get_running_loop().create_task(world.read(owned_by("b")[:1]))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    world.others["b"].silent[0].set_result(Refusal.GONE)
    await asyncio.sleep(0)
    assert not world.reads._loads


async def test_a_lone_node_reads_its_own_store():
    world = World()
    alone = RingReads(world.store, lambda: View(HashRing(["a"]), "a", lambda _: None), world.counts)
    follow_standing()
    reply = await alone.read(ACME, HEAD, [key(1), key(2)])
    assert reply == FactReply([True, True], Source.PRIMARY)
    assert world.store.reads == [(HEAD.revision, HEAD.epoch, [key(1), key(2)])]
    assert world.counts.keys_own == 2
