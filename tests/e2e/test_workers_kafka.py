"""`grantlog serve --workers 2` with the log on Kafka: one reader of the topic for all workers."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from grantlog.changelog.kafka.frames import LATE_S_MAX
from tests.e2e.conftest import Serve, Served
from tests.e2e.test_workers import new_tenant, workers
from tests.kafka import Broker
from tests.waiting import until

DOCS = 4
STEPS = 20
MANY_FACTS = 1_000
WORKER = re.compile(r'worker="(\d)"')
RECORDS = re.compile(r'^grantlog_topic_records_total{worker="(\d)"} (\d+)$', re.MULTILINE)


@dataclass
class Node:
    """A node of two workers, over Kafka perhaps, and a connection to each of them."""

    served: Served
    tenant: str
    kafka: str = ""
    lines: dict[str, httpx.AsyncClient] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)
    """By worker."""
    there: set[str] = field(default_factory=set)
    """The documents that ann may view."""

    async def connect(self) -> None:
        """Keep one connection to each worker."""
        await self.close()
        async with asyncio.timeout(120):
            while len(self.lines) < 2:
                line = httpx.AsyncClient(base_url=self.served.rest, timeout=60)
                answer = await line.get("/metrics")
                worker = WORKER.search(answer.text)[1]
                if worker in self.lines:
                    await line.aclose()
                    continue
                stream = answer.extensions["network_stream"]
                self.lines[worker] = line
                self.pids[worker] = self.who_holds(stream.get_extra_info("client_addr")[1])

    def who_holds(self, port: int) -> int:
        """The pid of the worker at the other end of a connection from this port."""
        wanted = {f"socket:[{inode}]" for inode in inodes(self.served.rest_port, port)}
        (found,) = [pid for pid in workers(self.served) if wanted & open_files(pid)]
        return found

    async def close(self) -> None:
        for line in self.lines.values():
            await line.aclose()
        self.lines.clear()

    async def toggle(self, doc: str, through: str) -> str:
        """Give or take back ann's view of a document; the snap token."""
        if doc in self.there:
            of = {"entity": {"type": "doc", "ids": [doc]}, "relation": "viewer"}
            what, body = "delete", {"tuple_filter": of, "attribute_filter": {}}
            self.there.remove(doc)
        else:
            what, body = "write", {"metadata": {}, "tuples": [fact(doc)]}
            self.there.add(doc)
        return await self.post(through, f"data/{what}", body, "snap_token")

    async def post(self, worker: str, path: str, body: dict, key: str) -> str:
        answer = await self.lines[worker].post(f"/v1/tenants/{self.tenant}/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()[key]

    async def agrees(self, token: str, *asked: str) -> None:
        """The workers answer rightly of all documents, at the head and behind a token, twice."""
        for worker in asked or self.lines:
            for behind in (token, "", token, ""):
                for doc in map(str, range(DOCS)):
                    question = {
                        "metadata": {"depth": 20, "snap_token": behind},
                        "entity": {"type": "doc", "id": doc},
                        "permission": "view",
                        "subject": {"type": "user", "id": "ann"},
                    }
                    can = await self.post(worker, "permissions/check", question, "can")
                    told = can == "CHECK_RESULT_ALLOWED"
                    assert told is (doc in self.there), f"worker {worker}, {doc}, {behind!r}"

    async def records(self) -> dict[str, int]:
        """By worker, how many records the reader of the topic had read when it last told."""
        found = {}
        for worker, line in self.lines.items():
            found[worker] = int(RECORDS.search((await line.get("/metrics")).text)[2])
        return found

    async def follow(self) -> None:
        """Return when both workers heard of more records than either had before."""
        most = max((await self.records()).values())

        async def heard() -> bool:
            return min((await self.records()).values()) > most

        await until(heard, within_s=60)


def fact(doc: str) -> dict:
    return {
        "entity": {"type": "doc", "id": doc},
        "relation": "viewer",
        "subject": {"type": "user", "id": "ann"},
    }


def inodes(local: int = 0, remote: int = 0) -> set[str]:
    """Established TCP sockets by their ports; 0 is any."""
    found = set()
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            words = row.split()
            ports = [int(words[end].rpartition(":")[2], 16) for end in (1, 2)]
            fits = local in (0, ports[0]) and remote in (0, ports[1])
            if words[3] == "01" and fits:
                found.add(words[9])
    return found


def open_files(pid: int) -> set[str]:
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            found.add(str(entry.readlink()))
    return found


def to_kafka(kafka: str, pid: int) -> int:
    """How many connections to Kafka a process has."""
    wanted = {f"socket:[{inode}]" for inode in inodes(remote=int(kafka.rpartition(":")[2]))}
    return len(wanted & open_files(pid))


ServeOver = Callable[[str], Awaitable[Node]]


@pytest.fixture
async def serve_over(serve: Serve, new_topic: Callable[[], str]) -> AsyncIterator[ServeOver]:
    nodes: list[Node] = []

    async def start(kafka: str) -> Node:
        place = {"GRANTLOG_KAFKA_BOOTSTRAP": kafka, "GRANTLOG_KAFKA_TOPIC": new_topic()}
        served = await serve("--workers", "2", **place)
        node = Node(served, await new_tenant(served), kafka)
        nodes.append(node)
        await node.connect()
        await node.follow()
        return node

    yield start
    for node in nodes:
        await node.close()


async def test_one_process_reads_the_topic_and_all_workers_answer_rightly(
    serve_over: ServeOver, kafka: str
):
    node, rng = await serve_over(kafka), random.Random(7)
    for _ in range(STEPS):
        doc, through = str(rng.randrange(DOCS)), rng.choice("01")
        token = await node.toggle(doc, through)
        await node.agrees(token)
    api = node.served.pids()["api"]
    assert to_kafka(kafka, node.pids["1"]) == 0  # the other one publishes
    assert to_kafka(kafka, api) > 0
    await node.close()
    assert await node.served.stop(signal.SIGTERM) == 0
    lines = [json.loads(line) for line in node.served.log.read_text().splitlines()]
    told = {line["event"] for line in lines if line["level"] != "info"}
    assert told <= {"few copies of the topic"}


async def test_many_records_leave_every_worker_right(serve_over: ServeOver, kafka: str):
    node = await serve_over(kafka)
    for number in range(10):
        await node.toggle(str(number % DOCS), "0")
        facts = [fact(f"{number}-{n}") for n in range(MANY_FACTS)]
        body = {"metadata": {}, "tuples": facts}
        token = await node.post("01"[number % 2], "data/write", body, "snap_token")
        await node.agrees(token)
    await node.follow()


async def test_a_worker_that_was_killed_follows_again(serve_over: ServeOver, kafka: str):
    node = await serve_over(kafka)
    await node.agrees(await node.toggle("0", "0"))
    for killed in ("1", "0"):
        pid = node.pids[killed]
        os.kill(pid, signal.SIGKILL)
        await until(lambda pid=pid: len(workers(node.served) - {pid}) == 2, within_s=60)
        await node.connect()
        await node.follow()
        for doc in ("1", "2", "1"):
            await node.agrees(await node.toggle(doc, killed))


async def test_without_kafka_the_primary_is_asked_and_then_the_topic_again(
    serve_over: ServeOver, own_broker: Broker
):
    node = await serve_over(own_broker.bootstrap)
    await node.agrees(await node.toggle("0", "0"))
    await asyncio.to_thread(own_broker.stop, signal.SIGKILL)
    for doc in ("1", "2", "1", "0"):
        await node.agrees(await node.toggle(doc, "1"))
    await asyncio.to_thread(own_broker.start)
    await node.follow()
    for doc in ("3", "2", "3"):
        await node.agrees(await node.toggle(doc, "0"))
    assert to_kafka(node.kafka, node.pids["1"]) == 0


async def test_a_worker_that_stood_still_answers_nothing_from_before(
    serve_over: ServeOver, kafka: str
):
    node = await serve_over(kafka)
    for doc in map(str, range(DOCS)):
        token = await node.toggle(doc, "0")
    await node.agrees(token)  # all of it is kept by both
    stood_still, other = "1", "0"
    now = asyncio.get_running_loop().time
    for still_s in (0.5, LATE_S_MAX + 1):
        os.kill(node.pids[stood_still], signal.SIGSTOP)
        try:
            until_s = now() + still_s
            while now() < until_s:  # it is late by more than may be
                token = await node.toggle(str(random.randrange(DOCS)), other)
                facts = [fact(f"{token}-{n}") for n in range(100)]
                body = {"metadata": {}, "tuples": facts}
                token = await node.post(other, "data/write", body, "snap_token")
        finally:
            os.kill(node.pids[stood_still], signal.SIGCONT)
        await node.agrees(token, stood_still)
        await node.agrees(token)
        await node.follow()
