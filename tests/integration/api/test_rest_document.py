"""The OpenAPI document that is served describes the calls of the service that serves it."""

from __future__ import annotations

import httpx
from grantlog_api import rest_door

from grantlog.app.terms import OfNow
from grantlog.serving.calls import Calls
from grantlog.serving.health import HealthProbe


async def unused(*_args):
    raise AssertionError


async def test_calls_that_can_be_asked_about_the_past_say_so():
    handlers = {
        "/base.v1.Permission/Check": unused,
        "/base.v1.Schema/Read": unused,
        "/base.v1.Schema/Write": OfNow(unused),
    }
    calls = Calls(handlers, timeout_s=1)
    app = rest_door.build_app(calls, HealthProbe(unused), allowed_origins=["*"])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        document = (await client.get("/openapi.json")).json()
    told = {
        operation["operationId"]
        for item in document["paths"].values()
        for operation in item.values()
        if any(each["name"] == "grantlog-as-of" for each in operation["parameters"])
    }
    assert told == {"permissions.check", "schemas.read"}
