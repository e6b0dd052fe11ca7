"""A replica's address where the primary's should be: it is refused, and the replica stays one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from grantlog_api.settings import ApiSettings
from grantlog_api.wiring import open_api
from pydantic import SecretStr

from grantlog.cli.__main__ import main
from grantlog.store.postgres.epoch import ensure_epoch
from grantlog.store.postgres.lives import RUN_AS_PRIMARY
from grantlog.store.postgres.pool import connect
from tests.e2e.conftest import spawn
from tests.integration.read.test_follower_process import beats, databases, follower, stopped
from tests.ports import kept_port
from tests.waiting import until

__all__ = ["databases"]  # a fixture

LOOKS = (["projector", "status"], ["projector", "verify"], ["topic", "status"])
CHANGES = (["migrate"], ["epoch", "new"], ["topic", "republish"])
REFUSED = "GRANTLOG_DATABASE_URL) names a replica: swap it with GRANTLOG_REPLICA_URL"


async def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = await asyncio.to_thread(main, arguments)
    told = capsys.readouterr()
    return code, told.out + told.err


async def held(dsn: str) -> tuple[int, set[str], int]:
    """How many epochs a database has, the names in its `meta`, and how many followers beat."""
    async with connect(dsn, application_name="test") as connection:
        names = await connection.fetch("SELECT name FROM meta")
        return (
            await connection.fetchval("SELECT count(*) FROM epochs"),
            {row["name"] for row in names},
            await connection.fetchval("SELECT count(*) FROM followers"),
        )


@pytest.mark.parametrize("command", [*LOOKS, *CHANGES], ids=" ".join)
async def test_no_command_makes_a_primary_of_a_replica(capsys, monkeypatch, databases, command):
    before = await held(databases.replica)
    monkeypatch.setenv("GRANTLOG_DATABASE_URL", databases.replica)
    if command[0] in ("migrate", "projector"):
        monkeypatch.setenv("GRANTLOG_REPLICA_URL", databases.primary)
    code, told = await run(capsys, *command)
    assert (code, REFUSED in told) == (1, True), told
    assert await held(databases.replica) == before


@pytest.mark.parametrize("service", ["api", "projector", "watch"])
async def test_no_service_makes_a_primary_of_a_replica(databases, service):
    before = await held(databases.replica)
    environment = {
        "GRANTLOG_DATABASE_URL": databases.replica,
        "GRANTLOG_REPLICA_URL": databases.primary,
        "GRANTLOG_HTTP_PORT": str(kept_port()),
        "GRANTLOG_GRPC_PORT": str(kept_port()),
    }
    if service == "watch":
        del environment["GRANTLOG_REPLICA_URL"]
    process = await spawn("run", service, **environment)
    out, err = await process.communicate()
    assert (process.returncode, REFUSED in (out + err).decode()) == (1, True), err
    assert await held(databases.replica) == before


async def test_a_replica_that_was_folded_into_before_it_was_marked_is_refused_too(
    capsys, databases
):
    async with connect(databases.replica, application_name="test") as connection:
        await connection.execute("DELETE FROM meta")
        await connection.execute("INSERT INTO meta (name, value) VALUES ('follows', '1/2/3/1')")
    code, told = await run(capsys, "migrate", "--database-url", databases.replica)
    assert (code, REFUSED in told) == (1, True), told


async def test_who_looks_opens_no_epoch(capsys, databases):
    async with connect(databases.primary, application_name="test") as connection:
        await connection.execute("UPDATE epochs SET system_identifier = '1'")
        await connection.execute("TRUNCATE heads")  # nothing to wait for
    for command in LOOKS:
        replica = ["--replica-url", databases.replica] if command[0] == "projector" else []
        await run(capsys, *command, "--database-url", databases.primary, *replica)
    assert (await held(databases.primary))[0] == 1


async def test_a_replica_that_cannot_be_used_leaves_the_primary_maintained(
    databases, fresh_database: Callable[[], Awaitable[str]]
):
    databases.replica = await fresh_database()
    async with follower(databases) as process:

        async def told() -> bool:
            return any("not projecting, trying again" in line for line in process.lines)

        await until(told)
        assert any("grantlog migrate" in line for line in process.lines)

        async def maintained() -> bool:
            return (await beats(databases)).get("maintenance", 9) < 1

        await until(maintained)
        assert await asyncio.to_thread(main, ["migrate", *_both(databases)]) == 0

        async def projecting() -> bool:
            return "replica" in await beats(databases)

        await until(projecting)
        assert await stopped(process) == 0
    assert sum("not projecting" in line for line in process.lines) == 1


async def test_a_replica_of_another_log_is_left_as_it_is_until_it_is_rebuilt(databases):
    async with connect(databases.replica, application_name="test") as connection:
        await connection.execute("INSERT INTO meta (name, value) VALUES ('follows', '1/2/3/1')")
    async with follower(databases) as process:

        async def told() -> bool:
            return any("folded from another log" in line for line in process.lines)

        await until(told)
        assert "replica" not in await beats(databases)
        async with connect(databases.replica, application_name="test") as connection:
            follows = await connection.fetchval("SELECT value FROM meta WHERE name = 'follows'")
        assert follows == "1/2/3/1"
        assert await asyncio.to_thread(main, ["projector", "rebuild", *_both(databases)]) == 0

        async def projecting() -> bool:
            return "replica" in await beats(databases)

        await until(projecting)
        assert await stopped(process) == 0
    assert sum("not projecting" in line for line in process.lines) == 1


async def test_a_replica_that_was_run_as_a_primary_once_is_told_with_the_way_out(
    capsys, monkeypatch, databases
):
    """As older versions let it happen, which marked no replica: the marks are taken away here."""
    async with follower(databases) as process:

        async def projecting() -> bool:
            return "replica" in await beats(databases)

        await until(projecting)
        assert await stopped(process) == 0
    async with connect(databases.replica, application_name="test") as connection:
        marks = await connection.fetch("DELETE FROM meta RETURNING name, value")
        await ensure_epoch(connection)
        await connection.executemany("INSERT INTO meta VALUES ($1, $2)", [tuple(m) for m in marks])
    before = await held(databases.replica)
    for command in ("status", "verify", "rebuild"):
        code, told = await run(capsys, "projector", command, *_both(databases))
        assert (code, RUN_AS_PRIMARY in told) == (1, True), told
    assert await held(databases.replica) == before
    async with follower(databases) as process:

        async def refused() -> bool:
            return any(RUN_AS_PRIMARY in line for line in process.lines)

        await until(refused)
        assert await stopped(process) == 0
    settings = ApiSettings(
        database_url=SecretStr(databases.primary), replica_url=SecretStr(databases.replica)
    )
    async with open_api(settings) as api:
        assert api.probe.replicas() == {"1": RUN_AS_PRIMARY}


def _both(databases) -> list[str]:
    return ["--database-url", databases.primary, "--replica-url", databases.replica]
