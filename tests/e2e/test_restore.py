"""The runbooks of docs/operations.md for a restored and for a promoted primary, step by step."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from tests.e2e.conftest import Serve, Served
from tests.e2e.test_kafka import SCHEMA, command
from tests.own_postgres import own_postgres
from tests.waiting import until

TENANT = "/v1/tenants/t1"


def viewer(number: int, user: str) -> dict[str, Any]:
    return {
        "entity": {"type": "doc", "id": str(number)},
        "relation": "viewer",
        "subject": {"type": "user", "id": user},
    }


async def write(api: httpx.AsyncClient, number: int, user: str = "ann") -> str:
    """Write a fact, as often as it takes: its token."""
    body = {"metadata": {}, "tuples": [viewer(number, user)]}
    tokens: list[str] = []

    async def written() -> bool:
        answer = await api.post(f"{TENANT}/data/write", json=body)
        if answer.status_code == 200:
            tokens.append(answer.json()["snap_token"])
        return bool(tokens)

    await until(written, within_s=60)
    return tokens[0]


async def check(api: httpx.AsyncClient, number: int, token: str) -> str:
    """What a check answers: its result, or the reason of its refusal."""
    question = {
        "metadata": {"snap_token": token, "depth": 20},
        "entity": {"type": "doc", "id": str(number)},
        "permission": "view",
        "subject": {"type": "user", "id": "ann"},
    }
    answer = await api.post(f"{TENANT}/permissions/check", json=question)
    return str(answer.json().get("can") or answer.text)


async def test_a_primary_is_restored_under_running_services(
    serve: Serve,
    kafka: str,
    new_topic: Callable[[], str],
    fresh_database: Callable[[], Awaitable[str]],
) -> None:
    place = {"GRANTLOG_KAFKA_BOOTSTRAP": kafka, "GRANTLOG_KAFKA_TOPIC": new_topic()}
    with own_postgres() as primary:
        both = ("--database-url", primary.dsn(), "--replica-url", await fresh_database())
        served = await serve(*both, data=None, **place)
        other = await serve("--database-url", primary.dsn(), data=None, **place)
        async with (
            httpx.AsyncClient(base_url=served.rest, timeout=30) as api,
            httpx.AsyncClient(base_url=other.rest, timeout=30) as elsewhere,
        ):
            answer = await api.post(f"{TENANT}/schemas/write", json={"schema": SCHEMA})
            assert answer.status_code == 200, answer.text
            kept = await write(api, 1)
            await until(lambda: says(both, "t1: current, applied 3"), within_s=60)
            backup = await asyncio.to_thread(primary.back_up, "backup")
            lost = await write(api, 2)
            assert await check(elsewhere, 2, lost) == "CHECK_RESULT_ALLOWED"
            await until(lambda: says(both, "t1: current, applied 4"), within_s=60)
            async with api.stream("GET", f"{TENANT}/watch/events") as watching:
                lines = watching.aiter_lines()
                await anext(lines)
                await asyncio.to_thread(primary.restore, backup)
                # Nothing was opened by hand: the nodes remember.
                new = await write(elsewhere, 3)
                told = [line async for line in lines]
                assert any("watch" in line for line in told), told
            for node in (api, elsewhere):
                await until(lambda node=node: refuses(node, lost), within_s=60)
                assert await check(node, 1, kept) == "CHECK_RESULT_ALLOWED"
                assert await check(node, 3, new) == "CHECK_RESULT_ALLOWED"
                assert await check(node, 2, new) == "CHECK_RESULT_DENIED"
        _, said, _ = await command("topic", "status", "--database-url", primary.dsn(), **place)
        assert re.search(r"epoch \d{10} since", said), said
        assert "restored or failed over" in said

        async def folded_anew() -> bool:
            code, said, _ = await command("projector", "verify", *both)
            return (code, "1 of 1 tenants are equal" in said) == (0, True)

        await until(folded_anew, within_s=60)
        assert '"tenant folded anew"' in served.log.read_text()
        await until(lambda: is_published(primary.dsn(), place), within_s=60)
        assert '"a new epoch of the log began"' in served.log.read_text() + other.log.read_text()


async def test_the_runbook_of_a_restore_with_everything_stopped(
    serve: Serve, fresh_database: Callable[[], Awaitable[str]]
) -> None:
    with own_postgres() as primary:
        both = ("--database-url", primary.dsn(), "--replica-url", await fresh_database())
        served = await serve(*both, data=None)
        await use(served)
        backup = await asyncio.to_thread(primary.back_up, "backup")
        async with httpx.AsyncClient(base_url=served.rest, timeout=30) as api:
            lost = await write(api, 2)
            await until(lambda: says(both, "t1: current, applied 4"), within_s=60)
        assert await served.stop() == 0
        await asyncio.to_thread(primary.restore, backup)
        code, said, _ = await command("epoch", "new", "--database-url", primary.dsn())
        assert (code, re.fullmatch(r"epoch \d{10}", said.strip()) is not None) == (0, True), said
        code, _, why = await command("projector", "rebuild", *both)
        assert code == 0, why
        code, said, _ = await command("projector", "verify", *both)
        assert code == 0, said
        served = await serve(*both, data=None)
        async with httpx.AsyncClient(base_url=served.rest, timeout=30) as api:
            await until(lambda: refuses(api, lost))
            assert await check(api, 2, await write(api, 3)) == "CHECK_RESULT_DENIED"


async def use(served: Served) -> None:
    """A schema and a first fact."""
    async with httpx.AsyncClient(base_url=served.rest, timeout=30) as api:
        answer = await api.post(f"{TENANT}/schemas/write", json={"schema": SCHEMA})
        assert answer.status_code == 200, answer.text
        await write(api, 1)


async def says(both: tuple[str, ...], words: str) -> bool:
    """Whether `grantlog projector status` says so."""
    _, said, _ = await command("projector", "status", *both)
    return words in said


async def refuses(api: httpx.AsyncClient, token: str) -> bool:
    """Whether a lost token is told; a node that nobody asked yet hears within a second."""
    answer = await check(api, 2, token)
    return "lost when the database was restored or failed over" in json.dumps(answer)


async def is_published(dsn: str, place: dict[str, str]) -> bool:
    code, said, _ = await command("topic", "status", "--database-url", dsn, **place)
    return code == 0 and "0 revisions are not published yet" in said
