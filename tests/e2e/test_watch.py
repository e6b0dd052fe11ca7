"""Watching a served tenant: gRPC, lines of JSON, server-sent events; at a watch service too."""

from __future__ import annotations

import asyncio
import json
import secrets

import grpc
import httpx
import pytest
from grpc import aio

from grantlog.api.v1 import service_pb2_grpc
from tests.e2e.watched import fact_of, heard, level, prepare, refused, sse, view, watching
from tests.servers import WATCHED_EVERY_WAY, Server

pytestmark = WATCHED_EVERY_WAY


@pytest.fixture
async def api(server: Server):
    async with httpx.AsyncClient(base_url=server.rest, timeout=120) as client:
        yield client


@pytest.fixture
async def stub(server: Server):
    async with aio.insecure_channel(server.grpc) as channel:
        yield service_pb2_grpc.WatchStub(channel)


@pytest.fixture
async def tenant(api) -> str:
    name = f"watch-{secrets.token_hex(6)}"
    await prepare(api, name)
    return name


async def test_a_write_is_told_with_its_token(api, stub, tenant):
    call = watching(stub, tenant)
    first = await call.read()
    assert first.changes.snap_token
    assert not first.changes.data_changes
    token = await view(api, tenant, "1", "2")
    (changes,) = await heard(call, 1)
    assert changes.snap_token == token
    assert [c.tuple.entity.id for c in changes.data_changes] == ["1", "2"]
    assert {c.operation for c in changes.data_changes} == {1}
    call.cancel()


async def test_an_attribute_written_over_is_a_delete_and_a_create(api, stub, tenant):
    start = await level(api, tenant, 1)
    await level(api, tenant, 2)
    call = watching(stub, tenant, start)
    (changes,) = await heard(call, 1)
    assert [c.operation for c in changes.data_changes] == [2, 1]
    assert [c.attribute.attribute for c in changes.data_changes] == ["level", "level"]
    call.cancel()


async def test_any_token_resumes_exactly_behind_it(api, stub, tenant):
    tokens = [await view(api, tenant, str(n)) for n in range(20)]
    for number, token in enumerate(tokens[:-1]):
        call = watching(stub, tenant, token)
        rest = await heard(call, len(tokens) - number - 1)
        assert [c.snap_token for c in rest] == tokens[number + 1 :]
        call.cancel()


async def test_metadata_filter_what_is_told(api, stub, tenant):
    start = await view(api, tenant, "0")
    member = {"type": "team", "id": "eng", "relation": "member"}
    await view(api, tenant, "1")
    await view(api, tenant, "2", subject=member)
    await level(api, tenant, 1)
    for filters, expected in (
        ({"subjects": "team:eng#member"}, ["2"]),
        ({"subjects": "user"}, ["1"]),
        ({"entity_types": "doc, team", "relations": "level"}, [""]),
    ):
        call = watching(stub, tenant, start, **filters)
        (changes,) = await heard(call, 1)
        assert [c.tuple.entity.id for c in changes.data_changes] == expected
        call.cancel()


async def test_what_cannot_be_watched_is_refused(api, stub, tenant):
    token = await view(api, tenant, "1")
    other = f"{tenant}-other"
    for call, code, text in (
        (watching(stub, tenant, "garbled"), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_SNAP"),
        (watching(stub, other, token), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_SNAP_TOKEN"),
        (watching(stub, tenant, user="x"), grpc.StatusCode.INVALID_ARGUMENT, "ERROR_CODE_VALI"),
        (watching(stub, tenant, subjects="a b"), grpc.StatusCode.INVALID_ARGUMENT, "ERROR_CODE"),
    ):
        error = await refused(call)
        assert error.code() is code
        assert error.details().startswith(text)


async def test_a_deletion_ends_the_watch_and_says_where_to_go_on(api, stub, tenant):
    start = await view(api, tenant, "1")
    call = watching(stub, tenant, start)
    await call.read()
    assert (await api.delete(f"/v1/tenants/{tenant}")).status_code == 200
    error = await refused(call)
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert error.details().startswith("TENANT_DELETED")
    await prepare(api, tenant)
    token = await view(api, tenant, "2")
    following = watching(stub, tenant, await fact_of(error))
    (changes,) = await heard(following, 1)
    assert changes.snap_token == token
    following.cancel()
    assert (await refused(watching(stub, tenant, start))).details().startswith("TENANT_DELETED")


async def test_rest_tells_a_json_object_a_line_and_takes_filters_as_parameters(api, tenant):
    start = await view(api, tenant, "0")
    member = {"type": "team", "id": "eng", "relation": "member"}
    await view(api, tenant, "1")
    token = await view(api, tenant, "2", subject=member)
    async with api.stream(
        "POST",
        f"/v1/tenants/{tenant}/watch",
        params={"subjects": "team:eng#member"},
        json={"snap_token": start},
    ) as response:
        assert response.status_code == 200
        lines = response.aiter_lines()
        first = json.loads(await anext(lines))["result"]["changes"]
        assert first == {"snap_token": start, "data_changes": []}
        second = json.loads(await anext(lines))["result"]["changes"]
    assert second["snap_token"] == token
    assert second["data_changes"][0]["operation"] == "OPERATION_CREATE"
    assert second["data_changes"][0]["tuple"]["subject"] == member


async def test_rest_refuses_what_cannot_be_watched(api, tenant):
    path = f"/v1/tenants/{tenant}/watch"
    answer = await api.post(path, json={"snap_token": "garbled"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("INVALID_SNAP_TOKEN")
    answer = await api.get(f"{path}/events", params={"snap_token": "garbled"})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("INVALID_SNAP_TOKEN")


async def test_server_sent_events_resume_from_their_last_id(api, tenant):
    path = f"/v1/tenants/{tenant}/watch/events"
    async with api.stream("GET", path) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = sse(response)
        place, kind, data = await anext(events)
        assert kind == "heartbeat"
        assert data["changes"] == {"snap_token": place, "data_changes": []}
        token = await view(api, tenant, "1")
        told = await anext(events)
        assert told[:2] == (token, "message")
        assert told[2]["changes"]["data_changes"][0]["tuple"]["entity"]["id"] == "1"
    later = await view(api, tenant, "2")
    async with api.stream(
        "GET", path, headers={"Last-Event-ID": token}, params={"snap_token": "ignored"}
    ) as response:
        events = sse(response)
        assert (await anext(events))[0] == token
        assert (await anext(events))[0] == later


async def test_many_watchers_of_a_busy_tenant_hear_everything_in_order(api, stub, tenant):
    count = 60
    start = await view(api, tenant, "start")

    async def watcher(token):
        call = watching(stub, tenant, token)
        found = [c.snap_token for c in await heard(call, count)]
        call.cancel()
        return found

    async with asyncio.TaskGroup() as group:
        early = [group.create_task(watcher(start)) for _ in range(5)]
        tokens = []
        late = []
        for number in range(count):
            tokens.append(await view(api, tenant, f"d{number}"))
            if number % 20 == 0:
                late.append(group.create_task(watcher(start)))
    assert all(task.result() == tokens for task in (*early, *late))


async def test_a_large_write_is_told_in_one_message(api, stub, tenant):
    start = await view(api, tenant, "start")
    await view(api, tenant, *(f"{'x' * 100}{n}" for n in range(1_000)))
    call = watching(stub, tenant, start)
    (changes,) = await heard(call, 1)
    assert len(changes.data_changes) == 1_000
    call.cancel()
