"""The example consumer on a topic of JSON, and behind a primary that was restored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.e2e.conftest import Serve, Served
from tests.e2e.test_consumer import SCHEMA, TENANTS, Place
from tests.own_postgres import own_postgres
from tests.waiting import until


@asynccontextmanager
async def placed(served: Served, environment: dict[str, str], folder: Path) -> AsyncIterator[Place]:
    """A consumer's place behind a service, whose tenants have their schemas."""
    async with httpx.AsyncClient(base_url=served.rest, timeout=30) as api:
        place = Place(served, environment, folder / "tuples.db", api)
        for tenant in TENANTS:
            await place.call(tenant, "schemas/write", {"schema": SCHEMA})
        yield place


async def test_a_topic_of_json_gives_the_same_table(
    serve: Serve, kafka: str, new_topic: Callable[[], str], tmp_path: Path
) -> None:
    environment = {
        "GRANTLOG_KAFKA_BOOTSTRAP": kafka,
        "GRANTLOG_KAFKA_TOPIC": new_topic(),
        "GRANTLOG_KAFKA_PARTITIONS": "2",
        "GRANTLOG_KAFKA_FORMAT": "json",
    }
    served = await serve(**environment)
    async with placed(served, environment, tmp_path) as place:
        await place.write("t1", "1#viewer@a", "2#viewer@b")
        async with place.consumer():
            await place.equal()
            await place.delete("t1", "1")
            await place.write("acme", *(f"{number}#owner@b" for number in range(50)))
            await place.equal()
        assert "anew" not in place.said()
    events = await everything(kafka, environment["GRANTLOG_KAFKA_TOPIC"])
    # A publisher may send again what it sent; which is the same then.
    events = [each for at, each in enumerate(events) if each not in events[:at]]
    revisions = [each["revision"] for each in events if each["tenant"] == "t1"]
    assert revisions == ["1", "2", "3", "4"], "the tenant, its schema, a write and a deletion"
    (removed,) = (each for each in events if (each["tenant"], each["revision"]) == ("t1", "4"))
    (change,) = removed["data_written"]["changes"]
    assert change["operation"] == "OPERATION_DELETE"
    assert change["tuple"]["entity_id"] == "1"


async def everything(kafka: str, topic: str) -> list[dict[str, object]]:
    """The events on a topic of JSON, each partition's in order."""
    events: list[dict[str, object]] = []
    places = [TopicPartition(topic, number) for number in range(2)]
    client = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
    await client.start()
    try:
        client.assign(places)
        await client.seek_to_beginning(*places)
        for place, end in (await client.end_offsets(places)).items():
            while await client.position(place) < end:
                for record in (await client.getmany(place, timeout_ms=500)).get(place, ()):
                    headers = dict(record.headers)
                    assert headers["content-type"] == b"application/json"
                    told = orjson.loads(record.value or b"")
                    if headers["grantlog-kind"] == b"event":
                        events.append(told)
    finally:
        await client.stop()
    return events


async def test_a_tenant_whose_primary_was_restored_is_read_anew(
    serve: Serve,
    kafka: str,
    new_topic: Callable[[], str],
    tmp_path: Path,
) -> None:
    """The consumer holds a write that the restored primary never heard of."""
    environment = {
        "GRANTLOG_KAFKA_BOOTSTRAP": kafka,
        "GRANTLOG_KAFKA_TOPIC": new_topic(),
        "GRANTLOG_KAFKA_PARTITIONS": "2",
    }
    with own_postgres() as primary:
        served = await serve("--database-url", primary.dsn(), data=None, **environment)
        async with placed(served, environment, tmp_path) as place, place.consumer() as process:
            await place.write("t1", "1#viewer@a")
            await place.write("acme", "1#viewer@a")
            await place.equal()
            backup = await asyncio.to_thread(primary.back_up, "backup")
            await place.write("t1", "2#viewer@lost")
            await place.equal()
            await asyncio.to_thread(primary.restore, backup)
            await until(lambda: is_written(place, "t1", "3#viewer@new"), within_s=60)
            await place.equal()
            held = {(row[0], row[5]) for row in place.held()}
            assert held == {("t1", "a"), ("t1", "new"), ("acme", "a")}
            await place.write("acme", "2#viewer@b")
            await place.equal()
            assert process.returncode is None
        said = place.said()
        assert said.count("reading t1 anew") == 1, said
        assert "reading acme anew" not in said, said
        await served.stop()


async def is_written(place: Place, tenant: str, fact: str) -> bool:
    """Whether the service has found its primary again and takes a write."""
    try:
        await place.write(tenant, fact)
    except (AssertionError, httpx.HTTPError):
        return False
    return True
