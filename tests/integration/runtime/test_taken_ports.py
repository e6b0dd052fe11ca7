"""A service whose port another process has: one line that names the setting, and exit code 1."""

from __future__ import annotations

import json
import socket

import pytest

from tests.e2e.conftest import spawn
from tests.integration.read.test_follower_process import databases

__all__ = ["databases"]  # a fixture


@pytest.mark.parametrize(
    ("service", "setting"),
    [
        ("api", "GRANTLOG_HTTP_PORT"),
        ("api", "GRANTLOG_GRPC_PORT"),
        ("watch", "GRANTLOG_GRPC_PORT"),
    ],
)
async def test_the_line_names_the_port_and_its_setting(databases, service, setting):
    ports = {"GRANTLOG_HTTP_PORT": "0"} if service == "api" else {}
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        process = await spawn(
            "run",
            service,
            GRANTLOG_DATABASE_URL=databases.primary,
            **{"GRANTLOG_GRPC_PORT": "0", **ports, setting: str(port)},
        )
        out, err = await process.communicate()
    assert process.returncode == 1, err
    lines = [json.loads(line) for line in (out + err).decode().splitlines()]
    said = f"port {port} on 127.0.0.1 is in use: choose another one with {setting}"
    assert [line["because"] for line in lines if line["level"] == "error"] == [said]
