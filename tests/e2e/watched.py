"""What tests of watching do with a served tenant."""

from __future__ import annotations

import json

import pytest
from google.rpc import error_details_pb2
from grpc import aio
from grpc_status import rpc_status

from grantlog.api.v1 import service_pb2

SCHEMA = """entity user {} entity team { relation member @user }
entity doc { relation viewer @user @team#member  attribute level integer }"""


async def prepare(api, tenant):
    answer = await api.post(f"/v1/tenants/{tenant}/schemas/write", json={"schema": SCHEMA})
    assert answer.status_code == 200, answer.text


async def view(api, tenant, *docs, subject=None) -> str:
    tuples = [
        {
            "entity": {"type": "doc", "id": doc},
            "relation": "viewer",
            "subject": subject or {"type": "user", "id": "ann"},
        }
        for doc in docs
    ]
    body = {"metadata": {}, "tuples": tuples}
    answer = await api.post(f"/v1/tenants/{tenant}/data/write", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["snap_token"]


async def level(api, tenant, value) -> str:
    fact = {
        "entity": {"type": "doc", "id": "1"},
        "attribute": "level",
        "value": {"@type": "type.googleapis.com/base.v1.IntegerValue", "data": value},
    }
    body = {"metadata": {}, "attributes": [fact]}
    answer = await api.post(f"/v1/tenants/{tenant}/data/write", json=body)
    return answer.json()["snap_token"]


def watching(stub, tenant, token="", **metadata):
    pairs = tuple((f"grantlog-watch-{k.replace('_', '-')}", v) for k, v in metadata.items())
    request = service_pb2.WatchRequest(tenant_id=tenant, snap_token=token)
    return stub.Watch(request, metadata=pairs, timeout=120)


async def heard(call, count) -> list:
    """The next messages that have changes."""
    found = []
    while len(found) < count:
        message = await call.read()
        assert message is not aio.EOF
        if message.changes.data_changes:
            found.append(message.changes)
    return found


async def refused(call) -> aio.AioRpcError:
    with pytest.raises(aio.AioRpcError) as caught:
        await heard(call, 1_000_000)
    return caught.value


async def fact_of(error) -> str:
    status = rpc_status.from_call(_Call(error))
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info.metadata["snap_token"]


class _Call:
    """What grpc_status reads of an error of the asyncio client."""

    def __init__(self, error):
        self._error = error

    def code(self):
        return self._error.code()

    def details(self):
        return self._error.details()

    def trailing_metadata(self):
        return tuple(self._error.trailing_metadata())


async def sse(response):
    """Server-sent events as (id, event, data)."""
    fields = {}
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
        elif "data" in fields:
            yield fields.get("id"), fields.get("event", "message"), json.loads(fields["data"])
            fields = {}
        else:
            fields = {}
