"""`grantlog serve --workers 2` with the log on Kafka: one reader of the topic for all workers."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from grpc import aio

from grantlog.api.v1 import base_pb2, service_pb2, service_pb2_grpc
from tests.e2e.conftest import Serve, Served, children
from tests.e2e.test_workers import MANY, new_tenant, told, until_async, workers, written
from tests.kafka import Broker
from tests.waiting import until

WRITES = 30


@dataclass
class Node:
    """A node whose workers follow the log over Kafka."""

    served: Served
    tenant: str
    broker: str
    writes: int = 0

    @property
    def api(self) -> int:
        """The pid of the process that supervises the workers."""
        return self.served.pids()["api"]

    async def write(self) -> str:
        """Write one fact on a connection of its own; its snap token."""
        self.writes += 1
        async with aio.insecure_channel(self.served.grpc) as channel:
            write = service_pb2_grpc.DataStub(channel).Write
            request = written(self.tenant, str(self.writes))
            answer = await write(request, wait_for_ready=True, timeout=30)
        return answer.snap_token

    async def delete(self, doc: str) -> str:
        """Take a fact back; the snap token."""
        request = service_pb2.DataDeleteRequest(
            tenant_id=self.tenant,
            tuple_filter=base_pb2.TupleFilter(
                entity=base_pb2.EntityFilter(type="doc", ids=[doc]), relation="viewer"
            ),
        )
        async with aio.insecure_channel(self.served.grpc) as channel:
            delete = service_pb2_grpc.DataStub(channel).Delete
            answer = await delete(request, wait_for_ready=True, timeout=30)
        return answer.snap_token

    async def allowed(self, doc: str, token: str = "") -> tuple[str, bool]:
        """Which worker answers a check on a new connection, and what."""
        question = {
            "metadata": {"depth": 20, "snap_token": token},
            "entity": {"type": "doc", "id": doc},
            "permission": "view",
            "subject": {"type": "user", "id": "ann"},
        }
        async with httpx.AsyncClient(base_url=self.served.rest, timeout=30) as client:
            path = f"/v1/tenants/{self.tenant}/permissions/check"
            answer = await client.post(path, json=question)
            assert answer.status_code == 200, answer.text
            text = (await client.get("/metrics")).text
        return worker_of(text), answer.json()["can"] == "CHECK_RESULT_ALLOWED"

    async def agrees(self, doc: str, wanted: bool, token: str = "") -> None:
        """Every worker answers this, at the head and behind a token, also a second time."""
        asked: dict[str, int] = {}
        while len(asked) < 2 or min(asked.values()) < 2:
            for behind in (token, ""):
                worker, answer = await self.allowed(doc, behind)
                assert answer is wanted, f"worker {worker}, {doc}, token {behind!r}"
                asked[worker] = asked.get(worker, 0) + 1

    async def records(self) -> dict[str, float]:
        """By worker, how many records the reader of the topic has read as far as it was told."""
        found: dict[str, float] = {}
        while len(found) < 2:
            async with httpx.AsyncClient(base_url=self.served.rest, timeout=30) as client:
                text = (await client.get("/metrics")).text
            for line in text.splitlines():
                if line.startswith("grantlog_topic_records_total"):
                    found[worker_of(text)] = float(line.rpartition(" ")[2])
        return found

    async def follows(self) -> bool:
        """Whether both workers hear what the reader reads: every one has heard something new."""
        before = await self.records()
        await until_async(lambda: self.more_than(before))
        return True

    async def more_than(self, before: dict[str, float]) -> bool:
        now = await self.records()
        return all(now[worker] > count for worker, count in before.items())


def worker_of(metrics: str) -> str:
    return metrics.partition('{worker="')[2][:1] or metrics.partition('worker="')[2][:1]


def to_kafka(broker: str, pid: int) -> int:
    """How many connections to a broker a process has."""
    port = int(broker.rpartition(":")[2])
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for row in Path(table).read_text(encoding="ascii").splitlines()[1:]:
            words = row.split()
            if int(words[2].rpartition(":")[2], 16) == port and words[3] == "01":
                inodes.add(f"socket:[{words[9]}]")
    found = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            found += str(entry.readlink()) in inodes
    return found


@pytest.fixture
async def serve_over(serve: Serve, new_topic: Callable[[], str]) -> Callable:
    async def start(broker: str) -> Node:
        place = {"GRANTLOG_KAFKA_BOOTSTRAP": broker, "GRANTLOG_KAFKA_TOPIC": new_topic()}
        served = await serve("--workers", "2", **place)
        node = Node(served, await new_tenant(served), broker)
        await until_async(node.follows)
        return node

    return start


async def test_one_process_reads_the_topic_for_all_workers(serve_over, kafka: str):
    node = await serve_over(kafka)
    for _ in range(3):
        token = await node.write()
        await node.agrees(str(node.writes), wanted=True, token=token)
    by_worker = sorted(to_kafka(kafka, pid) for pid in workers(node.served))
    assert by_worker[0] == 0  # the other one publishes
    assert to_kafka(kafka, node.api) > 0
    assert await node.served.stop(signal.SIGTERM) == 0
    lines = [json.loads(line) for line in node.served.log.read_text().splitlines()]
    told = {line["event"] for line in lines if line["level"] != "info"}
    assert told <= {"few copies of the topic"}
