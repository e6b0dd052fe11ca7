"""Who is in the ring, on each adapter that nodes tell it; the others' own promises."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from grantlog.cluster.named import ListedNodes, ResolvedNodes, addresses_of, joined
from grantlog.errors import InvalidInputError, UnavailableError
from grantlog.store.memory.nodes import MemoryNodes
from grantlog.store.postgres.nodes import PostgresNodes
from grantlog.store.postgres.primary import open_primary_pool
from grantlog.testing.contracts.nodes import ONE, TWO, NodesContract, Told

LEASE_S = 5.0


@pytest.fixture
async def told(
    adapter: str, migrated_database: Callable[..., Awaitable[str]]
) -> AsyncIterator[Told]:
    if adapter == "memory":
        table: dict[str, tuple[str, float]] = {}
        now = [0.0]

        async def pass_time() -> None:
            now[0] += LEASE_S + 0.1

        def node(own: str, session: str) -> MemoryNodes:
            return MemoryNodes(table, own, session, clock=lambda: now[0], lease_s=LEASE_S)

        yield Told(node, pass_time)
        return
    async with open_primary_pool(
        await migrated_database(), size_max=2, application_name="test"
    ) as pool:

        async def expire() -> None:
            await pool.execute("UPDATE nodes SET lease_until = lease_until - interval '6 s'")

        yield Told(lambda own, session: PostgresNodes(pool, own, session, lease_s=LEASE_S), expire)


class TestNodes(NodesContract):
    pass


async def test_rows_of_nodes_that_never_came_back_are_cleared_away(
    migrated_database: Callable[..., Awaitable[str]],
):
    async with open_primary_pool(
        await migrated_database(), size_max=2, application_name="test"
    ) as pool:
        one, two = PostgresNodes(pool, ONE, "a"), PostgresNodes(pool, TWO, "b")
        await two.beat()
        await pool.execute("UPDATE nodes SET lease_until = lease_until - interval '61 minutes'")
        await one.beat()
        rows = await pool.fetch("SELECT address, session FROM nodes")
        assert [tuple(row) for row in rows] == [(ONE, "a")]


async def test_a_list_says_who_is_there():
    nodes = ListedNodes(ONE, [TWO, ONE])
    assert sorted(await nodes.beat()) == [ONE, TWO]
    await nodes.leave()


def test_a_list_without_this_node_is_refused():
    with pytest.raises(InvalidInputError, match="GRANTLOG_RING_NODES does not list"):
        ListedNodes(ONE, [TWO])


async def test_a_name_says_who_is_there_and_this_node_is_in_any_case():
    async def resolve(host: str) -> list[str]:
        assert host == "grantlog"
        return ["10.0.0.2", "fd00::2"]

    nodes = ResolvedNodes(ONE, "grantlog:3480", resolve)
    assert await nodes.beat() == [ONE, TWO, "[fd00::2]:3480"]
    await nodes.leave()


async def test_a_name_that_nobody_knows_is_told():
    async def resolve(host: str) -> list[str]:
        raise OSError(host)

    with pytest.raises(UnavailableError, match="grantlog cannot be resolved"):
        await ResolvedNodes(ONE, "grantlog:3480", resolve).beat()


async def test_a_literal_address_needs_no_name_server():
    assert await addresses_of("127.0.0.1") == ["127.0.0.1"]
    assert joined("node-1", 80) == "node-1:80"
