"""What REST says to requests that no handler answers: a status that is true, and our body."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager

import httpx
import pytest
from grantlog_api import rest_door, rest_protocol

from grantlog.api.v1 import service_pb2
from grantlog.serving.calls import Calls
from grantlog.serving.health import Health, HealthProbe
from tests.waiting import until

LIST = "/v1/tenants/list"
CHECK = "/v1/tenants/t1/permissions/check"
EVENTS = "/v1/tenants/t1/watch/events"
NOT_FOUND = (5, "Not Found")
NOT_ALLOWED = (12, "Method Not Allowed")
JSON = {"content-type": "application/json"}


class Tenants:
    """Lists no tenants, when it may."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.may.set()
        self.running = 0

    async def __call__(self, request, terms):
        self.running += 1
        try:
            await self.may.wait()
        finally:
            self.running -= 1
        if request.continuous_token == "break":
            raise RuntimeError("a secret")
        return service_pb2.TenantListResponse()


class Door:
    """A REST door in this process."""

    def __init__(self, client: httpx.AsyncClient, port: int, tenants: Tenants, stop) -> None:
        self.client = client
        self.port = port
        self.tenants = tenants
        self.stop = stop

    async def raw(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        """The status, headers and body that some bytes are answered with."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            return int(head[0].split()[1]), headers, body
        finally:
            writer.close()
            await writer.wait_closed()


async def serving() -> str:
    return ""


@asynccontextmanager
async def door(*, timeout_s=20.0, drain_s_max=1.0):
    tenants = Tenants()
    calls = Calls({"/base.v1.Tenancy/List": tenants}, timeout_s=timeout_s)
    app = rest_door.build_app(calls, HealthProbe(serving), allowed_origins=["*"])
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        listener = socket.create_server(("127.0.0.1", 0))  # the server closes it
        port = listener.getsockname()[1]
        group.create_task(rest_door.serve(app, listener, stop, drain_s_max=drain_s_max))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            try:
                yield Door(client, port, tenants, stop)
            finally:
                stop.set()


def is_ours(response: httpx.Response) -> bool:
    """Whether a response carries the contract's error body."""
    is_json = response.headers["content-type"] == "application/json"
    return is_json and response.json().keys() == {"code", "message", "details"}


def words_of(response: httpx.Response) -> tuple[int, str]:
    """The code and the message of a refusal of the router, which tells its reason as well."""
    assert is_ours(response)
    told = response.json()
    assert told["details"][0]["reason"] == "NOT_ROUTED"
    return told["code"], told["message"]


async def test_an_unknown_path_is_not_found_whatever_the_verb():
    async with door() as here:
        for verb in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"):
            for path in ("/", "/v1", "/v2/tenants/list", f"{LIST}/", "/docs/", "/v1/tenants/a/b"):
                answer = await here.client.request(verb, path)
                assert (answer.status_code, words_of(answer)) == (404, NOT_FOUND), (verb, path)
        assert (await here.client.head("/v1")).status_code == 404


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        (CHECK, "OPTIONS, POST"),
        (LIST, "DELETE, OPTIONS, POST"),  # the tenant `list` can be deleted
        ("/v1/tenants/t1", "DELETE, OPTIONS"),
        ("/v1/tenants/t1/schemas/partial-write", "OPTIONS, PATCH"),
        (EVENTS, "GET, HEAD, OPTIONS"),
        ("/healthz", "GET, HEAD, OPTIONS"),
        ("/livez", "GET, HEAD, OPTIONS"),
        ("/openapi.json", "GET, HEAD, OPTIONS"),
        ("/docs", "GET, HEAD, OPTIONS"),
    ],
)
async def test_a_wrong_verb_is_told_which_are_right(path, allow):
    async with door() as here:
        for verb in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"} - set(allow.split(", ")):
            answer = await here.client.request(verb, path)
            assert (answer.status_code, words_of(answer)) == (405, NOT_ALLOWED), verb
            assert answer.headers["allow"] == allow
        asked = await here.client.options(path)
        assert (asked.status_code, asked.headers["allow"], asked.content) == (204, allow, b"")


async def test_head_answers_as_get_without_a_body():
    async with door() as here:
        for path in ("/healthz", "/livez", "/openapi.json", "/docs", EVENTS):
            answer = await here.client.head(path)
            assert (answer.status_code, answer.content) == (200, b""), path
        assert answer.headers["content-type"].startswith("text/event-stream")
        refused = await here.client.head(CHECK)
        assert (refused.status_code, refused.content) == (405, b"")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        JSON,
        {"content-type": "Application/JSON; charset=UTF-8"},
        {"content-type": "application/vnd.api+json"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "text/plain;charset=UTF-8"},
        {**JSON, "origin": "https://app.example"},
        {**JSON, "content-encoding": "identity"},
    ],
)
async def test_json_is_read_however_clients_call_it(headers):
    async with door() as here:
        answer = await here.client.post(LIST, content=b'{"page_size":1}', headers=headers)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/xml"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "application/octet-stream"},
        {"content-type": "application/json; charset=utf-16"},
        {"content-type": "nonsense"},
        {"origin": "https://evil.example"},
        {"content-type": "text/plain", "origin": "https://evil.example"},
        {"content-type": "application/x-www-form-urlencoded", "origin": "null"},
        {**JSON, "content-encoding": "gzip"},
    ],
)
async def test_a_body_that_says_it_is_no_json_is_refused(headers):
    async with door() as here:
        answer = await here.client.post(LIST, content=b'{"page_size":1}', headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (415, 3)
        assert answer.json()["message"].startswith("UNSUPPORTED_MEDIA_TYPE: ")
        empty = await here.client.post(LIST, headers=headers)
        assert empty.status_code == 200


async def test_a_body_over_the_limit_is_too_large_however_it_is_sent():
    async def chunks():
        for _ in range(5):
            yield b" " * 1024 * 1024

    async with door() as here:
        for body in (b" " * (4 * 1024 * 1024 + 1), chunks()):
            answer = await here.client.post(LIST, content=body, headers=JSON)
            assert (answer.status_code, answer.json()["code"]) == (413, 8)
            assert "4194304 bytes" in answer.json()["message"]
        head = b"POST /v1/tenants/list HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999999\r\n\r\n"
        status, _, body = await here.raw(head)
        assert (status, json.loads(body)["code"]) == (413, 8)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"null",
        b'"x"',
        b"[]",
        b"{}{}",
        b"\xff",
        b"\xef\xbb\xbf{}",
        '{"page_size":1}'.encode("utf-16"),
        b'{"page_size":1,"page_size":2}',
        b'{"page_size":1e400}',
        b'{"page_size":' + b"9" * 5000 + b"}",
        b'{"page_size":4294967296}',
        b'{"page_size":-1}',
        b'{"page_size":NaN}',
        b'{"page_size":0.5}',
        b'{"continuous_token":"\\ud800"}',
        b"[" * 100_000,
        b'{"x":' * 5000 + b"1" + b"}" * 5000,
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_a_body_that_is_not_json_for_the_call_is_refused(body):
    async with door() as here:
        answer = await here.client.post(LIST, content=body, headers=JSON)
        assert (answer.status_code, answer.json()["code"]) == (400, 3), answer.text
        assert is_ours(answer)


async def test_data_nested_deeper_than_is_read_are_refused():
    async with door() as here:
        for deep in ('{"a":' * 200 + "1" + "}" * 200, "[" * 200 + "]" * 200):
            body = '{"context":{"data":{"x":' + deep + "}}}"
            answer = await here.client.post(CHECK, content=body, headers=JSON)
            assert answer.status_code == 400
            assert "nested deeper than 100 levels" in answer.json()["message"]


@pytest.mark.parametrize("segment", ["%", "%zz", "%ff", "%C3", "%ED%A0%80"])
async def test_a_path_that_is_not_percent_encoded_utf_8_is_refused(segment):
    async with door() as here:
        for verb, path in (("DELETE", ""), ("POST", "/permissions/check")):
            line = f"{verb} /v1/tenants/{segment}{path} HTTP/1.1\r\nHost: x\r\n\r\n"
            status, headers, body = await here.raw(line.encode())
            assert (status, headers["content-type"]) == (400, "application/json")
            assert json.loads(body)["message"].startswith("INVALID_PATH: ")


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x00\xa5\x01\r\n\r\n",
        b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"FROB / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_told_so(data):
    async with door() as here:
        status, headers, body = await here.raw(data)
        assert (status, headers["content-type"]) == (400, "application/json")
        assert json.loads(body).keys() == {"code", "message", "details"}


async def test_a_call_that_takes_too_long_is_told_so():
    async with door(timeout_s=0.2) as here:
        here.tenants.may.clear()
        answer = await here.client.post(LIST, json={})
        assert (answer.status_code, answer.json()["code"]) == (504, 4)
        assert is_ours(answer)
        assert here.tenants.running == 0
        unfinished = b"POST /v1/tenants/list HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{"
        status, headers, _ = await here.raw(unfinished)
        assert (status, headers["content-type"]) == (504, "application/json")


async def test_a_call_that_draining_cuts_is_told_to_ask_elsewhere():
    async with door() as here:
        here.tenants.may.clear()
        async with asyncio.TaskGroup() as group:
            call = group.create_task(here.client.post(LIST, json={}))
            await until(lambda: here.tenants.running == 1)
            here.stop.set()
        answer = call.result()
        assert (answer.status_code, answer.json()["code"]) == (503, 14)
        assert is_ours(answer)
        assert answer.headers["connection"] == "close"


async def test_a_call_that_ends_while_draining_is_answered():
    async with door() as here:
        here.tenants.may.clear()
        async with asyncio.TaskGroup() as group:
            call = group.create_task(here.client.post(LIST, json={}))
            await until(lambda: here.tenants.running == 1)
            here.stop.set()
            here.tenants.may.set()
        assert call.result().status_code == 200


async def test_a_defect_says_nothing_about_itself():
    async with door() as here:
        answer = await here.client.post(LIST, json={"continuous_token": "break"})
        assert (answer.status_code, answer.text) == (
            500, '{"code":13,"message":"ERROR_CODE_INTERNAL","details":[]}',
        )  # fmt: skip


async def test_a_node_that_is_not_serving_is_alive_nevertheless(monkeypatch):
    async def away() -> Health:
        return Health("the database does not answer")

    monkeypatch.setattr(HealthProbe, "health", lambda self: away())
    async with door() as here:
        answer = await here.client.get("/healthz")
        assert (answer.status_code, answer.json()) == (
            503, {"status": "NOT_SERVING", "because": "the database does not answer"},
        )  # fmt: skip
        answer = await here.client.get("/livez")
        assert (answer.status_code, answer.json()) == (200, {"status": "ALIVE"})


async def test_a_defect_outside_the_calls_says_nothing_either(monkeypatch):
    async def broken() -> Health:
        raise RuntimeError("a secret")

    monkeypatch.setattr(HealthProbe, "health", lambda self: broken())
    async with door() as here:
        answer = await here.client.get("/healthz")
        assert (answer.status_code, answer.json()["message"]) == (500, "ERROR_CODE_INTERNAL")


async def test_too_many_connections_are_told_so(monkeypatch):
    monkeypatch.setattr(rest_door, "CONNECTIONS_MAX", 2)
    async with door() as here:
        here.tenants.may.clear()
        async with asyncio.TaskGroup() as group:
            first = group.create_task(here.client.post(LIST, json={}))
            await until(lambda: here.tenants.running == 1)
            second = await here.client.post(LIST, json={})
            here.tenants.may.set()
        assert (second.status_code, second.json()["code"]) == (503, 14)
        assert second.headers["connection"] == "close"
        assert first.result().status_code == 200


def test_the_number_of_connections_is_said():
    assert f"{rest_protocol.CONNECTIONS_MAX} connections" in rest_protocol._BUSY.body.decode()
