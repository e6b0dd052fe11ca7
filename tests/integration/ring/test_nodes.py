"""Whole API nodes in a ring: what one fetched, the others are told; alone it answers as ever."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from typing import Any

import pytest
from grantlog_api import ring

from grantlog.cluster.peers import Joining
from grantlog.cluster.sharing import RingReads
from grantlog.cluster.stream import StreamLimits
from grantlog.errors import InvalidInputError
from tests.ports import kept_port
from tests.waiting import until
from tests.whole_api import WholeApi, result, whole_api

NewDatabase = Callable[..., Awaitable[str]]
SCHEMA = "entity user {}  entity doc { relation viewer @user  permission view = viewer }"
RING: dict[str, Any] = {"ring": "postgres", "ring_port": 0, "result_cache_mb": 0}
DOCS = 60
PATIENT = StreamLimits(open_s_max=60.0, timeout_s=60.0, stall_s=60.0)


async def numbers(api: WholeApi) -> dict[str, float]:
    """What a node tells of the ring, by name and labels."""
    text = (await api.rest.get("/metrics")).text
    found = re.findall(r"^grantlog_ring_(\S+) ([0-9.]+)$", text, re.MULTILINE)
    return {name: float(number) for name, number in found}


async def sees(api: WholeApi, nodes: int) -> bool:
    return (await numbers(api))["nodes"] == nodes


async def write(api: WholeApi) -> str:
    """A tenant's facts; the token."""
    await result(api.call("Schema.Write", {"tenant_id": "t1", "schema": SCHEMA}))
    facts = [
        {
            "entity": {"type": "doc", "id": str(number)},
            "relation": "viewer",
            "subject": {"type": "user", "id": "ann"},
        }
        for number in range(0, DOCS, 2)
    ]
    written = await result(
        api.call("Data.Write", {"tenant_id": "t1", "metadata": {}, "tuples": facts})
    )
    return str(written.snap_token)


async def check(api: WholeApi, doc: int, token: str) -> tuple[bool, str]:
    """Whether ann views it, and where that was read."""
    call = api.call(
        "Permission.Check",
        {
            "tenant_id": "t1",
            "metadata": {"depth": 20, "snap_token": token},
            "entity": {"type": "doc", "id": str(doc)},
            "permission": "view",
            "subject": {"type": "user", "id": "ann"},
        },
    )
    answer = await call
    source = dict(await call.trailing_metadata())["grantlog-source"]
    return answer.can == 1, str(source)


FRESH = count(DOCS)


async def is_told(api: WholeApi, token: str) -> bool:
    """Whether another node answers this one; asks for what nobody asked for yet."""
    await check(api, next(FRESH), token)
    return (await numbers(api))['keys_total{how="answered"}'] > 0


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that is slow to answer is waited for: what it says is not read in a store."""
    monkeypatch.setattr(ring, "RingReads", partial(RingReads, hedge_s=60.0))
    monkeypatch.setattr(ring, "Joining", partial(Joining, limits=PATIENT))


@pytest.mark.usefixtures("patience")
async def test_what_one_node_fetched_another_one_is_told(migrated_database: NewDatabase):
    dsn = await migrated_database()
    async with whole_api(dsn, **RING) as one, whole_api(dsn, **RING) as two:
        for api in (one, two):
            await until(lambda api=api: sees(api, 2))
        token = await write(one)

        await until(lambda: is_told(one, token))
        await until(lambda: is_told(two, token))
        for doc in range(DOCS):
            assert (await check(one, doc, token))[0] is (doc % 2 == 0)
        sources = set()
        for doc in range(DOCS):
            allowed, source = await check(two, doc, token)
            assert allowed is (doc % 2 == 0)
            sources.add(source)
        assert sources == {"cache"}, "what one fetched no store is asked for again"
        told = [await numbers(api) for api in (one, two)]
        least = DOCS / 10  # of a half, by chance: where nodes stand on the ring is other each time
        for number in told:
            assert number['keys_total{how="answered"}'] > least
            assert number["answers_total"] > least
        assert told[0]['keys_total{how="own"}'] > least


async def test_who_leaves_is_missed_by_nobody(migrated_database: NewDatabase):
    dsn = await migrated_database()
    async with whole_api(dsn, **RING) as one:
        token = await write(one)
        async with whole_api(dsn, **RING) as two:
            for api in (one, two):
                await until(lambda api=api: sees(api, 2))
        for doc in range(DOCS):
            assert (await check(one, doc, token))[0] is (doc % 2 == 0)
        await until(lambda: sees(one, 1))


async def test_a_node_that_no_list_names_does_not_start(migrated_database: NewDatabase):
    settings = RING | {"ring": "static", "ring_nodes": "127.0.0.1:1"}
    with pytest.raises(InvalidInputError, match="GRANTLOG_RING_NODES does not list"):
        async with whole_api(await migrated_database(), **settings):
            pass


async def test_a_name_that_nobody_knows_leaves_a_node_alone_and_answering(
    migrated_database: NewDatabase,
):
    port = kept_port()
    settings = RING | {"ring": "dns", "ring_nodes": f"nowhere.invalid:{port}", "ring_port": port}
    async with whole_api(await migrated_database(), **settings) as api:
        token = await write(api)
        assert (await check(api, 2, token))[0]
        assert (await numbers(api))["nodes"] == 1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"ring": "postgres", "relation_cache_mb": 0}, "GRANTLOG_RELATION_CACHE_MB"),
        ({"ring": "static"}, "GRANTLOG_RING_NODES: all nodes"),
        ({"ring": "dns", "ring_nodes": "a:1,b:1"}, "one name and port"),
        ({"ring": "dns", "ring_nodes": "a:1", "workers": 2}, "one name and port"),
    ],
)
async def test_a_ring_that_cannot_be_is_refused(settings: dict[str, Any], says: str):
    with pytest.raises(ValueError, match=says):
        async with whole_api("postgresql://nowhere", **settings):
            pass
