"""What operators are told of a connection that could not be made, and what they are not."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import cast

import pytest
from grantlog_api.caching import open_caches
from grantlog_api.settings import ApiSettings
from grantlog_watch.settings import WatchServiceSettings
from pydantic import SecretStr
from structlog.testing import capture_logs

from grantlog.app.known import KnownHeads
from grantlog.errors import GrantlogError
from grantlog.runtime.watching import open_watch
from grantlog.store.postgres.connecting import THE_PRIMARY, THE_REPLICA, place_of
from grantlog.store.postgres.lister import open_fact_lister
from grantlog.store.postgres.lives import Kind, Lives
from grantlog.store.postgres.pool import Pool, connect, open_pool
from grantlog.store.postgres.proof import Proof
from grantlog.store.postgres.replica_reads import open_replica_reads
from grantlog.store.postgres.replica_state import OwnLog, ReplicaState
from grantlog.store.postgres.reverse import open_reverse_reader
from tests.ports import kept_port


@pytest.mark.parametrize(
    ("dsn", "place"),
    [
        ("postgresql://u:secret@db.example:5432/x?sslmode=require", "x at db.example:5432"),
        ("postgresql://u:sec@ret@db.example/grantlog", "grantlog at db.example"),
        ("postgresql://u:sec/ret@db.example/grantlog", ""),
        ("postgresql://u:sec#ret@db.example/grantlog", ""),
        ("postgresql://u:sec?ret@db.example/grantlog", ""),
        ("postgresql://u@/grantlog?host=/tmp/socket&password=secret", "grantlog at /tmp/socket"),
        ("host=db password=secret", ""),
        ("secret", ""),
        ("postgresql://[secret", ""),
    ],
)  # fmt: skip
def test_a_place_is_database_and_host_and_never_a_password(dsn: str, place: str):
    assert place_of(dsn) == place
    assert "sec" not in place_of(dsn)
    assert "ret" not in place_of(dsn)


async def refusal(dsn: str, whose: str = THE_PRIMARY) -> str:
    with pytest.raises(GrantlogError) as caught:
        async with connect(dsn, application_name="test", whose=whose):
            pass
    return caught.value.explanation


async def test_it_says_whose_database_where_and_what_is_wrong():
    port = kept_port()
    told = await refusal(f"postgresql://u:secret@127.0.0.1:{port}/grantlog", THE_REPLICA)
    assert told == (
        f"connecting to the replica (GRANTLOG_REPLICA_URL), grantlog at 127.0.0.1:{port}: "
        "the database does not answer: nobody listens there"
    )
    told = await refusal("postgresql://u:secret@nowhere.invalid:5432/grantlog")
    assert told.startswith("connecting to the primary (GRANTLOG_DATABASE_URL), ")
    assert told.endswith("there is no host of that name")
    with pytest.raises(GrantlogError, match="nobody listens there"):
        async with open_pool(
            f"postgresql://u:secret@127.0.0.1:{port}/grantlog", size_max=1, application_name="test"
        ):
            pass


def watching(dsn: str) -> AbstractAsyncContextManager[object]:
    settings = WatchServiceSettings(database_url=SecretStr(dsn))
    return open_watch(settings, dsn, cast("Pool", None), KnownHeads())


def caching(dsn: str) -> AbstractAsyncContextManager[object]:
    return open_caches(ApiSettings(database_url=SecretStr(dsn)), Proof())


def reading(dsn: str) -> AbstractAsyncContextManager[object]:
    return open_replica_reads(dsn, ["postgresql://u:secret@127.0.0.1:1/replica"])


@pytest.mark.parametrize(
    "opened", [open_fact_lister, open_reverse_reader, watching, caching, reading]
)
async def test_every_pool_of_a_service_says_that_it_is_the_primarys(opened):
    port = kept_port()
    with pytest.raises(GrantlogError) as caught:
        async with opened(f"postgresql://u:secret@127.0.0.1:{port}/grantlog"):
            pass
    assert caught.value.explanation == (
        f"connecting to the primary (GRANTLOG_DATABASE_URL), grantlog at 127.0.0.1:{port}: "
        "the database does not answer: nobody listens there"
    )


def test_a_replica_that_is_left_out_is_named_by_its_place():
    log = OwnLog(Lives("2/1/1/1", frozenset(), 1), asyncio.Event())
    state = ReplicaState(2, log, place_of("postgresql://u:secret@reader:5432/grantlog"))
    with capture_logs() as lines:
        state.fits(Kind.STANDBY)
        state.unfit("it does not answer in time")
    assert [(line["event"], line["at"]) for line in lines] == [
        ("replica in", "grantlog at reader:5432"),
        ("replica out", "grantlog at reader:5432"),
    ]


async def test_verify_full_without_a_ca_file_says_what_to_add(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    dsn = f"postgresql://u:secret@127.0.0.1:{kept_port()}/grantlog?sslmode=verify-full"
    assert "verify-full needs a CA file: add sslrootcert=" in await refusal(dsn)
    told = await refusal(f"{dsn}&sslrootcert=/nowhere/ca.crt")
    assert "a file that the address names is not there" in told
    assert "secret" not in told


async def test_a_server_without_tls_is_told_apart_from_one_that_is_away():
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)  # SSLRequest
        writer.write(b"N")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        told = await refusal(f"postgresql://u:secret@127.0.0.1:{port}/x?sslmode=require")
    assert "the server refuses TLS" in told, told
