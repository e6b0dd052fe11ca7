"""Two nodes with caches over one Postgres: what one writes the other never misses."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import count, islice
from random import Random
from typing import Any

from grantlog.cache.clock import SLOTS_MIN, fact_dependency
from tests.waiting import until
from tests.whole_api import WholeApi, whole_api

SCHEMA = """
entity user {}
entity group { relation member @user }
entity doc { relation viewer @user @group#member  permission view = viewer }
"""


def slot_of(*key: str) -> int:
    """Where a clock keeps when a fact was touched, while it is small."""
    return fact_dependency(*key) % SLOTS_MIN


GROUP = next(
    f"{number}"
    for number in count(1)
    if slot_of("group", f"{number}", "member") != slot_of("doc", "1", "viewer")
)
"""Whose members are not touched where the document's viewers are: hashes differ by process."""

FACT = {
    "entity": {"type": "group", "id": GROUP},
    "relation": "member",
    "subject": {"type": "user", "id": "1"},
}
GRANT = {
    "entity": {"type": "doc", "id": "1"},
    "relation": "viewer",
    "subject": {"type": "group", "id": GROUP, "relation": "member"},
}


def other_groups() -> Iterator[dict[str, Any]]:
    """Members of other groups, whose slots are none that the check depends on."""
    taken = {slot_of("doc", "1", "viewer"), slot_of("group", GROUP, "member")}
    for number in count(1):
        if slot_of("group", f"x{number}", "member") not in taken:
            yield {**FACT, "entity": {"type": "group", "id": f"x{number}"}}


async def ok(api: WholeApi, method: str, **body: Any) -> Any:
    answer = await api.post(method, {"tenant_id": "t1", **body})
    assert answer.status_code == 200, answer.text
    return answer


async def write(api: WholeApi, *tuples: Any) -> str:
    return (await ok(api, "Data.Write", metadata={}, tuples=tuples)).json()["snap_token"]


async def remove(api: WholeApi) -> str:
    where = {"entity": {"type": "group", "ids": [GROUP]}, "relation": "member"}
    answer = await ok(api, "Data.Delete", tuple_filter=where, attribute_filter={})
    return answer.json()["snap_token"]


def question(token: str = "") -> dict[str, Any]:
    """May the user view the document?"""
    return {
        "tenant_id": "t1",
        "metadata": {"depth": 20, "snap_token": token},
        "entity": GRANT["entity"],
        "permission": "view",
        "subject": FACT["subject"],
    }


async def check(api: WholeApi, token: str = "", **headers: str) -> tuple[bool, str]:
    """Whether the user may view the document, and where the answer came from."""
    answer = await api.post(
        "Permission.Check",
        question(token),
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["can"] == "CHECK_RESULT_ALLOWED", answer.headers["grantlog-source"]


async def nodes(stack: AsyncExitStack, dsn: str, **settings: Any) -> tuple[WholeApi, WholeApi]:
    both = [await stack.enter_async_context(whole_api(dsn, **settings)) for _ in range(2)]
    await ok(both[0], "Schema.Write", schema=SCHEMA)
    await write(both[0], GRANT, FACT)
    return both[0], both[1]


async def test_a_node_answers_from_memory_until_another_one_writes_what_it_rests_on(
    migrated_database,
):
    async with AsyncExitStack() as stack:
        here, there = await nodes(stack, await migrated_database())
        assert await check(here) == (True, "primary")
        assert await check(here) == (True, "cache")
        token = await write(there, next(other_groups()))
        assert await check(here, token) == (True, "cache"), "the log says that nothing moved"
        assert (await check(here))[0] is True
        token = await remove(there)
        assert (await check(here, token))[0] is False
        assert (await check(here))[0] is False
        assert await check(here) == (False, "cache"), "that nobody is there is known too"
        await write(there, FACT)
        assert (await check(here))[0] is True
        assert (await check(here, grantlog_as_of="5"))[0] is False
        assert (await check(here, grantlog_as_of="4"))[0] is True


async def test_a_nodes_own_writes_move_its_clock_at_once(migrated_database):
    async with AsyncExitStack() as stack:
        here, _ = await nodes(stack, await migrated_database(), consistency="node")
        assert (await check(here))[0] is True
        for other in islice(other_groups(), 5):
            token = await write(here, other)
            assert await check(here, token) == (True, "cache")
        await remove(here)
        assert (await check(here))[0] is False


async def test_a_deleted_tenant_leaves_nothing_to_answer_from(migrated_database):
    async with AsyncExitStack() as stack:
        here, there = await nodes(stack, await migrated_database())
        assert await check(here) == (True, "primary")
        assert await check(here) == (True, "cache")
        await there.rest.delete("/v1/tenants/t1")
        await ok(there, "Schema.Write", schema=SCHEMA)
        assert (await check(here))[0] is False
        await write(there, GRANT, FACT)
        assert (await check(here))[0] is True


async def test_the_follower_brings_clocks_forward_without_a_question_waiting(migrated_database):
    async with AsyncExitStack() as stack:
        here, there = await nodes(stack, await migrated_database())
        await check(here)
        for number in range(3):
            await write(there, {**FACT, "entity": {"type": "group", "id": f"y{number}"}})

        async def answered() -> bool:
            return (await check(here))[1] == "cache"

        await until(answered)


async def test_caches_can_be_off(migrated_database):
    dsn = await migrated_database()
    async with AsyncExitStack() as stack:
        here, _ = await nodes(stack, dsn, result_cache_mb=0, relation_cache_mb=0)
        for _ in range(3):
            assert await check(here) == (True, "primary")


async def test_many_writers_and_askers_on_two_nodes_always_read_their_own_writes(
    migrated_database,
):
    async with AsyncExitStack() as stack:
        both = await nodes(stack, await migrated_database())
        chance, turn = Random(1), asyncio.Lock()

        async def live() -> None:
            for _ in range(15):
                async with turn:  # nobody else writes between the write and its checks
                    token = await chance.choice((remove, lambda api: write(api, FACT)))(
                        chance.choice(both)
                    )
                    held = [await check(api, token) for api in both]
                    held += [await check(api) for api in both]
                assert len({allowed for allowed, _ in held}) == 1, held

        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(live())


def numbers(text: str) -> dict[str, float]:
    """The samples of a page of metrics."""
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(number) for name, number in lines}


async def test_what_caches_do_shows_at_metrics(migrated_database):
    async with AsyncExitStack() as stack:
        here, there = await nodes(stack, await migrated_database())
        for _ in range(3):
            await check(here)
        await remove(there)
        await check(here)
        page = await here.rest.get("/metrics")
        assert page.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        said = numbers(page.text)
        of = 'grantlog_cache_misses_total{{cache="{}",cause="{}"}}'.format
        assert said['grantlog_cache_hits_total{cache="result"}'] == 2
        assert said[of("result", "absent")] == 1
        assert said[of("result", "moved")] == 1
        assert said[of("relation", "moved")] == 1, "the document's own relation still held"
        assert said['grantlog_cache_hits_total{cache="relation"}'] >= 1
        assert said["grantlog_cache_clocks"] == 1
        assert 0 < said['grantlog_cache_bytes{cache="result"}'] < 10_000
        assert said['grantlog_cache_bytes_max{cache="result"}'] == 64 * 1024 * 1024
        assert said["grantlog_checks_joined_total"] == 0


async def test_a_node_without_caches_says_nothing_of_them_at_metrics(migrated_database):
    dsn = await migrated_database()
    async with whole_api(dsn, result_cache_mb=0, relation_cache_mb=0) as api:
        page = await api.rest.get("/metrics")
        assert page.status_code == 200
        assert set(re.findall(r"^# TYPE (\w+)", page.text, re.MULTILINE)) == {
            "grantlog_calls_total",
            "grantlog_streams_open",
        }


async def test_equal_checks_that_come_together_are_decided_once(migrated_database):
    async with AsyncExitStack() as stack:
        here, _ = await nodes(stack, await migrated_database(), consistency="node")
        await here.post("Tenancy.List", {"page_size": 1})
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(check(here)) for _ in range(20)]
        assert {task.result()[0] for task in asked} == {True}
        said = numbers((await here.rest.get("/metrics")).text)
        decided = 20 - said["grantlog_checks_joined_total"]
        decided -= said['grantlog_cache_hits_total{cache="result"}']
        assert decided == 1


async def test_a_depth_that_no_question_may_carry_is_refused_whatever_is_in_memory(
    migrated_database,
):
    one = {"entity": GRANT["entity"], "permission": "view", "subject": FACT["subject"]}
    about = {"entity": GRANT["entity"], "subject": FACT["subject"]}
    asked = {
        "Permission.Check": one,
        "Permission.BulkCheck": {"items": [one]},
        "Permission.SubjectPermission": about,
    }
    async with AsyncExitStack() as stack:
        here, _ = await nodes(stack, await migrated_database())
        for method, question in asked.items():
            await ok(here, method, metadata={"depth": 1_000}, **question)
            body = {"tenant_id": "t1", "metadata": {"depth": 1_001}, **question}
            assert (await here.post(method, body)).status_code == 400, method
