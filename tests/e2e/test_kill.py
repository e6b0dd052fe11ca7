"""kill -9 of each process of a service under writes: what was acknowledged is there, once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from pathlib import Path
from random import Random

import grpc
import pytest
from grpc import aio

from grantlog.api.v1 import base_pb2, service_pb2, service_pb2_grpc
from grantlog.cli.databases import reached_databases
from grantlog.store.postgres.pool import connect
from tests.e2e.conftest import Serve, Served, all_gone, spawn
from tests.waiting import until

SCHEMA = "entity user {} entity doc { relation viewer @user  permission view = viewer }"
TENANTS = ("kill-a", "kill-b")
WRITERS = 8
ACKNOWLEDGED_MIN = 150
"""Writes to be acknowledged before the kill: it lands in the middle of many."""


class Load:
    """Writers that remember what was acknowledged, and what may have been stored."""

    def __init__(self, served: Served, life: int) -> None:
        self.acknowledged: list[tuple[str, str]] = []
        self.attempted: list[tuple[str, str]] = []
        self._address = served.grpc
        self._life = life

    async def run(self, number: int) -> None:
        """Write, a tenant in turn, until the server is gone."""
        async with aio.insecure_channel(self._address) as channel:
            data = service_pb2_grpc.DataStub(channel)
            with contextlib.suppress(grpc.RpcError):
                for turn in range(100_000):
                    tenant = TENANTS[turn % len(TENANTS)]
                    name = f"d{self._life}-{number}-{turn}"
                    self.attempted.append((tenant, name))
                    await data.Write(written(tenant, name), timeout=60)
                    self.acknowledged.append((tenant, name))


def written(tenant: str, name: str) -> service_pb2.DataWriteRequest:
    return service_pb2.DataWriteRequest(
        tenant_id=tenant,
        metadata=service_pb2.DataWriteRequestMetadata(),
        tuples=[
            base_pb2.Tuple(
                entity=base_pb2.Entity(type="doc", id=name),
                relation="viewer",
                subject=base_pb2.Subject(type="user", id="ann"),
            )
        ],
    )


async def prepare(served: Served) -> None:
    async with aio.insecure_channel(served.grpc) as channel:
        for tenant in TENANTS:
            await service_pb2_grpc.SchemaStub(channel).Write(
                service_pb2.SchemaWriteRequest(tenant_id=tenant, schema=SCHEMA)
            )


async def stored(served: Served, tenant: str) -> Counter[str]:
    """The ids that the server lists, all pages."""
    found: Counter[str] = Counter()
    async with aio.insecure_channel(served.grpc) as channel:
        data, token = service_pb2_grpc.DataStub(channel), ""
        while True:
            page = await data.ReadRelationships(
                service_pb2.RelationshipReadRequest(
                    tenant_id=tenant,
                    metadata=service_pb2.RelationshipReadRequestMetadata(),
                    filter=base_pb2.TupleFilter(),
                    page_size=1000,
                    continuous_token=token,
                )
            )
            found.update(fact.entity.id for fact in page.tuples)
            token = page.continuous_token
            if not token:
                return found


async def said(*arguments: str) -> str:
    process = await spawn(*arguments)
    async with asyncio.timeout(120):
        out, error = await process.communicate()
    assert process.returncode == 0, error.decode()
    return out.decode()


async def revisions(data: Path, tenant: str) -> tuple[list[int], int]:
    """The revisions in the tenant's log, and its head."""
    async with (
        reached_databases(None, None, data, None) as databases,
        connect(databases.primary, application_name="test") as connection,
    ):
        rows = await connection.fetch(
            "SELECT revision FROM transactions WHERE tenant_id = $1 AND part = 0 ORDER BY revision",
            tenant,
        )
        head = await connection.fetchval("SELECT revision FROM heads WHERE tenant_id = $1", tenant)
    return [row["revision"] for row in rows], head


@pytest.mark.parametrize("victim", ["api", "projector", "postgres", "supervisor"])
async def test_what_was_acknowledged_is_there_once_after_a_kill(
    serve: Serve, data_path: Path, victim: str
):
    served = await serve("--with-replica")
    await prepare(served)
    load = Load(served, 1)
    async with asyncio.TaskGroup() as group:
        for number in range(WRITERS):
            group.create_task(load.run(number))
        await until(
            lambda: len(load.acknowledged) >= ACKNOWLEDGED_MIN + Random(victim).randrange(50)
        )
        pids = served.pids() | {"supervisor": served.process.pid}
        os.kill(pids[victim], signal.SIGKILL)
        if victim == "projector":  # the writers go on; the follower comes back
            await until(
                lambda: served.pids().get("projector", pids["projector"]) != pids["projector"]
            )
            await served.stop()
    await served.process.wait()
    await all_gone({name: pid for name, pid in pids.items() if name != "supervisor"})

    again = await serve("--with-replica")
    for tenant in TENANTS:
        there = await stored(again, tenant)
        assert set(there.values()) <= {1}
        assert {name for at, name in load.acknowledged if at == tenant} <= there.keys()
        assert there.keys() <= {name for at, name in load.attempted if at == tenant}
        found, head = await revisions(data_path, tenant)
        assert found == list(range(1, head + 1))
        assert head == len(there) + 1  # the schema, then one revision for each write
    verified = await said("projector", "verify", "--data-dir", str(data_path))
    assert verified.endswith("3 of 3 tenants are equal\n"), verified
