"""What both doors do with a call."""

from __future__ import annotations

import pytest

from grantlog.api.v1 import service_pb2
from grantlog.errors import NotImplementedYetError
from grantlog.serving.calls import Calls


async def test_a_call_that_nobody_handles_is_not_served():
    calls = Calls({}, timeout_s=1)
    with pytest.raises(NotImplementedYetError):
        await calls.unary("/base.v1.Tenancy/List", service_pb2.TenantListRequest())
    watch = service_pb2.WatchRequest(tenant_id="t1")
    with pytest.raises(NotImplementedYetError):
        await anext(calls.stream("/base.v1.Watch/Watch", watch))
