"""kill -9 of the server during writes: what was acknowledged is there."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from grantlog.errors import UnavailableError
from grantlog.runtime.data_dir import DataDir, claimed
from grantlog.runtime.embedded import embedded_postgres
from grantlog.runtime.postgres_binaries import find_binaries
from grantlog.store.postgres.migrate import migrate
from grantlog.store.postgres.primary import open_primary_pool
from grantlog.store.postgres.writer import WriterLimits, open_writer
from tests.integration.write.facts import live, log_of, put, write
from tests.waiting import until

SETTINGS = {"shared_buffers": "32MB", "max_connections": "30"}
TENANTS = 3
CLIENTS = 12


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[DataDir]:
    with claimed(tmp_path / "data") as folder:
        yield folder


async def test_every_acknowledged_write_survives_the_death_of_the_server(data_dir: DataDir):
    acknowledged: dict[str, dict[str, int]] = {f"tenant{n}": {} for n in range(TENANTS)}
    async with embedded_postgres(data_dir, find_binaries(), SETTINGS) as server:
        await migrate(server.dsn("postgres"))
        limits = WriterLimits(outcome_wait_s_max=0.5)
        async with (
            open_primary_pool(server.dsn("postgres"), size_max=4, application_name="t") as pool,
            open_writer(pool, limits=limits) as writer,
            asyncio.TaskGroup() as group,
        ):

            async def client(number: int) -> None:
                tenant = f"tenant{number % TENANTS}"
                for turn in range(100_000):
                    fact = f"doc:{number}-{turn}#viewer@user:1"
                    try:
                        committed = await writer.write(write(put(fact), tenant=tenant))
                    except UnavailableError:
                        return
                    acknowledged[tenant][fact] = committed.revision

            for number in range(CLIENTS):
                group.create_task(client(number))
            await until(lambda: min(map(len, acknowledged.values())) > 50)
            os.kill(server.process.pid, signal.SIGKILL)
    async with (
        embedded_postgres(data_dir, find_binaries(), SETTINGS) as server,
        open_primary_pool(server.dsn("postgres"), size_max=2, application_name="t") as pool,
        open_writer(pool) as writer,
    ):
        for tenant, facts in acknowledged.items():
            held = await live(pool, tenant)
            assert facts.keys() <= held
            log = await log_of(pool, tenant)  # proves density
            assert {
                str(entry.body.changes[0].tuple): entry.revision for entry in log
            }.items() >= facts.items()
            assert len(held) == len(log)
            following = await writer.write(write(put("doc:after#viewer@user:1"), tenant=tenant))
            assert (following.epoch, following.revision) == (1, len(log) + 1)


async def test_a_writer_goes_on_when_the_server_is_back(data_dir: DataDir):
    """Its backends die, the server recovers: what waited is told, what comes later is written."""
    async with embedded_postgres(data_dir, find_binaries(), SETTINGS) as server:
        await migrate(server.dsn("postgres"))
        async with (
            open_primary_pool(server.dsn("postgres"), size_max=2, application_name="t") as pool,
            open_writer(pool) as writer,
        ):
            await writer.write(write(put("doc:1#viewer@user:1")))
            backend = await pool.fetchval("SELECT pg_backend_pid()")
            os.kill(backend, signal.SIGKILL)  # the postmaster ends all others and recovers

            async def goes_on() -> bool:
                try:
                    await writer.write(write(put("doc:2#viewer@user:1")))
                except UnavailableError:
                    return False
                return True

            await until(goes_on)
            assert await live(pool) == {"doc:1#viewer@user:1", "doc:2#viewer@user:1"}
            assert len(await log_of(pool)) == 2
