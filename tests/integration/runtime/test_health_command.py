"""`grantlog health` and `grantlog run`, as a container's health check and command call them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from grantlog.cli.__main__ import main
from grantlog.store.postgres.followers import beat
from grantlog.store.postgres.pool import open_pool
from tests.e2e.conftest import spawn
from tests.ports import kept_port


async def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run the command beside this loop: its exit code and what it said."""
    code = await asyncio.to_thread(main, arguments)
    told = capsys.readouterr()
    return code, told.out + told.err


@asynccontextmanager
async def saying(answer: bytes) -> AsyncIterator[int]:
    """The port of something that answers every request with the same bytes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def healthz(status: str, word: str, **more: str) -> bytes:
    body = json.dumps({"status": word, **more}, separators=(",", ":"))
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        (healthz("200 OK", "SERVING"), 0, "SERVING\n"),
        (healthz("503 Service Unavailable", "NOT_SERVING"), 1, "the API is not serving"),
        (healthz("200 OK", "NOT_SERVING"), 1, "the API is not serving"),
        (
            healthz("503 Service Unavailable", "NOT_SERVING", because="the database is away"),
            1,
            "the API is not serving: the database is away\n",
        ),
        (
            healthz("200 OK", "SERVING", degraded="no projector beats"),
            0,
            "SERVING, degraded: no projector beats\n",
        ),
        (b"", 1, "nobody answers GET /healthz at 127.0.0.1 port"),
    ],
)
async def test_an_api_node_is_asked_over_rest(capsys, monkeypatch, answer, code, says):
    async with saying(answer) as port:
        monkeypatch.setenv("GRANTLOG_HTTP_PORT", str(port))
        monkeypatch.setenv("GRANTLOG_HOST", "0.0.0.0")
        ended, told = await said(capsys, "health", "api")
    assert (ended, says in told) == (code, True), told


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (health_pb2.HealthCheckResponse.SERVING, 0, "SERVING\n"),
        (health_pb2.HealthCheckResponse.NOT_SERVING, 1, " is not serving; its log says why\n"),
    ],
)
async def test_a_watch_service_is_asked_over_grpc(status, code, says):
    servicer = health.aio.HealthServicer()
    await servicer.set("", status)
    server = aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        process = await spawn(
            "health", "watch", GRANTLOG_HOST="0.0.0.0", GRANTLOG_GRPC_PORT=f"{port}"
        )
        out, err = await process.communicate()
        assert process.returncode == code
        assert (out + err).decode().endswith(says)
    finally:
        await server.stop(None)


async def test_a_watch_service_that_is_not_there_is_named_as_one(capsys):
    port = kept_port()
    code, told = await said(capsys, "health", "watch", "--grpc-port", str(port))
    assert code == 1
    assert f"no watch service answers at 127.0.0.1:{port}: start `grantlog run watch`" in told
    assert "grpc-address" not in told, "it is no option of this command"
    async with saying(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        code, told = await said(capsys, "health", "watch", "--grpc-port", str(port))
    assert code == 1
    assert f"what listens at 127.0.0.1:{port} is no watch service" in told


async def test_nobody_there_is_no_health(capsys):
    port = str(kept_port())
    code, told = await said(capsys, "health", "api", "--http-port", port)
    assert (code, told) == (
        1, f"grantlog: nobody answers GET /healthz at 127.0.0.1 port {port}\n",
    )  # fmt: skip


async def test_a_follower_is_healthy_while_it_beats(
    capsys, monkeypatch, migrated_database: Callable[[], Awaitable[str]]
):
    dsn = await migrated_database()
    monkeypatch.setenv("GRANTLOG_DATABASE_URL", dsn)
    monkeypatch.setenv("GRANTLOG_REPLICA_URL", "postgresql://replica")
    monkeypatch.setenv("GRANTLOG_REPLICA_NAME", "east")
    code, told = await said(capsys, "health", "projector")
    assert code == 1
    assert "no follower 'east' has beaten lately" in told
    async with open_pool(dsn, size_max=1, application_name="test") as pool:
        await beat(pool, "east", "replica")
        assert await said(capsys, "health", "projector") == (0, "SERVING\n")
        monkeypatch.setenv("GRANTLOG_REPLICA_NAME", "west")
        assert (await said(capsys, "health", "projector"))[0] == 1
        monkeypatch.delenv("GRANTLOG_REPLICA_URL")
        assert (await said(capsys, "health", "projector"))[0] == 1, "nobody keeps the primary"
        await beat(pool, "maintenance", "maintenance")
        assert await said(capsys, "health", "projector") == (0, "SERVING\n")
    old = await asyncpg.connect(dsn)
    await old.execute("UPDATE followers SET beat_at = beat_at - interval '1 minute'")
    await old.close()
    assert (await said(capsys, "health", "projector"))[0] == 1


async def test_a_primary_that_cannot_say_is_told_in_one_line(capsys, fresh_database):
    url = f"postgresql://x@127.0.0.1:{kept_port()}/x"
    code, told = await said(capsys, "health", "projector", "--database-url", url)
    assert (code, told.count("\n")) == (1, 1), told
    assert "database" in told
    empty = await fresh_database()
    code, told = await said(capsys, "health", "projector", "--database-url", empty)
    assert (code, told.count("\n")) == (1, 1), told
    assert "migrate" in told


def test_a_service_that_is_not_there_is_refused_with_those_that_are(capsys):
    assert main(["run", "projecter"]) == 2, "the command line is wrong"
    told = capsys.readouterr().err
    assert "there is no service 'projecter'; there are: api, " in told
    assert "projector" in told
