"""`grantlog projector status` and `forget`: what their lines say, and what their exit codes."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import orjson
import pytest

from grantlog.store.postgres.followers import MAINTENANCE, beat
from grantlog.store.postgres.pool import Pool, open_pool
from grantlog.testing.contracts.places import Copy, Primary
from tests.contract.postgres import postgres_primary, postgres_replica

NewDatabase = Callable[..., Awaitable[str]]


@dataclass
class Stage:
    """A primary, its replica, and the command line over both."""

    primary_dsn: str
    replica_dsn: str
    primary: Primary
    replica: Copy
    pool: Pool
    """To the primary."""

    async def status(self) -> tuple[int, str]:
        return await command("status", "--database-url", self.primary_dsn,
                             "--replica-url", self.replica_dsn)  # fmt: skip

    async def forget(self, name: str) -> tuple[int, str]:
        return await command("forget", name, "--database-url", self.primary_dsn)

    async def fold(self) -> None:
        await self.replica.projection.apply(await self.primary.history())


async def command(*arguments: str) -> tuple[int, str]:
    """Run `grantlog projector …`: its code, and what it said."""
    inherited = os.environ  # noqa: TID251 - handed on to a child
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "grantlog.cli", "projector", *arguments,
        env={name: value for name, value in inherited.items() if not name.startswith("GRANTLOG_")},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(60):
        said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


@pytest.fixture
async def stage(migrated_database: NewDatabase) -> AsyncIterator[Stage]:
    primary_dsn, replica_dsn = await migrated_database(), await migrated_database(seed=False)
    async with (
        postgres_primary(primary_dsn) as primary,
        postgres_replica(replica_dsn) as replica,
        open_pool(primary_dsn, size_max=1, application_name="test") as pool,
    ):
        await primary.put("doc:1#viewer@user:1")
        await beat(pool, MAINTENANCE, MAINTENANCE)  # with nobody's beat, that is what is wrong
        yield Stage(primary_dsn, replica_dsn, primary, replica, pool)


async def test_a_replica_that_is_behind_is_no_failure(stage: Stage):
    await stage.fold()
    await stage.primary.put("doc:2#viewer@user:1")
    code, said = await stage.status()
    assert code == 0, said
    assert "acme: behind, applied 1 of 2, lag 1 revisions" in said


async def test_a_replica_that_is_ahead_of_its_primary_is_a_failure(stage: Stage):
    await stage.primary.put("doc:2#viewer@user:1")
    await stage.fold()
    await stage.pool.execute("UPDATE heads SET revision = 1 WHERE tenant_id = 'acme'")
    code, said = await stage.status()
    assert code == 1, said
    assert "acme: ahead, applied 2 of 1" in said


async def test_a_replica_of_another_history_is_a_failure(stage: Stage):
    await stage.fold()
    await stage.pool.execute(
        "UPDATE heads SET digest = decode(repeat('ab', 16), 'hex') WHERE tenant_id = 'acme'"
    )
    code, said = await stage.status()
    assert code == 1, said
    assert "acme: different" in said


async def test_a_tenant_that_stopped_in_a_replica_is_a_failure(stage: Stage):
    await stage.fold()
    told = {"stopped": 1, "reasons": {"acme": "its log does not continue what was folded"}}
    await beat(stage.pool, "near", "replica", detail=orjson.dumps(told).decode())
    code, said = await stage.status()
    assert code == 1, said
    assert "stopped at tenant acme: its log does not continue what was folded" in said
    assert (await stage.forget("near"))[0] == 0
    code, said = await stage.status()
    assert (code, "stopped at" in said) == (0, False), said


async def test_a_replica_that_was_forgotten_holds_nothing_back(stage: Stage):
    for name in ("gone", "stays"):
        await beat(stage.pool, name, "replica")
    _, said = await stage.status()
    assert "replica gone: beat" in said
    assert await stage.forget("gone") == (0, "")
    _, said = await stage.status()
    assert "replica gone" not in said
    assert "replica stays: beat" in said


async def test_a_name_that_nobody_has_is_refused_in_one_line(stage: Stage):
    code, said = await stage.forget("nobody")
    assert code == 1, said
    assert "no replica is registered under the name 'nobody'" in said
    assert len(said.splitlines()) == 1
