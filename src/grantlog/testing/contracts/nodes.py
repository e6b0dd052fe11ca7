"""What every `Nodes` that nodes themselves tell keeps: who beats is there, who stops is not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from grantlog.ports.ring import Nodes

ONE, TWO, THREE = "10.0.0.1:3480", "10.0.0.2:3480", "10.0.0.3:3480"


@dataclass(frozen=True, slots=True)
class Told:
    """An adapter under test.

    Attributes:
        node: a process that stands at an address, by the name of its session.
        expire: lets all leases end, as time would.
    """

    node: Callable[[str, str], Nodes]
    expire: Callable[[], Awaitable[None]]


class NodesContract:
    """Who is there."""

    async def test_a_lone_node_is_there(self, told: Told) -> None:
        assert await told.node(ONE, "a").beat() == [ONE]

    async def test_who_beats_is_seen_by_all_in_one_order(self, told: Told) -> None:
        nodes = [told.node(address, address) for address in (THREE, ONE, TWO)]
        for node in nodes:
            await node.beat()
        for node in nodes:
            assert await node.beat() == [ONE, TWO, THREE]

    async def test_who_leaves_is_there_no_longer(self, told: Told) -> None:
        one, two = told.node(ONE, "a"), told.node(TWO, "b")
        await two.beat()
        assert await one.beat() == [ONE, TWO]
        await two.leave()
        await two.leave()
        assert await one.beat() == [ONE]

    async def test_who_never_was_there_may_leave(self, told: Told) -> None:
        await told.node(TWO, "b").leave()
        assert await told.node(ONE, "a").beat() == [ONE]

    async def test_who_stops_beating_is_there_no_longer_and_may_come_back(self, told: Told) -> None:
        one, two = told.node(ONE, "a"), told.node(TWO, "b")
        await two.beat()
        await told.expire()
        assert await one.beat() == [ONE]
        assert await two.beat() == [ONE, TWO]
        assert await one.beat() == [ONE, TWO]

    async def test_a_process_that_takes_the_place_of_another_is_not_told_to_leave_by_it(
        self, told: Told
    ) -> None:
        one, before, after = told.node(ONE, "a"), told.node(TWO, "b"), told.node(TWO, "c")
        await before.beat()
        await after.beat()
        await before.leave()
        assert await one.beat() == [ONE, TWO]
