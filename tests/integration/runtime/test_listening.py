"""Each service says once that it listens, with its addresses, when it is ready to answer there."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.integration.read.test_follower_process import databases
from tests.service_process import ServiceProcess
from tests.waiting import until

__all__ = ["databases"]  # a fixture


def listening(service: ServiceProcess) -> list[dict]:
    found = [json.loads(line) for line in service.said().splitlines()]
    return [line for line in found if line["event"] == "listening"]


async def grpc_serves(address: str) -> bool:
    async with grpc.aio.insecure_channel(address) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    return answer.status == health_pb2.HealthCheckResponse.SERVING


def rest_serves(url: str) -> bool:
    with urllib.request.urlopen(f"{url}/healthz", timeout=10) as answer:
        return json.load(answer)["status"] == "SERVING"


@pytest.mark.parametrize("name", ["api", "watch"])
async def test_the_addresses_that_are_told_answer_at_once(databases, tmp_path: Path, name: str):
    settings = {"GRANTLOG_DATABASE_URL": databases.primary, "GRANTLOG_GRPC_PORT": "0"}
    if name == "api":
        settings["GRANTLOG_HTTP_PORT"] = "0"
    service = ServiceProcess(name, tmp_path / "log", settings)
    service.start()
    try:
        await until(lambda: listening(service))
        (line,) = listening(service)
        assert await grpc_serves(line["grpc"])
        if name == "api":
            assert await asyncio.to_thread(rest_serves, line["rest"])
    finally:
        code = service.end()
    assert code == 0
    assert len(listening(service)) == 1
