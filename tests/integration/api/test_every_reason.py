"""Every reason of docs/errors.md reaches callers of both doors with the codes of its table."""

from __future__ import annotations

import ast
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from google.rpc import error_details_pb2
from grpc import aio
from grpc_status import rpc_status

from grantlog.api.v1 import errors_pb2
from grantlog.errors import GrantlogError
from grantlog.wire.status import WireStatus, status_of
from scripts.error_reasons import CONTRACT, NOT_FOR_CALLERS, OURS
from tests.integration.api.refused_calls import (
    MADE,
    REFUSED,
    SCHEMA,
    TENANT,
    Asked,
    check,
    edit,
    fact,
    write,
)
from tests.whole_api import WholeApi, result, whole_api

ROOT = Path(__file__).parents[3]
REASONS = CONTRACT | OURS
NewDatabase = Callable[..., Awaitable[str]]

PROVED_ELSEWHERE = {
    "ERROR_CODE_CANCELLED": "tests/integration/api/test_leaving.py::"
    "test_a_caller_that_leaves_takes_its_statements_along",
    "ERROR_CODE_NOT_IMPLEMENTED": "tests/unit/api/test_calls.py::"
    "test_a_call_that_nobody_handles_is_not_served",
    "SLOW_READER": "tests/integration/api/test_streams.py::test_a_reader_that_does_not_read_is_cut",
    "PROJECTION_LAGGING": "tests/unit/read/test_replica_first.py::"
    "test_more_than_the_primary_may_take_is_shed",
}
"""Reasons that no call provokes at will, and the tests in which they are raised."""

OF_STATE = {
    "ERROR_CODE_SERIALIZATION", "ERROR_CODE_INTERNAL", "LOST_WRITE", "BEHIND_WINDOW",
    "TENANT_DELETED", "FAILED_PRECONDITION", "UNAVAILABLE",
}  # fmt: skip
"""Reasons that the tests below provoke by what they do to the tenant or the database."""


OF_HTTP: dict[str, dict[str, Any]] = {
    "INVALID_PATH": {"url": "/v1/tenants/%FF/schemas/list", "json": {}},
    "UNSUPPORTED_MEDIA_TYPE": {
        "url": "/v1/tenants/list", "content": b"<a/>", "headers": {"content-type": "text/xml"},
    },
    "BODY_TOO_LARGE": {"url": "/v1/tenants/list", "content": b" " * (4 * 2**20 + 1)},
}  # fmt: skip
"""Requests that only REST refuses."""

OF_THE_MOMENT = {"AS_OF_IN_FUTURE", "UNAVAILABLE"}
"""Reasons whose texts depend on the moment."""


def codes(reason: str) -> WireStatus:
    """What the table of docs/errors.md says."""
    return status_of(REASONS[reason].family("because", reason=reason))


async def refused_over_grpc(api: WholeApi, asked: Asked) -> tuple[int, str, str]:
    """The code, the message and the reason that the details name."""
    call = api.call(asked.method, asked.body, metadata=asked.metadata)
    with pytest.raises(aio.AioRpcError) as caught:
        await result(call)
    error = caught.value
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    if status is not None:
        assert status.details[0].Unpack(info)
        assert (status.code, status.message) == (error.code().value[0], error.details())
        assert info.domain == "grantlog"
        assert info.metadata["explanation"]
    return error.code().value[0], error.details() or "", info.reason


async def refused_over_rest(api: WholeApi, asked: Asked) -> tuple[int, int, str, str]:
    """The HTTP status, the code, the message and the reason that the details name."""
    answer = await api.post(asked.method, asked.body, headers=dict(asked.metadata))
    said = answer.json()
    said = said.get("error", said)
    reason = said["details"][0]["reason"] if said["details"] else ""
    return answer.status_code, said["code"], said["message"], reason


async def prove(api: WholeApi, reason: str, asked: Asked) -> None:
    """The call is refused for the reason, over both doors alike."""
    table = codes(reason)
    grpc_code, message, named = await refused_over_grpc(api, asked)
    assert (reason, grpc_code) == (reason, table.code)
    assert reason in {named, message}, (reason, named, message)
    http, code, rest_message, rest_named = await refused_over_rest(api, asked)
    assert (reason, http, code) == (reason, table.http, table.code)
    assert rest_named == named
    if reason not in OF_THE_MOMENT:
        assert rest_message == message


async def done(api: WholeApi, asked: Asked) -> Any:
    return await api.call(asked.method, asked.body)


def test_every_reason_is_proved_somewhere() -> None:
    proved = [*REFUSED, *PROVED_ELSEWHERE, *OF_STATE, *OF_HTTP]
    assert sorted(proved) == sorted(REASONS)
    for place in PROVED_ELSEWHERE.values():
        file, _, name = place.partition("::")
        tree = ast.parse((ROOT / file).read_text())
        assert name in {getattr(node, "name", "") for node in tree.body}, place


def test_the_tables_have_every_reason_that_the_code_raises() -> None:
    names = dict(errors_pb2.ErrorCode.items())
    raised = {kind.default_reason for kind in kinds_of_error(GrantlogError)}
    for folder in ("src/grantlog", "services"):
        for path in (ROOT / folder).rglob("*.py"):
            generated = path.name.endswith(("_pb2.py", "_pb2_grpc.py"))
            if not generated and not ELSEWHERE & set(path.parts):
                raised |= reasons_in(path.read_text())
    table = CONTRACT.keys() | OURS.keys() | NOT_FOR_CALLERS.keys()
    assert raised - NO_REASONS == table
    assert CONTRACT.keys() <= names.keys()
    assert not OURS.keys() & names.keys()


ELSEWHERE = {"cli", "runtime", "testing"}
"""Rooms whose words in capitals are others: clients, variables, files."""

NO_REASONS = {"EVENTS_PATH", "NOT_SERVING", "SASL_PLAINTEXT", "SASL_SSL"}


def kinds_of_error(kind: type[GrantlogError]) -> Iterator[type[GrantlogError]]:
    if kind.__module__.startswith("grantlog."):
        yield kind
    for below in kind.__subclasses__():
        yield from kinds_of_error(below)


def reasons_in(source: str) -> set[str]:
    """The constants that are several words in capitals, whole or made of parts."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Constant(value=str(word)) if re.fullmatch(r"[A-Z]+(_[A-Z]+)+", word):
                if not word.startswith("GRANTLOG_"):
                    found.add(word)
            case ast.JoinedStr(values=[ast.Constant(value=str(begin)), *_]) if begin.startswith(
                "ERROR_CODE_"
            ):
                assert begin == "ERROR_CODE_DUPLICATED_", "teach this test the new names"
                found |= {f"{begin}{of}_REFERENCE" for of in ("RELATION", "PERMISSION")}
            case _:
                pass
    return found


async def test_every_reason_that_a_request_provokes_has_the_tables_codes(
    migrated_database: NewDatabase,
) -> None:
    async with whole_api(await migrated_database()) as api:
        await done(api, Asked("Schema.Write", {"tenant_id": TENANT, "schema": SCHEMA}))
        await done(api, MADE)
        for reason, asked in REFUSED.items():
            await prove(api, reason, asked)
        for reason, request in OF_HTTP.items():
            answer = await api.rest.post(**request)
            table, said = codes(reason), answer.json()
            assert (answer.status_code, said["code"]) == (table.http, table.code), reason
            assert said["details"][0]["reason"] == reason


async def test_every_reason_of_a_tenants_past_has_the_tables_codes(
    migrated_database: NewDatabase,
) -> None:
    dsn = await migrated_database()
    database = await asyncpg.connect(dsn)
    try:
        async with whole_api(dsn) as api:
            written = Asked("Schema.Write", {"tenant_id": TENANT, "schema": SCHEMA})
            first = (await done(api, written)).schema_version
            token = (await done(api, write([fact()]))).snap_token
            await done(api, written)
            await prove(
                api,
                "ERROR_CODE_SERIALIZATION",
                edit(version=first, write=["relation editor @user"]),
            )
            await done(api, Asked("Tenancy.Delete", {"id": TENANT}))
            await prove(api, "BEHIND_WINDOW", check(said=("grantlog-as-of", "1")))
            watch = Asked("Watch.Watch", {"tenant_id": TENANT, "snap_token": token})
            await prove(api, "TENANT_DELETED", watch)
            await done(api, written)
            lost = (await done(api, write([fact()]))).snap_token
        # As if the database had been restored to before that write.
        await database.execute(
            "INSERT INTO epochs (epoch, system_identifier, timeline, reason) "
            "SELECT max(epoch) + 1, max(system_identifier), max(timeline), 'test' FROM epochs"
        )
        await database.execute("UPDATE heads SET epoch = epoch + 1")
        async with whole_api(dsn) as api:
            await prove(api, "LOST_WRITE", check(token=lost))
    finally:
        await database.close()


async def test_every_reason_of_a_broken_database_has_the_tables_codes(
    migrated_database: NewDatabase, postgres_url: str
) -> None:
    dsn = await migrated_database()
    admin = await asyncpg.connect(postgres_url)
    name = dsn.split("?")[0].rpartition("/")[2]
    read = Asked("Bundle.Read", {"tenant_id": TENANT, "name": "made"})
    database = await asyncpg.connect(dsn)
    try:
        async with whole_api(dsn) as api:
            await done(api, Asked("Schema.Write", {"tenant_id": TENANT, "schema": SCHEMA}))
            await done(api, MADE)
            await database.execute("UPDATE bundles SET definition = '[]'")
            await prove(api, "ERROR_CODE_INTERNAL", read)
            await database.execute("ALTER TABLE bundles RENAME TO bundles_gone")
            await prove(api, "FAILED_PRECONDITION", read)
            await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
            )
            await prove(api, "UNAVAILABLE", read)
            await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    finally:
        await database.close(timeout=5)
        await admin.close()
