"""What goes past the framework is answered as through it: an Origin alone makes the difference."""

from __future__ import annotations

import httpx
import pytest
from grantlog_api.rest_door import build_app

from grantlog.api.v1 import service_pb2
from grantlog.errors import LimitError
from grantlog.serving.calls import Calls
from grantlog.serving.health import HealthProbe
from grantlog.serving.metadata import request_metadata, say_with_answer

CHECK = "/v1/tenants/t1/permissions/check"
ASKED = {
    "metadata": {"depth": 20},
    "entity": {"type": "doc", "id": "1"},
    "permission": "view",
    "subject": {"type": "user", "id": "ann"},
}


async def answer(request, terms):
    del terms
    if request.permission == "refused":
        raise LimitError("too much")
    if request.permission == "breaks":
        raise KeyError("a defect")
    for name, value in request_metadata().items():
        say_with_answer(name, value)
    return service_pb2.PermissionCheckResponse(can="CHECK_RESULT_ALLOWED")


async def healthy() -> str:
    return ""


@pytest.fixture
async def client():
    calls = Calls({"/base.v1.Permission/Check": answer}, timeout_s=20)
    app = build_app(calls, HealthProbe(healthy), allowed_origins=["https://page"])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://node") as opened:
        yield opened


@pytest.mark.parametrize(
    ("path", "request_of"),
    [
        (CHECK, {"json": ASKED}),
        (CHECK, {"json": ASKED, "headers": {"Grantlog-Consistency": "head", "x-other": "1"}}),
        (CHECK, {"json": ASKED, "headers": {"grantlog-consistancy": "head"}}),
        (CHECK, {"json": ASKED | {"permission": "refused"}}),
        (CHECK, {"json": ASKED | {"permission": "breaks"}}),
        (CHECK, {"json": ASKED | {"permission": "n0t a name"}}),
        (CHECK + "?metadata.depth=7", {"json": ASKED}),
        (CHECK, {"content": b"{", "headers": {"content-type": "application/json"}}),
        (CHECK, {"content": b"{}", "headers": {"content-type": "text/html"}}),
        ("/v1/tenants/a%2Fb/permissions/check", {"json": ASKED}),
        ("/v1/tenants/a%ZZ/permissions/check", {"json": ASKED}),
        ("/v1/tenants/t1/nothing", {"json": ASKED}),
        ("/v1/tenants/t1/watch/events", {"json": {}}),
        ("/v1/tenants/t1/data/write", {"json": {"tenant_id": "t1"}}),
    ],
)
async def test_both_ways_say_the_same(client, path, request_of):
    short = await client.post(path, **request_of)
    headers = request_of.get("headers", {}) | {"origin": "https://page"}
    whole = await client.post(path, **request_of | {"headers": headers})
    assert (short.status_code, short.content) == (whole.status_code, whole.content)
    assert ours(short) == ours(whole)


def ours(response: httpx.Response) -> dict[str, str]:
    """The headers that are not about other pages' origins."""
    return {
        name: value
        for name, value in response.headers.items()
        if not name.startswith("access-control-") and name != "vary"
    }


async def test_an_answer_says_what_is_known_of_it_in_headers(client):
    told = {"grantlog-consistency": "head"}
    said = (await client.post(CHECK, json=ASKED, headers=told)).headers
    assert said["grpc-metadata-content-type"] == "application/grpc"
    assert said["content-type"] == "application/json"
    assert said["grantlog-consistency"] == "head"
