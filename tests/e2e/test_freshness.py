"""What a call may say about the time of its answer and what answers say, through both doors."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from grpc import aio

from grantlog.api.v1 import base_pb2, service_pb2, service_pb2_grpc
from grantlog.model.ids import TenantId
from grantlog.model.token import decode_token
from tests.e2e.asked import DEEP, LOOKUP, NEW, OLD, OTHERS, READING, doc, viewer
from tests.e2e.doors import Grpc, RefusedError, Rest
from tests.servers import Server
from tests.waiting import until

AS_OF = "grantlog-as-of"
CONSISTENCY = "grantlog-consistency"
STALENESS = "grantlog-max-staleness-ms"


@dataclass
class Past:
    """A tenant: the schema, two facts, one of them removed, another schema.

    Attributes:
        times: moments at which it stood at revision 1, 2, 3 and 4.
    """

    name: str
    times: list[str]


@pytest.fixture(scope="module", params=[Rest, Grpc], ids=["rest", "grpc"])
def door(request, server: Server):
    opened = request.param(server)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def past(server: Server) -> Iterator[Past]:
    """One for all tests, which leave it as it is."""
    door = Rest(server)
    yield lived(door)
    door.close()


def lived(door: Rest | Grpc) -> Past:
    tenant = Past(f"freshness-{secrets.token_hex(6)}", [])
    value = {"@type": "type.googleapis.com/base.v1.BooleanValue", "data": True}
    public = {"entity": doc("3"), "attribute": "public", "value": value}
    facts = {"metadata": {}, "tuples": [viewer("1"), viewer("2")], "attributes": [public]}
    gone = {"tuple_filter": {"entity": {"type": "doc", "ids": ["1"]}}, "attribute_filter": {}}
    for path, body in (
        ("schemas/write", {"schema": OLD}),
        ("data/write", facts),
        ("data/delete", gone),
        ("schemas/write", {"schema": NEW}),
    ):
        door.call(tenant.name, path, body)
        now = datetime.now(UTC)  # noqa: TID251 - the real clock is what is asked about
        tenant.times.append(now.isoformat())
    return tenant


def revision_of(past: Past, said: dict) -> int:
    return decode_token(TenantId(past.name), said["grantlog-token"]).revision


@pytest.mark.parametrize("path", READING)
def test_every_reading_call_answers_as_of_any_revision_and_time(door, past: Past, path: str):
    body, told, expected = READING[path]
    for revision, then in enumerate(expected, start=1):
        for as_of in (str(revision), past.times[revision - 1]):
            answer, said = door.call(past.name, path, body, {AS_OF: as_of})
            assert told(answer) == then, (revision, as_of)
            assert revision_of(past, said) == revision
            assert "grantlog-age-ms" not in said


@pytest.mark.parametrize("path", READING)
def test_every_reading_call_takes_a_consistency_and_says_where_it_stands(
    door, past: Past, server: Server, path: str
):
    body, told, expected = READING[path]
    for beside in (
        {},
        {CONSISTENCY: "head"},
        {CONSISTENCY: "node"},
        {CONSISTENCY: "bounded"},
        {STALENESS: "60000"},
        {STALENESS: "0", CONSISTENCY: "bounded"},
    ):
        answer, said = door.call(past.name, path, body, beside)
        assert told(answer) == expected[-1]
        assert revision_of(past, said) == 4
        assert said["grantlog-source"] in {"primary", "cache", server.way}
        assert 0 <= int(said["grantlog-age-ms"]) <= 60_000


@pytest.mark.parametrize("path", READING)
def test_a_copy_that_was_read_is_named(door, past: Past, server: Server, path: str):
    body, *_ = READING[path]

    def source() -> str:
        _, said = door.call(past.name, path, body, {AS_OF: "3"})
        return said["grantlog-source"]

    if path in FROM_MEMORY:  # by now, whatever copy was read first
        asyncio.run(until(lambda: source() == "cache"))
    elif server.way == "replica" and path != "schemas/read":
        asyncio.run(until(lambda: source() == "replica"))
    else:
        assert source() == "primary"


FROM_MEMORY = {"permissions/check", "permissions/bulk-check", "permissions/subject-permission"}

REFUSALS = [
    ({AS_OF: "5"}, "BEYOND_HEAD: revision 5 is beyond the tenant's head, 4"),
    ({AS_OF: "soon"}, "INVALID_AS_OF: 'soon' is no as-of: give a revision, as 42, or a time"),
    ({AS_OF: "2999-01-01T00:00:00Z"}, "AS_OF_IN_FUTURE: 2999-01-01T00:00:00+00:00 is in the fut"),
    (
        {AS_OF: "2", CONSISTENCY: "head"},
        (
            "INVALID_AS_OF: grantlog-as-of names the one revision to answer at, so "
            "grantlog-consistency has no say: leave grantlog-consistency out, or grantlog-as-of"
        ),
    ),
    (
        {AS_OF: "2", STALENESS: "10"},
        (
            "INVALID_AS_OF: grantlog-as-of names the one revision to answer at, so "
            "grantlog-max-staleness-ms has no say: leave grantlog-max-staleness-ms out, or grantlog"
        ),
    ),
    ({CONSISTENCY: "strong"}, "INVALID_CONSISTENCY: 'strong' is no consistency: give one of head"),
    ({STALENESS: "1e3"}, "INVALID_MAX_STALENESS: '1e3' is no bound of staleness: give whole milli"),
    (
        {STALENESS: "5", CONSISTENCY: "node"},
        "INVALID_MAX_STALENESS: grantlog-max-staleness-ms goes with bounded alone: leave it",
    ),
]


def refused(door, past: Past, path: str, body: dict, beside: dict) -> str:
    with pytest.raises(RefusedError) as caught:
        door.call(past.name, path, body, beside)
    assert caught.value.code in {"400", "INVALID_ARGUMENT"}
    return caught.value.message


@pytest.mark.parametrize("path", READING)
def test_terms_that_cannot_be_met_are_refused(door, past: Past, path: str):
    for beside, text in REFUSALS:
        assert refused(door, past, path, READING[path][0], beside).startswith(text)


@pytest.mark.parametrize("path", [path for path in READING if path != "schemas/read"])
def test_a_snap_token_beside_an_as_of_is_refused(door, past: Past, path: str):
    body = READING[path][0]
    _, said = door.call(past.name, path, body)
    with_token = body | {"metadata": body["metadata"] | {"snap_token": said["grantlog-token"]}}
    assert refused(door, past, path, with_token, {AS_OF: "2"}) == (
        "INVALID_AS_OF: grantlog-as-of asks for a past answer and the snap token for a fresh one: "
        "leave the snap token out, or grantlog-as-of to be answered as of now"
    )
    for beside in ({}, {CONSISTENCY: "head"}, {STALENESS: "1000"}):
        answer, _ = door.call(past.name, path, with_token, beside)
        assert READING[path][1](answer) == READING[path][2][-1]


@pytest.mark.parametrize("path", OTHERS)
def test_calls_without_terms_name_the_key_to_leave_out(door, past: Past, path: str):
    for key, value, reason in (
        (AS_OF, "2", "INVALID_AS_OF"),
        (CONSISTENCY, "head", "INVALID_CONSISTENCY"),
        (STALENESS, "10", "INVALID_MAX_STALENESS"),
    ):
        assert refused(door, past, path, OTHERS[path], {key: value}) == (
            f"{reason}: {key} has no say here, the answer stands at no revision: leave it out"
        )
    answer, _ = door.call(
        past.name, "data/relationships/read", READING["data/relationships/read"][0]
    )
    assert len(answer["tuples"]) == 1, "nothing was written"


@pytest.mark.parametrize(
    ("path", "body", "ids"),
    [
        ("permissions/lookup-entity", LOOKUP, lambda answer: answer["entity_ids"]),
        (
            "data/relationships/read",
            {"metadata": {}, "filter": {}},
            lambda answer: [fact["entity"]["id"] for fact in answer["tuples"]],
        ),
    ],
)
def test_pages_stand_where_the_first_one_does(door, past: Past, path: str, body: dict, ids):
    first, said = door.call(past.name, path, body | {"page_size": 1}, {AS_OF: "2"})
    assert ids(first) == ["1"]
    second = body | {"page_size": 1, "continuous_token": first["continuous_token"]}
    for beside in ({}, {AS_OF: "2"}, {AS_OF: past.times[1]}, {CONSISTENCY: "head"}):
        answer, said_again = door.call(past.name, path, second, beside)
        assert ids(answer) == ["2"]
        assert said_again["grantlog-token"] == said["grantlog-token"]
        assert "grantlog-age-ms" not in said_again
    assert refused(door, past, path, second, {AS_OF: "3"}).startswith(
        "INVALID_AS_OF: the continuation token stands at revision 2, the as-of at 3: repeat"
    )


def test_an_as_of_with_a_schema_version_written_later_is_refused(door, past: Past):
    versions, _ = door.call(past.name, "schemas/list", {})
    new, old = (record["version"] for record in versions["schemas"])
    body = READING["permissions/lookup-entity"][0]
    asked = body | {"metadata": DEEP | {"schema_version": new}}
    assert "was written at revision 4, after the as-of (revision 3)" in refused(
        door, past, "permissions/lookup-entity", asked, {AS_OF: "3"}
    )
    asked = body | {"metadata": DEEP | {"schema_version": old}}
    answer, _ = door.call(past.name, "permissions/lookup-entity", asked, {AS_OF: "4"})
    assert answer["entity_ids"] == ["2"]


def test_a_write_says_where_it_stands(door):
    past = lived(door)
    answer, said = door.call(past.name, "data/write", OTHERS["data/write"])
    assert said["grantlog-token"] == answer["snap_token"]
    _, said = door.call(past.name, "schemas/write", {"schema": OLD})
    assert revision_of(past, said) == 6
    _, said = door.call(past.name, "schemas/list", {})
    assert said == {}


async def test_what_concurrent_answers_say_is_each_ones_own(server: Server):
    tenant = f"freshness-{secrets.token_hex(6)}"
    subject = base_pb2.Subject(type="user", id="ann")
    async with aio.insecure_channel(server.grpc) as channel:
        schemas = service_pb2_grpc.SchemaStub(channel)
        await schemas.Write(service_pb2.SchemaWriteRequest(tenant_id=tenant, schema=OLD))
        data = service_pb2_grpc.DataStub(channel)
        for n in range(1, 6):
            fact = base_pb2.Tuple(
                entity=base_pb2.Entity(type="doc", id=str(n)), relation="viewer", subject=subject
            )
            await data.Write(
                service_pb2.DataWriteRequest(
                    tenant_id=tenant, metadata=service_pb2.DataWriteRequestMetadata(), tuples=[fact]
                )
            )
        lookup = service_pb2_grpc.PermissionStub(channel)
        request = service_pb2.PermissionLookupEntityRequest(
            tenant_id=tenant,
            metadata=service_pb2.PermissionLookupEntityRequestMetadata(depth=20),
            entity_type="doc",
            permission="view",
            subject=subject,
        )

        async def one(revision: int) -> tuple[int, int]:
            call = lookup.LookupEntity(request, metadata=((AS_OF, str(revision)),))
            answer = await call
            said = dict(await call.trailing_metadata())
            token = decode_token(TenantId(tenant), said["grantlog-token"])
            return len(answer.entity_ids), token.revision

        async with asyncio.TaskGroup() as group:
            asked = [(n, group.create_task(one(1 + n))) for n in range(6) for _ in range(20)]
        assert all(task.result() == (n, 1 + n) for n, task in asked)
