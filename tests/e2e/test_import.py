"""The command line against a running server: schema, import, check, and the replica."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from pathlib import Path

from tests.e2e.conftest import Serve, Served, spawn
from tests.ports import kept_port
from tests.waiting import until

SCHEMA = """
entity user {}
entity doc {
  relation viewer @user
  attribute public boolean
  permission view = viewer or public
}
"""


async def ran(*arguments: str, code: int = 0) -> tuple[str, str]:
    """Run a command to its end: what it said on stdout and stderr."""
    process = await spawn(*arguments)
    async with asyncio.timeout(120):
        out, err = await process.communicate()
    assert process.returncode == code, err.decode()
    return out.decode(), err.decode()


def at(served: Served) -> list[str]:
    return ["--grpc-address", served.grpc]


async def with_schema(served: Served, folder: Path) -> None:
    source = folder / "schema.perm"
    source.write_text(SCHEMA)
    version, _ = await ran("schema", "write", str(source), *at(served))
    assert len(version.strip()) == 20


async def allowed(served: Served, entity: str, subject: str) -> bool:
    said, _ = await ran("check", entity, "view", subject, *at(served))
    return {"allowed\n": True, "denied\n": False}[said]


async def test_what_is_imported_is_checked_and_what_is_refused_is_in_a_file(
    serve: Serve, tmp_path: Path
):
    served = await serve("--with-replica")
    await with_schema(served, tmp_path)
    facts = tmp_path / "facts.ndjson"
    facts.write_text(
        "# the first facts\n"
        "doc:1#viewer@user:ann\n"
        "\n"
        "doc:2$public|boolean:true\n"
        '{"entity":{"type":"doc","id":"3"},"relation":"viewer",'
        '"subject":{"type":"user","id":"bob"}}\n'
        '{"entity":{"type":"doc","id":"4"},"attribute":"public","value":'
        '{"@type":"type.googleapis.com/base.v1.BooleanValue","data":true}}\n'
        "doc:5#owner@user:ann\n"
        "doc:6#viewer\n"
    )
    said, _ = await ran("data", "import", str(facts), *at(served), code=3)
    assert said.startswith("imported 4 facts in ")
    assert "2 rejected" in said
    refused = (tmp_path / "facts.ndjson.rejects").read_text().splitlines()
    assert [json.loads(line)["line"] for line in refused] == [7, 8]
    assert not (tmp_path / "facts.ndjson.progress").exists()
    assert await allowed(served, "doc:1", "user:ann")
    assert not await allowed(served, "doc:1", "user:bob")
    assert await allowed(served, "doc:2", "user:bob")
    assert await allowed(served, "doc:3", "user:bob")
    assert await allowed(served, "doc:4", "user:ann")


async def test_an_import_survives_kill_9_of_itself_and_of_the_server(
    serve: Serve, tmp_path: Path, data_path: Path
):
    ports = ["--http-port", str(kept_port()), "--grpc-port", str(kept_port())]
    served = await serve("--with-replica", *ports)
    await with_schema(served, tmp_path)
    facts = tmp_path / "facts"
    count = 20_000
    facts.write_text("".join(f"doc:{i}#viewer@user:{i}\n" for i in range(count)))
    command = ["data", "import", str(facts), *at(served), "--batch", "50"]
    first = await spawn(*command)
    await until((tmp_path / "facts.progress").exists)
    first.kill()
    await first.communicate()
    place = json.loads((tmp_path / "facts.progress").read_text())["place"]
    assert place["line"] < count
    second = await spawn(*command)
    os.kill(served.pids()["postgres"], signal.SIGKILL)
    await served.ended()
    served = await serve("--with-replica", *ports)
    async with asyncio.timeout(120):
        said, err = await second.communicate()
    assert second.returncode == 0, err
    assert b"imported 20,000 facts" in said
    assert await allowed(served, f"doc:{count - 1}", f"user:{count - 1}")

    async def caught_up() -> bool:
        lines, _ = await ran("projector", "status", "--data-dir", str(data_path))
        return "lag 0" in lines

    await until(caught_up)
    verified, _ = await ran("projector", "verify", "--data-dir", str(data_path))
    assert verified.startswith("t1: equal at ")


async def test_an_import_that_begins_before_the_server_waits_for_it(serve: Serve, tmp_path: Path):
    ports = ["--http-port", str(kept_port()), "--grpc-port", str(kept_port())]
    served = await serve(*ports)
    await with_schema(served, tmp_path)
    await served.stop()
    facts = tmp_path / "facts"
    facts.write_text("doc:1#viewer@user:ann\n")
    process = await spawn("data", "import", str(facts), *at(served))
    assert process.stderr is not None
    async with asyncio.timeout(120):
        told = await process.stderr.readline()
    assert (
        told
        == (
            f"grantlog: no server answers at {served.grpc} yet: waiting for one, 60 s at most\n"
        ).encode()
    )
    served = await serve(*ports)
    async with asyncio.timeout(120):
        said, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert said.startswith(b"imported 1 facts in ")
    assert await allowed(served, "doc:1", "user:ann")


async def test_a_rebuilt_replica_is_the_same_whether_or_not_the_service_runs(
    serve: Serve, tmp_path: Path, data_path: Path
):
    served = await serve("--with-replica")
    await with_schema(served, tmp_path)
    facts = tmp_path / "facts"
    facts.write_text("doc:1#viewer@user:ann\ndoc:1$public|boolean:false\n")
    await ran("data", "import", str(facts), *at(served))
    data = ["--data-dir", str(data_path)]
    rebuilt, _ = await ran("projector", "rebuild", *data)
    assert re.fullmatch(
        r"copied 0 rows \(0/s\), folded \d changes \([\d,]+/s\), at 3 of 3 revisions\n", rebuilt
    )
    assert await allowed(served, "doc:1", "user:ann")
    await served.stop()
    again, _ = await ran("projector", "rebuild", *data)
    assert "folded 4 changes" in again
    status, _ = await ran("projector", "status", *data)
    epoch, summary = status.splitlines()[:2]
    assert epoch.startswith("epoch 1 since ")
    assert summary == "1 tenants: 1 current; 0 being copied; lag 0 revisions, 0 ms"
    verified, _ = await ran("projector", "verify", *data)
    assert verified == "t1: equal at revision 3\n1 of 1 tenants are equal\n"


async def test_commands_without_a_server_are_one_line_each():
    nowhere = ["--grpc-address", "127.0.0.1:1"]
    for command in (
        ["check", "doc:1", "view", "user:1", *nowhere],
        ["schema", "read", *nowhere],
    ):
        _, said = await ran(*command, code=1)
        assert said.startswith("grantlog: no server answers at 127.0.0.1:1")
        assert said.count("\n") == 1


async def test_databases_that_are_not_there_are_one_line_each(tmp_path: Path):
    for command in (["migrate"], ["projector", "status"], ["epoch", "new"]):
        _, said = await ran(*command, "--data-dir", str(tmp_path / "none"), code=1)
        assert "is not a data directory of grantlog" in said
        assert said.count("\n") == 1
