"""compose.yaml, run as processes: two API nodes, a projector, Kafka, one address before them."""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any

import grpc
import httpx
import pytest
from aiokafka import AIOKafkaConsumer

from tests.deploy.containers import Container
from tests.deploy.deployment import Deployment, place_of
from tests.e2e.doors import Grpc, RefusedError, Rest
from tests.servers import Server
from tests.waiting import until

UNAVAILABLE = 14
SCHEMA = "entity user {}\nentity doc { relation viewer @user  permission view = viewer }"


@contextmanager
def doors(container: Container | Server) -> Iterator[list[Rest | Grpc]]:
    place = container if isinstance(container, Server) else place_of(container)
    both: list[Rest | Grpc] = [Rest(place), Grpc(place)]
    try:
        yield both
    finally:
        for door in both:
            door.close()


@pytest.fixture
def tenant(deployment: Deployment) -> str:
    """A tenant with a schema, written at the first node."""
    name = f"t-{secrets.token_hex(6)}"
    with doors(deployment.api[0]) as (rest, _):
        rest.call(name, "/v1/tenants/create", {"id": name, "name": name})
        rest.call(name, "schemas/write", {"schema": SCHEMA})
    return name


def fact(doc: str) -> dict[str, Any]:
    return {
        "metadata": {},
        "tuples": [
            {
                "entity": {"type": "doc", "id": doc},
                "relation": "viewer",
                "subject": {"type": "user", "id": "ann"},
            }
        ],
    }


def question(doc: str, token: str = "") -> dict[str, Any]:
    return {
        "metadata": {"depth": 20, "snap_token": token},
        "entity": {"type": "doc", "id": doc},
        "permission": "view",
        "subject": {"type": "user", "id": "ann"},
    }


def allowed(door: Rest | Grpc, tenant: str, doc: str, token: str = "") -> bool:
    answer, _ = door.call(tenant, "permissions/check", question(doc, token))
    return answer["can"] == "CHECK_RESULT_ALLOWED"


def write(door: Rest | Grpc, tenant: str, doc: str) -> str:
    answer, _ = door.call(tenant, "data/write", fact(doc))
    return answer["snap_token"]


def test_what_one_node_writes_every_node_answers(deployment: Deployment, tenant: str):
    with doors(deployment.api[0]) as first, doors(deployment.api[1]) as second:
        for number in range(20):
            writer = (first + second)[number % 4]
            token = write(writer, tenant, f"{number}")
            for reader in first + second:
                assert allowed(reader, tenant, f"{number}"), "without a token"
                assert allowed(reader, tenant, f"{number}", token), "with one"
            assert not allowed(writer, tenant, f"not-{number}", token)


def test_a_watcher_at_one_node_hears_what_another_one_writes(deployment: Deployment, tenant: str):
    with doors(deployment.api[0]) as (writer, _), doors(deployment.api[1]) as (rest, _):
        token = write(writer, tenant, "seen-from-here")
        assert isinstance(rest, Rest)
        with rest.client.stream(
            "POST", f"/v1/tenants/{tenant}/watch", json={"snap_token": token}
        ) as (lines):
            told = threading.Thread(target=write, args=(writer, tenant, "later"))
            told.start()
            for line in lines.iter_lines():
                changes = json.loads(line)["result"]["changes"]["data_changes"]
                if changes:
                    break
            told.join()
    assert [change["tuple"]["entity"]["id"] for change in changes] == ["later"]


def test_a_watcher_survives_the_watch_service(deployment: Deployment, tenant: str, server: Server):
    (watch,) = deployment.containers["watch"]
    with doors(server) as (rest, _), doors(deployment.api[0]) as (writer, _):
        assert isinstance(rest, Rest)
        heard = follow(rest, tenant, write(writer, tenant, "0"))
        for number in range(1, 9):
            write(writer, tenant, f"{number}")
            if number == 4:
                assert next(heard) == "1"
                watch.kill()
                watch.start()
        assert list(islice(heard, 7)) == [f"{number}" for number in range(2, 9)]
        heard.close()
    watch.become_healthy()


def follow(rest: Rest, tenant: str, token: str) -> Generator[str]:
    """The documents of what is written behind a token; where a watch ends, another one goes on."""
    while True:
        path = f"/v1/tenants/{tenant}/watch"
        with rest.client.stream("POST", path, json={"snap_token": token}) as answer:
            for line in answer.iter_lines():
                said = json.loads(line)
                if "result" not in said:  # told to go on from the last token
                    assert said.get("error", said)["code"] == UNAVAILABLE, line
                    break
                changes = said["result"]["changes"]
                yield from (change["tuple"]["entity"]["id"] for change in changes["data_changes"])
                token = changes["snap_token"]


def test_the_topic_has_every_revision_of_a_tenant(
    deployment: Deployment, tenant: str, kafka: str, topic: str
):
    with doors(deployment.api[0]) as first, doors(deployment.api[1]) as second:
        for number, door in enumerate((first + second) * 5):
            write(door, tenant, f"{number}")
    revisions = asyncio.run(revisions_on(kafka, topic, tenant, through=20))
    assert revisions == list(range(1, len(revisions) + 1))
    status = deployment.api[1].run("grantlog", "topic", "status")
    assert status.returncode == 0, status.stdout


async def revisions_on(kafka: str, topic: str, tenant: str, *, through: int) -> list[int]:
    """A tenant's revisions on the topic, in their order and each once, until one is reached."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest")
    found: list[int] = []
    await consumer.start()
    try:
        async with asyncio.timeout(60):
            while through not in found:
                message = await consumer.getone()
                if message.key == tenant.encode():
                    revision = int(dict(message.headers)["grantlog-revision"])
                    found += [revision] if revision not in found else []
    finally:
        await consumer.stop()
    return found


def test_the_replica_is_read_and_equals_the_primary(deployment: Deployment, tenant: str):
    with doors(deployment.api[0]) as (rest, _):
        token = write(rest, tenant, "copied")
        assert allowed(rest, tenant, "copied", token)
    projector = deployment.containers["projector"][0]
    verified = projector.run("grantlog", "projector", "verify")
    assert verified.returncode == 0, verified.stdout


def test_a_node_that_is_killed_is_missed_by_nobody(
    deployment: Deployment, tenant: str, server: Server
):
    lost = deployment.add("api")
    lost.become_healthy()
    asyncio.run(until(lambda: lost.address in balanced(deployment)))
    with doors(server) as both, doors(deployment.api[1]) as (other, _):
        token = write(both[0], tenant, "before")
        lost.kill()
        deployment.remove(lost)
        refused: list[str] = []
        for number in range(30):
            for door in both:
                try:
                    assert allowed(door, tenant, "before", token)
                except RefusedError as error:
                    refused.append(error.code)
            token = write(other, tenant, f"{number}")
    # At most what it had in hand when it died, one call for each door, and it is told as it should.
    assert len(refused) <= 2
    assert set(refused) <= {"503", "UNAVAILABLE"}


def balanced(deployment: Deployment) -> set[str]:
    """The addresses of nodes that the proxy sends calls to."""
    (proxy,) = deployment.containers["proxy"]
    said = httpx.get(f"http://{proxy.address}:9901/clusters?format=json", timeout=60).json()
    hosts = [host for cluster in said["cluster_statuses"] for host in cluster["host_statuses"]]
    return {
        host["address"]["socket_address"]["address"]
        for host in hosts
        if host["health_status"] == {"eds_health_status": "HEALTHY"}
    }


def test_a_compressed_message_stops_at_the_proxy(server: Server, tenant: str):
    door = Grpc(server)
    door.channel = grpc.insecure_channel(server.grpc, compression=grpc.Compression.Gzip)
    with pytest.raises(RefusedError) as refused:
        door.call(tenant, "permissions/check", question("asked"))
    door.close()
    assert refused.value == RefusedError("UNIMPLEMENTED", "compressed messages are not taken")


def test_a_node_that_leaves_takes_calls_until_others_have_noticed(
    deployment: Deployment, tenant: str
):
    leaving = deployment.add("api", GRANTLOG_LINGER_S="60")
    leaving.become_healthy()
    with doors(leaving) as both:
        write(both[0], tenant, "asked")
        leaving.tell_to_stop()
        asyncio.run(until(lambda: "not serving" in leaving.trouble()))
        assert all(allowed(door, tenant, "asked") for door in both)
    leaving.tell_to_stop()  # a second time: it leaves at once
    assert leaving.ended(within_s=120) == 0
    deployment.remove(leaving)


def test_a_node_that_is_told_to_stop_fails_no_call(
    deployment: Deployment, tenant: str, server: Server
):
    leaving = deployment.add("api")
    leaving.become_healthy()
    stop = threading.Event()
    with doors(server) as both, ThreadPoolExecutor(4) as pool:
        write(both[0], tenant, "asked")
        asking = [pool.submit(ask_on, both[number % 2], tenant, stop) for number in range(4)]
        try:
            assert leaving.stop() == 0
            deployment.remove(leaving)
            assert all(allowed(door, tenant, "asked") for door in both * 20)
        finally:
            stop.set()
        assert all(job.result() > 0 for job in asking)


def ask_on(door: Rest | Grpc, tenant: str, stop: threading.Event) -> int:
    """Ask again and again; how often it was answered. A refusal is raised."""
    asked = 0
    while not stop.is_set():
        assert allowed(door, tenant, "asked")
        asked += 1
    return asked
