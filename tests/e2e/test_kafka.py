"""`grantlog serve` with the log on a real Kafka: write, token, replica, watch, topic."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import httpx

from tests.e2e.conftest import Serve, spawn
from tests.waiting import until

SCHEMA = "entity user {}\nentity doc { relation viewer @user  action view = viewer }"


async def command(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run the command: its code and what it said."""
    process = await spawn(*arguments, **environment)
    async with asyncio.timeout(120):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_a_served_log_goes_over_kafka(
    serve: Serve, kafka: str, new_topic: Callable[[], str]
) -> None:
    place = {"GRANTLOG_KAFKA_BOOTSTRAP": kafka, "GRANTLOG_KAFKA_TOPIC": new_topic()}
    served = await serve("--with-replica", **place)
    data = ("--data-dir", str(served.log.parent / "data"))
    async with httpx.AsyncClient(base_url=served.rest, timeout=120) as api:
        tenant = "/v1/tenants/t1"
        answer = await api.post(f"{tenant}/schemas/write", json={"schema": SCHEMA})
        assert answer.status_code == 200, answer.text

        async def published() -> bool:
            code, said, _ = await command("topic", "status", *data, **place)
            return code == 0 and "0 revisions are not published yet" in said

        await until(published, within_s=60)
        watch = f"{tenant}/watch/events"
        async with api.stream("GET", watch) as events:
            lines = events.aiter_lines()
            await anext(lines)
            write = {
                "metadata": {},
                "tuples": [
                    {
                        "entity": {"type": "doc", "id": "1"},
                        "relation": "viewer",
                        "subject": {"type": "user", "id": "ann"},
                    }
                ],
            }
            answer = await api.post(f"{tenant}/data/write", json=write)
            token = answer.json()["snap_token"]
            async with asyncio.timeout(120):
                async for line in lines:
                    if '"ann"' in line:
                        break
        question = {
            "metadata": {"snap_token": token, "depth": 20},
            "entity": {"type": "doc", "id": "1"},
            "permission": "view",
            "subject": {"type": "user", "id": "ann"},
        }
        answer = await api.post(f"{tenant}/permissions/check", json=question)
        assert answer.json()["can"] == "CHECK_RESULT_ALLOWED", json.dumps(answer.json())
    code, said, told = await command(
        "topic", "status", *data, **place | {"GRANTLOG_KAFKA_PARTITIONS": "3"}
    )
    assert code == 1, told
    assert "the log has 8 partitions, GRANTLOG_KAFKA_PARTITIONS says 3" in said
    assert said.count("published by") == 8
    code, said, _ = await command("topic", "republish", *data)
    assert (code, "are going to be sent again" in said) == (0, True)
    await until(published, within_s=60)
    moved = place | {"GRANTLOG_KAFKA_TOPIC": new_topic(), "GRANTLOG_KAFKA_PARTITIONS": "2"}
    code, said, told = await command("topic", "move", *data, **moved)
    assert code == 0, told
    assert "Start every service anew" in said
    await until(lambda: "the log is on the topic" in served.log.read_text())
    assert await served.stop() == 0
    served = await serve("--with-replica", **moved)
    place.update(moved)
    await until(published, within_s=60)
