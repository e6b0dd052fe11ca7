"""A node follows who is there: streams to those alone, and the last list where none can be had."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from random import Random

from grantlog.background import background_tasks
from grantlog.cluster.counts import RingCounts
from grantlog.cluster.opening import Credentials
from grantlog.cluster.peers import NODES_MAX, Joining, Peers, following
from grantlog.errors import UnavailableError
from tests.waiting import never, until

OWN, TWO, THREE = "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"
CREDENTIALS = Credentials(b"key", lambda: "1/2/3/4", secrets.token_bytes)
JOINING = Joining(OWN, CREDENTIALS, Random(1), beat_s=0.01)


class Scripted:
    """Says what a test sets."""

    def __init__(self, *there: str) -> None:
        self.there: Sequence[str] = there
        self.beats = 0
        self.is_away = self.has_left = self.hangs = False

    async def beat(self) -> Sequence[str]:
        self.beats += 1
        if self.is_away:
            raise UnavailableError("away")
        return self.there

    async def leave(self) -> None:
        if self.hangs:
            await never()
        self.has_left = True


async def test_streams_stand_to_all_that_are_there_and_to_no_others():
    nodes, counts = Scripted(OWN, TWO), RingCounts()
    async with following(nodes, JOINING, counts) as peers:
        assert peers.view().ring.nodes == {OWN}, "until it is known who is there"
        await until(lambda: counts.nodes == 2)
        first = peers.view().owner(TWO)
        assert first is not None
        nodes.there = (OWN, TWO, THREE)
        await until(lambda: counts.nodes == 3)
        assert peers.view().owner(TWO) is first, "a stream that stands is kept"
        nodes.there = (OWN, THREE)
        await until(lambda: counts.nodes == 2)
        assert peers.view().owner(TWO) is None
        assert peers.view().owner(OWN) is None
        assert peers.view().ring.nodes == {OWN, THREE}
    assert nodes.has_left


async def test_the_last_list_serves_while_nobody_says_who_is_there():
    nodes, counts = Scripted(OWN, TWO), RingCounts()
    async with following(nodes, JOINING, counts) as peers:
        await until(lambda: counts.nodes == 2)
        nodes.is_away = True
        seen = nodes.beats
        await until(lambda: nodes.beats > seen + 2)
        assert peers.view().ring.nodes == {OWN, TWO}
        nodes.is_away, nodes.there = False, (OWN,)
        await until(lambda: counts.nodes == 1)


async def test_a_node_is_in_its_own_ring_whatever_the_list_says():
    nodes, counts = Scripted(TWO), RingCounts()
    async with following(nodes, JOINING, counts) as peers:
        await until(lambda: counts.nodes == 2)
        assert peers.view().ring.nodes == {OWN, TWO}


async def test_too_many_nodes_are_cut_to_the_same_ones_everywhere():
    async with background_tasks() as group:
        peers = Peers(Scripted(), JOINING, RingCounts(), group)
        many = [f"127.0.1.{number % 250}:{number}" for number in range(NODES_MAX + 50)]
        await peers.meet(many)
        assert len(peers.view().ring.nodes) == NODES_MAX
        assert peers.view().ring.nodes - {OWN} == set(sorted(many)[: NODES_MAX - 1])
        peers.close()


async def test_who_cannot_say_that_it_leaves_does_not_wait_for_long():
    nodes, counts = Scripted(OWN), RingCounts()
    nodes.hangs = True
    async with asyncio.timeout(40), following(nodes, JOINING, counts):
        pass
    assert not nodes.has_left
