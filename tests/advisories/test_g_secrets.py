"""Group G: secrets in logs, in errors, in what a port shows."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import os
import sys
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import structlog

from grantlog.runtime.logging import configure_logging
from tests.advisories.doors import RefusedError, check, put, put_schema
from tests.advisories.node import new_tenant, open_node

PASSWORD = "s3cret-Pa55"
ADDRESSES = {
    "nobody listens": f"postgresql://u:{PASSWORD}@127.0.0.1:1/db",
    "it is none": f"postgresql://u:{PASSWORD}@[host/db",
    "an option is none": f"postgresql://u:{PASSWORD}@127.0.0.1:1/db?sslmode=perhaps",
}
PROCESSES = {
    "api": ("-m", "grantlog_api"),
    "projector": ("-m", "grantlog_projector"),
    "migrate": ("-m", "grantlog.cli", "migrate"),
}


async def said(arguments: tuple[str, ...], **environment: str) -> str:
    """What a process says on both streams; it is told to end once it has said something."""
    own = os.environ  # noqa: TID251 - handed on to a child
    inherited = {k: v for k, v in own.items() if not k.startswith("GRANTLOG_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=inherited | environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            first = await process.stdout.readline()
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
            rest, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return (first + rest).decode()


@pytest.mark.parametrize("process", PROCESSES)
async def test_cve_2023_46255_a_database_address_that_fails_is_told_without_its_password(process):
    """SpiceDB wrote the datastore's URI with its password into the log when it could not be
    parsed. Here a process that cannot reach its database says so, and shows no address, however
    the address is wrong.
    """
    for why, address in ADDRESSES.items():
        debug = {} if process == "migrate" else {"GRANTLOG_LOG_LEVEL": "debug"}
        output = await said(PROCESSES[process], GRANTLOG_DATABASE_URL=address, **debug)
        assert "database" in output, why
        assert PASSWORD not in output, why
        assert "Traceback" not in output, why


@pytest.mark.parametrize("process", ["api", "projector"])
async def test_cve_2023_46255_nor_is_the_address_of_a_replica(migrated_database, process):
    """The same of the replica's address, while the primary's is right."""
    dsn = await migrated_database()
    for why, address in list(ADDRESSES.items())[:2]:
        output = await said(
            PROCESSES[process], GRANTLOG_DATABASE_URL=dsn, GRANTLOG_REPLICA_URL=address,
            GRANTLOG_LOG_LEVEL="debug",
        )  # fmt: skip
        assert output, why
        assert PASSWORD not in output, why
        assert "Traceback" not in output, why


@pytest.fixture
def log():
    """All logs of this process at debug level, as a service writes them."""
    handlers, level = logging.root.handlers[:], logging.root.level
    stream = io.StringIO()
    configure_logging("api", "debug", stream=stream)
    yield stream
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def with_password(dsn: str) -> tuple[str, str]:
    """The same database with a password, the server's own if it asks for one; and the password."""
    parts = urlsplit(dsn)
    if parts.password:
        return dsn, parts.password
    netloc = parts.netloc.replace("@", f":{PASSWORD}@", 1)
    return urlunsplit(parts._replace(netloc=netloc)), PASSWORD


async def test_cve_2026_40091_a_running_node_never_tells_its_address(migrated_database, log):
    """The URI came back in SpiceDB's logs, and its metrics port showed its flags. Here a node that
    works, is refused, fails and ends writes its password neither into its log, at debug level, nor
    into an answer, nor on any page that it serves.
    """
    dsn, password = with_password(await migrated_database())
    assert password in dsn
    seen: list[str] = []
    async with open_node(dsn, consistency="node") as node:
        tenant = new_tenant()
        await put_schema(node.rest, tenant, "entity user {} entity doc { relation viewer @user }")
        await put(node.rest, tenant, "doc:1#viewer@user:ann")
        admin = await asyncpg.connect(dsn)
        await admin.execute("ALTER TABLE relation_tuples RENAME TO hidden")
        await admin.close()
        for door in node.doors:
            for question in ("doc:1#viewer@user:ann", "doc:1#none@user:ann"):
                with pytest.raises(RefusedError) as caught:
                    await check(door, tenant, question)
                seen.append(str(caught.value))
        seen.append(await pages_of(node))
    assert "request refused" in log.getvalue()
    for text in [*seen, log.getvalue()]:
        assert password not in text
        assert dsn not in text


PAGES = ("/healthz", "/docs", "/openapi.json", "/metrics", "/debug/vars", "/config", "/", "/flags")


async def pages_of(node) -> str:
    """What a node shows to who only looks."""
    return "\n".join([(await node.rest.client.get(path)).text for path in PAGES])


async def test_cve_2023_29193_no_port_shows_settings(migrated_database):
    """SpiceDB's metrics port showed its command line, preshared key included. Here the pages that
    a node serves are the same whatever its settings are.
    """
    dsn = await migrated_database()
    async with open_node(dsn) as plain, open_node(with_password(dsn)[0], streams_max=123) as other:
        assert await pages_of(plain) == await pages_of(other)
