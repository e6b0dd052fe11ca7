"""compose.yaml brought up by Docker itself, where an engine runs."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.deploy.compose_file import ROOT
from tests.e2e.doors import Grpc, Rest
from tests.servers import Server

ADDRESS = "127.64.0.1"


def why_not_here() -> str:
    """What this machine lacks to run compose.yaml, "" if nothing."""
    if shutil.which("docker") is None:
        return "not run: docker is not here"
    for words in (["compose", "version"], ["info"]):
        asked = subprocess.run(["docker", *words], capture_output=True, check=False)
        if asked.returncode != 0:
            return f"not run: `docker {' '.join(words)}` fails, no engine runs here"
    return ""


def compose(project: str, *words: str) -> subprocess.CompletedProcess[str]:
    own = os.environ  # noqa: TID251 - handed on to docker
    return subprocess.run(
        ["docker", "compose", "--project-name", project, *words],
        cwd=ROOT,
        env={**own, "POSTGRES_PASSWORD": "0123456789abcdef", "LISTEN_ADDRESS": ADDRESS},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def project() -> Iterator[str]:
    """A whole deployment of two nodes, taken away afterwards with its data."""
    if reason := why_not_here():
        pytest.skip(reason)
    name = f"grantlog-test-{secrets.token_hex(4)}"
    try:
        up = compose(
            name, "up", "--build", "--detach", "--wait", "--wait-timeout", "900",
            "--scale", "api=2",
        )  # fmt: skip
        assert up.returncode == 0, up.stderr + compose(name, "logs", "--tail", "50").stdout
        yield name
    finally:
        compose(name, "down", "--volumes", "--remove-orphans")


def test_compose_brings_a_service_up_that_survives_the_loss_of_a_node(project: str):
    server = Server("docker", f"http://{ADDRESS}:3476", f"{ADDRESS}:3478", 0)
    rest, grpc = Rest(server), Grpc(server)
    schema = "entity user {}\nentity doc { relation viewer @user  permission view = viewer }"
    rest.call("t1", "schemas/write", {"schema": schema})
    ann = {"type": "user", "id": "ann"}
    fact = {"entity": {"type": "doc", "id": "1"}, "relation": "viewer", "subject": ann}
    answer, _ = rest.call("t1", "data/write", {"metadata": {}, "tuples": [fact]})
    question = {
        "metadata": {"depth": 20, "snap_token": answer["snap_token"]},
        "entity": fact["entity"],
        "permission": "view",
        "subject": ann,
    }
    first = compose(project, "ps", "--quiet", "api").stdout.split()[0]
    for step in ("both nodes", "one node"):
        for door in (rest, grpc) * 10:
            said, _ = door.call("t1", "permissions/check", question)
            assert said["can"] == "CHECK_RESULT_ALLOWED", step
        subprocess.run(["docker", "stop", first], check=True, capture_output=True)
    verified = compose(project, "exec", "-T", "projector", "grantlog", "projector", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    rest.close()
    grpc.close()
