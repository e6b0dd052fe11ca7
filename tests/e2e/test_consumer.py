"""The example consumer on a real Kafka and a real service: killed, sent again, moved, rebuilt."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import Serve, Served, spawn
from tests.waiting import until

PROGRAM = Path(__file__).resolve().parents[2] / "examples" / "consumer" / "follow.py"
SCHEMA = "entity user {}\nentity doc { relation viewer @user  relation owner @user }"
TENANTS = ("t1", "acme", "globex")
Row = tuple[str, ...]


@dataclass
class Place:
    """A service whose log is on Kafka, and a consumer's database."""

    served: Served
    environment: dict[str, str]
    database: Path
    api: httpx.AsyncClient

    @asynccontextmanager
    async def consumer(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """The example, following; killed at the end."""
        kafka = self.environment["GRANTLOG_KAFKA_BOOTSTRAP"]
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, PROGRAM, "--bootstrap", kafka, "--api", self.served.grpc,
                "--topic", self.environment["GRANTLOG_KAFKA_TOPIC"], "--database", self.database,
                stdout=log, stderr=log,
            )  # fmt: skip
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    @property
    def log(self) -> Path:
        return self.database.with_suffix(".log")

    async def topic(self, *arguments: str) -> None:
        data = self.served.log.parent / "data"
        process = await spawn("topic", *arguments, "--data-dir", str(data), **self.environment)
        out, err = await process.communicate()
        assert process.returncode == 0, (out, err)

    async def call(self, tenant: str, path: str, body: dict[str, object]) -> dict[str, object]:
        answer = await self.api.post(f"/v1/tenants/{tenant}/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def write(self, tenant: str, *facts: str) -> None:
        tuples = [parsed(fact) for fact in facts]
        await self.call(tenant, "data/write", {"metadata": {}, "tuples": tuples})

    async def delete(self, tenant: str, doc: str) -> None:
        body = {"tuple_filter": {"entity": {"type": "doc", "ids": [doc]}}, "attribute_filter": {}}
        await self.call(tenant, "data/delete", body)

    async def truth(self) -> set[Row]:
        """What ReadRelationships says, of all tenants."""
        found: set[Row] = set()
        for tenant in TENANTS:
            token = ""
            while True:
                page = await self.call(
                    tenant, "data/relationships/read",
                    {"metadata": {}, "filter": {}, "page_size": 100, "continuous_token": token},
                )  # fmt: skip
                for each in page["tuples"]:
                    entity, subject = each["entity"], each["subject"]
                    found.add((tenant, entity["type"], entity["id"], each["relation"],
                               subject["type"], subject["id"], subject["relation"]))  # fmt: skip
                token = page["continuous_token"]
                if not token:
                    break
        return found

    def held(self) -> set[Row]:
        """What the consumer's table says."""
        with closing(sqlite3.connect(self.database)) as database:
            return set(database.execute("SELECT * FROM tuples"))

    async def equal(self) -> None:
        """Return when the table is what the service says."""
        wanted = await self.truth()

        def is_equal() -> bool:
            with contextlib.suppress(sqlite3.OperationalError):  # not there yet
                return self.held() == wanted
            return False

        try:
            await until(is_equal, within_s=60)
        except TimeoutError:
            missing, extra = wanted - self.held(), self.held() - wanted
            pytest.fail(f"lacks {missing}, holds {extra}; said {self.log.read_text()}")

    def said(self) -> str:
        return self.log.read_text()


def parsed(fact: str) -> dict[str, object]:
    """`1#viewer@ann` as a tuple."""
    doc, rest = fact.split("#")
    relation, user = rest.split("@")
    return {
        "entity": {"type": "doc", "id": doc},
        "relation": relation,
        "subject": {"type": "user", "id": user},
    }


@pytest.fixture
async def place(
    serve: Serve, kafka: str, new_topic: Callable[[], str], tmp_path: Path
) -> AsyncIterator[Place]:
    environment = {
        "GRANTLOG_KAFKA_BOOTSTRAP": kafka,
        "GRANTLOG_KAFKA_TOPIC": new_topic(),
        "GRANTLOG_KAFKA_PARTITIONS": "2",
    }
    served = await serve(**environment)
    async with httpx.AsyncClient(base_url=served.rest, timeout=30) as api:
        place = Place(served, environment, tmp_path / "tuples.db", api)
        for tenant in TENANTS:
            if tenant != "t1":
                await api.post("/v1/tenants/create", json={"id": tenant, "name": tenant})
            await place.call(tenant, "schemas/write", {"schema": SCHEMA})
        yield place


async def test_the_table_is_what_the_service_says_through_kills_and_repetitions(
    place: Place,
) -> None:
    rng = random.Random(os.environ.get("GRANTLOG_TEST_SEED", "7"))  # noqa: TID251 - the run's own
    kills = 8

    async def write_on() -> None:
        for number in range(kills * 12):
            tenant = rng.choice(TENANTS)
            users = {rng.choice("abcdef") for _ in range(rng.randint(1, 4))}
            await place.write(tenant, *(f"{number % 9}#viewer@{user}" for user in users))
            if rng.random() < 0.3:
                await place.delete(tenant, str(rng.randint(0, 8)))
            if number == kills * 6:
                await place.topic("republish")

    async with asyncio.TaskGroup() as group:
        writing = group.create_task(write_on())
        for _ in range(kills):
            async with place.consumer() as process:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(rng.uniform(0.2, 3.0)):  # the moment of the kill
                        await process.wait()
                assert process.returncode is None, place.said()
        await writing
    await place.topic("republish")
    async with place.consumer() as process:
        await place.equal()
        large = [f"{'x' * 60}{number}#owner@{'y' * 60}{number}" for number in range(100)]
        for tenant in TENANTS:
            await place.write(tenant, *large)
        await place.equal()
        assert process.returncode is None
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0, place.said()
    assert "anew" not in place.said()


async def test_what_the_topic_lacks_is_read_from_the_service(place: Place) -> None:
    """A new topic holds nothing of before: gaps are refilled, a deletion in one is heard of."""
    async with place.consumer():
        await place.write("t1", "1#viewer@a", "2#viewer@a")
        await place.write("acme", "1#viewer@a")
        await place.equal()
    await place.write("t1", "3#viewer@a")
    await place.delete("t1", "1")
    answer = await place.api.delete("/v1/tenants/acme")
    assert answer.status_code == 200
    await place.api.post("/v1/tenants/create", json={"id": "acme", "name": "acme"})
    await place.call("acme", "schemas/write", {"schema": SCHEMA})
    await place.write("acme", "9#viewer@z")
    await lose_messages(place)
    await place.write("t1", "4#viewer@a")
    await place.write("acme", "8#viewer@z")
    async with place.consumer():
        await place.equal()
    assert "gap" in place.said()


async def lose_messages(place: Place) -> None:
    """Take away what is on the topic, as its retention does, once all of it is there."""
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.admin.records_to_delete import RecordsToDelete
    from aiokafka.structs import TopicPartition

    data = ("--data-dir", str(place.served.log.parent / "data"))

    async def published() -> bool:
        process = await spawn("topic", "status", *data, **place.environment)
        said, _ = await process.communicate()
        return b"0 revisions are not published yet" in said

    await until(published, within_s=60)
    topic = place.environment["GRANTLOG_KAFKA_TOPIC"]
    admin = AIOKafkaAdminClient(bootstrap_servers=place.environment["GRANTLOG_KAFKA_BOOTSTRAP"])
    await admin.start()
    try:
        await admin.delete_records(
            {TopicPartition(topic, number): RecordsToDelete(before_offset=-1) for number in (0, 1)}
        )
    finally:
        await admin.close()
