"""`grantlog serve` as a user meets it: starts, ends, accidents."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.conftest import Serve, all_gone, children, failed, spawn
from tests.waiting import until


def complaints(said: str) -> list[str]:
    """Log lines that are not just information."""
    return [line for line in said.splitlines() if json.loads(line)["level"] != "info"]


def healthz(base: str) -> dict[str, str]:
    try:
        with urllib.request.urlopen(f"{base}/healthz", timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)


def health(base: str) -> str:
    return healthz(base)["status"]


async def answers(base: str, word: str) -> None:
    async def holds() -> bool:
        return await asyncio.to_thread(health, base) == word

    await until(holds)


def flags(data: Path, *, http: int = 0, grpc: int = 0) -> list[str]:
    return ["--data-dir", str(data), "--http-port", str(http), "--grpc-port", str(grpc)]


@pytest.mark.parametrize("ways", [(), ("--with-replica",)], ids=["own tables", "replica"])
async def test_it_serves_ends_without_a_complaint_and_serves_again(serve: Serve, ways):
    first = await serve(*ways)
    assert health(first.rest) == "SERVING"
    pids = first.pids()
    assert set(pids) == {"api", "projector", "postgres"}
    assert await first.stop() == 0
    assert complaints(first.log.read_text()) == []
    await all_gone(pids)
    second = await serve(*ways)
    assert health(second.rest) == "SERVING"


async def test_sigterm_ends_it_like_ctrl_c(serve: Serve):
    served = await serve()
    pids = served.pids()
    assert await served.stop(signal.SIGTERM) == 0
    await all_gone(pids)


async def test_ctrl_c_for_the_whole_process_group_lets_the_services_end_in_order(serve: Serve):
    served = await serve()
    pids = served.pids()
    os.killpg(served.process.pid, signal.SIGINT)
    assert await served.process.wait() == 0
    await all_gone(pids)


async def test_ctrl_c_during_the_first_start_leaves_nothing_that_stops_the_next(
    serve: Serve, data_path: Path
):
    process = await spawn("serve", *flags(data_path))
    await until(lambda: bool(list(data_path.glob("postgres*/base"))))
    begun = children(process.pid)
    process.send_signal(signal.SIGINT)
    await process.communicate()
    assert process.returncode == 0
    await all_gone(dict(zip(map(str, begun), begun, strict=True)))
    await serve()


async def test_kill_9_of_the_supervisor_takes_everything_down_and_the_next_start_works(
    serve: Serve,
):
    served = await serve()
    pids = served.pids()
    await served.stop(signal.SIGKILL)
    again = await serve("--http-port", str(served.rest_port), "--grpc-port", str(served.grpc_port))
    await all_gone(pids)
    assert again.rest == served.rest


@pytest.mark.parametrize("part", ["api", "postgres"])
async def test_kill_9_of_a_part_it_cannot_do_without_ends_it_and_the_next_start_works(
    serve: Serve, part: str
):
    served = await serve()
    pids = served.pids()
    os.kill(pids[part], signal.SIGKILL)
    code, said = await served.ended()
    assert code == 1
    name = {"api": "api", "postgres": "Postgres"}[part]
    assert f"the {name} process was killed by SIGKILL" in said.splitlines()[-1]
    await all_gone(pids)
    await serve()


async def test_a_killed_follower_is_started_again_while_the_api_keeps_answering(serve: Serve):
    served = await serve()
    pids = served.pids()
    os.kill(pids["projector"], signal.SIGKILL)
    await until(lambda: served.pids().get("projector", pids["projector"]) != pids["projector"])
    assert served.pids()["api"] == pids["api"]
    await answers(served.rest, "SERVING")
    assert await served.stop() == 0


async def test_a_stopped_follower_is_told_by_a_node_that_goes_on_serving(serve: Serve):
    """NOT_SERVING once: a replica that was down then took every node out of balance."""
    served = await serve("--with-replica")
    follower = served.pids()["projector"]

    async def degraded(word: str) -> None:
        async def holds() -> bool:
            said = await asyncio.to_thread(healthz, served.rest)
            assert said["status"] == "SERVING"
            return word in said.get("degraded", "none")

        await until(holds)

    os.kill(follower, signal.SIGSTOP)
    await degraded("start `grantlog run projector`")
    os.kill(follower, signal.SIGCONT)
    await degraded("none")


async def test_a_port_in_use_is_one_line_that_names_port_and_flag(data_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, said = await failed("serve", *flags(data_path, grpc=port))
    assert code == 1
    assert said == (
        f"grantlog: port {port} on 127.0.0.1 is in use: choose another one with --grpc-port\n"
    )
    assert not (data_path / "postgres").exists()


async def test_a_data_directory_in_use_is_one_line(serve: Serve, data_path: Path):
    served = await serve()
    code, said = await failed("serve", *flags(data_path))
    assert code == 1
    assert said == (
        f"grantlog: the data directory {data_path} is in use by another grantlog "
        f"(pid {served.process.pid}): stop that one, or choose another folder with --data-dir\n"
    )


async def test_a_data_directory_that_cannot_be_written_is_one_line(tmp_path: Path):
    file = tmp_path / "file"
    file.touch()
    code, said = await failed("serve", *flags(file / "data"))
    assert code == 1
    assert said == (
        f"grantlog: the data directory {file}/data cannot be written (Not a directory): "
        "choose another one with --data-dir\n"
    )


@pytest.mark.parametrize(
    ("marker", "says"),
    [
        ('{"format": 2, "postgres_major": 18}', "has format 2"),
        ('{"format": 1, "postgres_major": 12}', "belongs to Postgres 12"),
        ("{}", "does not say what made this data directory"),
    ],
)
async def test_another_versions_data_directory_is_refused_in_one_line(
    data_path: Path, marker: str, says: str
):
    data_path.mkdir()
    (data_path / "grantlog.json").write_text(marker)
    code, said = await failed("serve", *flags(data_path))
    assert code == 1
    assert says in said
    assert said.count("\n") == 1


async def test_a_folder_of_something_else_is_refused_and_left_alone(data_path: Path):
    data_path.mkdir()
    (data_path / "thesis.tex").touch()
    code, said = await failed("serve", *flags(data_path))
    assert code == 1
    assert "holds other files" in said
    assert [entry.name for entry in data_path.iterdir()] == ["thesis.tex"]


async def test_a_database_that_does_not_answer_is_one_line_without_its_password():
    code, said = await failed(
        "serve", *flags(Path("/nowhere")), "--database-url",
        "postgresql://grantlog:s3cret@127.0.0.1:1/grantlog",
    )  # fmt: skip
    assert code == 1
    assert said.count("\n") == 1
    assert "s3cret" not in said


async def test_a_given_database_is_used_and_no_data_directory_is_made(
    serve: Serve, fresh_database, data_path: Path
):
    served = await serve("--database-url", await fresh_database())
    assert set(served.pids()) == {"api", "projector"}
    assert health(served.rest) == "SERVING"
    assert not data_path.exists()
    assert await served.stop() == 0


async def test_every_flag_is_an_environment_variable_too(data_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        code, said = await failed(
            "serve",
            GRANTLOG_DATA_DIR=str(data_path),
            GRANTLOG_HTTP_PORT=port,
            GRANTLOG_GRPC_PORT="0",
        )
    assert code == 1
    assert f"port {port} on 127.0.0.1" in said


async def test_a_wrong_flag_is_one_line_and_exit_code_2():
    code, said = await failed("serve", "--prot", "1")
    assert code == 2
    assert said.startswith("grantlog: No such option: --prot")
    assert said.count("\n") == 1
