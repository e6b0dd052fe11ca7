"""The official clients of the contract, unchanged, in environments of their own."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.servers import WATCHED_EVERY_WAY, Server

pytestmark = WATCHED_EVERY_WAY

_HERE = Path(__file__).parent
_PYTHON = _HERE.parents[1] / ".venv-clients" / "bin" / "python"
_NODE_MODULES = _HERE / "node" / "node_modules" / "@permify" / "permify-node"


def _run(*command: str, cwd: Path = _HERE) -> str:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def _tenant() -> str:
    return f"client-{secrets.token_hex(6)}"


@pytest.mark.parametrize("script", ["python_sdk.py", "python_sdk_rest.py"])
def test_the_python_client_works_over_rest(server: Server, script: str):
    if not _PYTHON.exists():
        pytest.skip("not run: the clients' environment is not installed (make test installs it)")
    path = str(_HERE / "clients" / script)
    said = _run(str(_PYTHON), "-W", "ignore", path, server.rest, _tenant())
    assert said.endswith("all ok\n")


@pytest.mark.parametrize("script", ["client.js", "client_all.js"])
def test_the_node_client_works_over_grpc(server: Server, script: str):
    node = shutil.which("node")
    if node is None or not _NODE_MODULES.exists():
        pytest.skip("not run: Node or its client is not installed (make test installs the client)")
    said = _run(node, script, server.grpc, _tenant(), cwd=_HERE / "node")
    assert said.endswith("all ok\n")
