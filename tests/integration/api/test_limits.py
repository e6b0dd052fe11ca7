"""Every bound of docs/limits.md is met by somebody who tries to exceed it, and is told clearly."""

from __future__ import annotations

import ast
import asyncio
import string
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import grpc
import pytest
from grantlog_api import rest_body, rest_protocol, rest_reader
from grpc import aio
from grpc_status import rpc_status

from grantlog.app import listing, lookup
from grantlog.model.ids import ID_BYTES_MAX, NAME_BYTES_MAX
from grantlog.serving.calls import ANSWER_BYTES_MAX
from grantlog.wire.transcode import bind
from scripts.limits import LIMITS, PAGES
from tests.integration.api.calls_beyond import BEYOND, LIMITED, deep, users
from tests.integration.api.refused_calls import TENANT, Asked, check, fact, write
from tests.whole_api import OF_METHOD, WholeApi, result, whole_api

ROOT = Path(__file__).parents[3]
NewDatabase = Callable[..., Awaitable[str]]

HERE = "tests/integration/api/test_limits.py::"
BOUNDS = "tests/unit/engine/test_check_bounds.py::"
PROVED = {
    "grpc message": "tests/e2e/test_grpc_door.py::test_a_message_over_the_limit_is_refused",
    "rest body": "tests/e2e/test_rest_door.py::test_a_body_over_the_limit_is_refused",
    "grpc metadata": HERE + "test_metadata_that_are_too_large_are_refused",
    "rest head": "tests/e2e/test_rest_door.py::test_a_head_that_is_too_large_ends_the_connection",
    "rest head time": HERE + "test_a_head_that_does_not_end_ends_the_connection",
    "rest unread": HERE + "test_a_client_that_does_not_read_its_answers_is_cut",
    "connections": "tests/integration/api/test_rest_errors.py::"
    "test_too_many_connections_are_told_so",
    "answer": HERE + "test_an_answer_larger_than_a_message_is_a_limit",
    "call time": "tests/integration/api/test_leaving.py::"
    "test_what_takes_longer_than_a_call_may_is_ended",
    "message nesting": HERE + "test_what_nests_too_deep_is_refused",
    "json nesting": HERE + "test_what_nests_too_deep_is_refused",
    "changes": HERE + "test_a_deletion_that_matches_too_much_is_a_limit",
    "waiting writes": "tests/integration/write/test_groups.py::"
    "test_a_full_queue_refuses_and_an_empty_one_takes_again",
    "bundles": "src/grantlog/testing/contracts/bundles.py::test_a_tenant_has_only_so_many",
    "operators read": "tests/unit/wire/test_schema_message.py::"
    "test_what_nests_too_deep_even_flat_is_refused_with_advice",
    "waiting compiles": "tests/unit/app/test_schema_cache.py::"
    "test_more_texts_than_may_wait_are_refused_at_once",
    "nodes": BOUNDS + "test_more_nodes_than_the_bound_are_a_limit",
    "usersets": BOUNDS + "test_more_usersets_than_the_bound_are_a_limit_unless_some_allow",
    "arrow": BOUNDS + "test_more_subjects_of_an_arrow_than_the_bound_are_a_limit",
    "keys": BOUNDS + "test_more_facts_at_once_than_the_bound_are_a_limit",
    "tree nodes": "tests/unit/engine/test_expand.py::test_a_tree_beyond_a_bound_is_refused",
    "tree levels": "tests/unit/engine/test_expand.py::test_a_tree_beyond_a_bound_is_refused",
    "tree subjects": "tests/unit/engine/test_expand.py::test_a_tree_beyond_a_bound_is_refused",
    "lookup entities": "tests/unit/engine/test_lookup_entity.py::"
    "test_too_many_entities_in_between_are_refused",
    "lookup subjects": "tests/unit/engine/test_lookup_subject.py::"
    "test_too_many_subjects_are_refused",
    "streams": "tests/integration/api/test_streams.py::test_only_so_many_streams_are_open_at_once",
    "stall": "tests/integration/api/test_streams.py::test_a_reader_that_does_not_read_is_cut",
    "watched transactions": "tests/contract/test_watch.py::"
    "test_a_watcher_that_does_not_keep_up_is_cut_and_goes_on_from_its_token",
    "watched changes": "tests/contract/test_watch.py::"
    "test_a_watcher_that_does_not_keep_up_is_cut_and_goes_on_from_its_token",
    **dict.fromkeys(PAGES, HERE + "test_the_largest_pages_fit_a_message"),
}
"""Bounds that take more than one call to meet, and the tests that do."""


def test_every_bound_is_met_somewhere() -> None:
    assert sorted([*BEYOND, *PROVED]) == sorted(LIMITS)
    for place in PROVED.values():
        file, _, name = place.partition("::")
        tree = ast.parse((ROOT / file).read_text())
        assert name in {getattr(node, "name", "") for node in ast.walk(tree)}, place


async def refusal(api: WholeApi, asked: Asked) -> tuple[grpc.StatusCode, str, str]:
    """The code, and all texts of the refusal: message, reason and explanation."""
    with pytest.raises(aio.AioRpcError) as caught:
        await result(api.call(asked.method, asked.body, metadata=asked.metadata, timeout=50))
    status = rpc_status.from_call(caught.value)
    return caught.value.code(), caught.value.details() or "", str(status and status.details)


async def test_a_call_beyond_a_bound_is_told_which_and_how_much(
    migrated_database: NewDatabase,
) -> None:
    async with whole_api(await migrated_database(), request_timeout_s=60) as api:
        await api.call("Schema.Write", {"tenant_id": TENANT, "schema": LIMITED})
        filled = {"relationships_write": [f"doc:{n}#viewer@user:{{{{.a}}}}" for n in range(100)]}
        made = {"name": "filled", "arguments": ["a"], "operations": [filled]}
        await api.call("Bundle.Write", {"tenant_id": TENANT, "bundles": [made]})
        for name, (asked, reason, words) in BEYOND.items():
            code, message, details = await refusal(api, asked)
            limited = reason == "LIMIT_EXCEEDED"
            assert code.name == ("RESOURCE_EXHAUSTED" if limited else "INVALID_ARGUMENT"), name
            assert reason in message + details, (name, message, details)
            assert words in message + details, (name, message, details)
            answer = await api.post(asked.method, asked.body, headers=dict(asked.metadata))
            assert answer.status_code == (429 if limited else 400), (name, answer.text)
            assert words in answer.text, (name, answer.text)
        assert (await api.call(*check()[:2])).can


@pytest.mark.parametrize("grpc_server", ["grpcio", "native"])
async def test_metadata_that_are_too_large_are_refused(
    migrated_database: NewDatabase, grpc_server: str
) -> None:
    async with whole_api(await migrated_database(), grpc_server=grpc_server) as api:
        small, large = (("x-a", "a" * 4_000),), (("x-a", "a" * 20_000),)
        await api.call("Tenancy.List", {}, metadata=small)
        with pytest.raises(aio.AioRpcError):
            await api.call("Tenancy.List", {}, metadata=large)
        await api.call("Tenancy.List", {}, metadata=small)


def in_struct(levels: int) -> bytes:
    """A Struct within Structs, encoded by hand: writers refuse to go so deep."""

    def field(number: int, content: bytes) -> bytes:
        size, length = len(content), b""
        while size > 127:
            length += bytes([size & 127 | 128])
            size >>= 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + content

    struct = b""
    for _ in range(levels):
        struct = field(1, field(1, b"a") + field(2, field(5, struct)))
    return struct


async def test_what_nests_too_deep_is_refused(migrated_database: NewDatabase) -> None:
    async with whole_api(await migrated_database()) as api:
        over_rest = check(context={"data": deep(101)})
        answer = await api.post(over_rest.method, over_rest.body)
        assert answer.status_code == 400
        assert "nested deeper than 100 levels" in answer.json()["message"]
        route = OF_METHOD["Permission.Check"]
        raw = api.channel.unary_unary(
            route.full_method, request_serializer=bytes, response_deserializer=bytes
        )
        with pytest.raises(aio.AioRpcError) as caught:
            await raw(b"\x32" + _sized(b"\x1a" + _sized(in_struct(60))))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "nests too deep" in str(rpc_status.from_call(caught.value).details)


def _sized(content: bytes) -> bytes:
    return bytes([len(content) & 127 | 128, len(content) >> 7]) + content


async def test_a_head_that_does_not_end_ends_the_connection(
    migrated_database: NewDatabase, monkeypatch
) -> None:
    monkeypatch.setattr(rest_protocol, "HEAD_S_MAX", 0.2)
    async with whole_api(await migrated_database()) as api:
        reader, writer = await _connect(api)
        writer.write(b"POST /v1/tenants/list HTTP/1.1\r\nHost: x\r\n")
        async with asyncio.timeout(60):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_a_large_body_is_decoded_beside_the_event_loop(
    migrated_database: NewDatabase, monkeypatch
) -> None:
    """One of 4 MiB takes up to 3 s, in which nobody else was answered."""
    threads: list[bool] = []

    def bound(*args):
        threads.append(threading.current_thread() is threading.main_thread())
        return bind(*args)

    monkeypatch.setattr(rest_body, "bind", bound)
    async with whole_api(await migrated_database()) as api:
        for letters in (10, rest_body.SMALL_BYTES_MAX):
            asked = check(context={"data": {"a": "x" * letters}})
            # What a browser sends goes the long way of REST, also where it is small.
            answer = await api.post(
                asked.method, asked.body, headers={"origin": "https://a.example"}
            )
            assert answer.status_code == 404, answer.text
    assert threads == [True, False]


async def test_a_client_that_does_not_read_its_answers_is_cut(
    migrated_database: NewDatabase, monkeypatch
) -> None:
    monkeypatch.setattr(rest_reader, "UNREAD_S_MAX", 0.2)
    wide = "entity user {} " + " ".join(
        f"entity {a}{b} {{ relation {'r' * 60} @user }}"
        for a in string.ascii_letters
        for b in string.ascii_letters[:10]
    )
    asked = b"POST /v1/tenants/%s/schemas/read HTTP/1.1\r\nHost: x\r\ncontent-length: 15\r\n\r\n"
    async with whole_api(await migrated_database()) as api:
        await api.call("Schema.Write", {"tenant_id": TENANT, "schema": wide})
        reader, writer = await _connect(api)
        writer.transport.pause_reading()
        with pytest.raises(ConnectionError):  # noqa: PT012 - as often as buffers take answers
            async with asyncio.timeout(60):
                while True:
                    writer.write(asked % TENANT.encode() + b'{"metadata":{}}')
                    await writer.drain()
                    await asyncio.sleep(0.01)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        del reader


async def _connect(api: WholeApi) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(api.rest.base_url.host, api.rest.base_url.port)


async def test_an_answer_larger_than_a_message_is_a_limit(migrated_database: NewDatabase) -> None:
    body = "[" + ",".join(["-a"] * 5_400) + "] == []"  # its checked form is 30 times as long
    names = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    rules = "".join(f"rule {name}(a integer) {{\n{body}\n}}\n" for name in names)
    schema = {"tenant_id": TENANT, "schema": f"entity user {{}}\n{rules}"}
    read = Asked("Schema.Read", {"tenant_id": TENANT, "metadata": {}})
    async with whole_api(await migrated_database(), request_timeout_s=60) as api:
        await api.call("Schema.Write", schema)
        code, message, _ = await refusal(api, read)
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert message.startswith("LIMIT_EXCEEDED: the answer has ")
        assert (await api.post(read.method, read.body)).status_code == 429


async def test_a_deletion_that_matches_too_much_is_a_limit(migrated_database: NewDatabase) -> None:
    dsn = await migrated_database()
    async with whole_api(dsn, changes_per_write_max=20, facts_per_write_max=10) as api:
        await api.call("Schema.Write", {"tenant_id": TENANT, "schema": LIMITED})
        for first in range(0, 30, 10):
            await api.call(*write(users(first + 10)[first:])[:2])
        where = {"tuple_filter": {"entity": {"type": "doc"}}, "attribute_filter": {}}
        code, message, _ = await refusal(api, Asked("Data.Delete", {"tenant_id": TENANT, **where}))
        assert (code, message.split(":")[0]) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED",
        )  # fmt: skip
        assert "20" in message


async def test_the_largest_pages_fit_a_message(migrated_database: NewDatabase) -> None:
    type_, subject_type, relation, member = (letter * NAME_BYTES_MAX for letter in "abcd")
    schema = (
        f"entity {subject_type} {{ relation {member} @{subject_type} }} "
        f"entity {type_} {{ relation {relation} @{subject_type}#{member} }}"
    )
    subject = {"type": subject_type, "id": "s" * ID_BYTES_MAX, "relation": member}
    facts = [
        fact(relation, subject, {"type": type_, "id": f"{n:0{ID_BYTES_MAX}}"})
        for n in range(lookup.PAGE_MAX + 1)
    ]
    asked = {"tenant_id": TENANT, "metadata": {"depth": 20}, "entity_type": type_,
             "permission": relation, "subject": subject, "page_size": 2**31}  # fmt: skip
    listed = {"tenant_id": TENANT, "metadata": {}, "filter": {}, "page_size": 2**31}
    async with whole_api(await migrated_database(), request_timeout_s=60) as api:
        await api.call("Schema.Write", {"tenant_id": TENANT, "schema": schema})
        for first in range(0, len(facts), 1_000):
            await api.call(*write(facts[first : first + 1_000])[:2])
        page = await api.call("Permission.LookupEntity", asked)
        assert len(page.entity_ids) == lookup.PAGE_MAX
        assert page.ByteSize() < ANSWER_BYTES_MAX
        rest = {**asked, "continuous_token": page.continuous_token}
        last = await api.call("Permission.LookupEntity", rest)
        assert list(last.entity_ids) == [facts[-1]["entity"]["id"]]
        tuples = await api.call("Data.ReadRelationships", listed)
        assert len(tuples.tuples) == listing.PAGE_MAX
        assert tuples.ByteSize() < ANSWER_BYTES_MAX
        assert tuples.continuous_token
