"""examples/permify: every fact of a tenant as lines that the import reads."""

from __future__ import annotations

import importlib.util
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import httpx
import pytest

from tests.pages.blocks import ROOT
from tests.servers import Server

SCRIPT = ROOT / "examples" / "permify" / "export.py"
SCHEMA = "entity user {} entity doc { relation viewer @user  attribute public boolean }"


def exported(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def export():
    spec = importlib.util.spec_from_file_location("export", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def asked_headers() -> Iterator[tuple[str, list[Message]]]:
    """The address of a server that refuses everything, and the headers of what it was asked."""
    headers: list[Message] = []

    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            headers.append(self.headers)
            self.send_error(401)

        def log_message(self, *_: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", headers
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("page_size", [1, 2, 500])
def test_every_fact_is_exported_once_whatever_the_page_size(
    server: Server, export, page_size, capsys, monkeypatch
):
    tenant = f"export-{secrets.token_hex(6)}"
    tuples = [
        {"entity": {"type": "doc", "id": str(n)}, "relation": "viewer",
         "subject": {"type": "user", "id": "ann", "relation": ""}}
        for n in range(5)
    ]  # fmt: skip
    attributes = [
        {"entity": {"type": "doc", "id": str(n)}, "attribute": "public",
         "value": {"@type": "type.googleapis.com/base.v1.BooleanValue", "data": False}}
        for n in range(3)
    ]  # fmt: skip
    with httpx.Client(base_url=f"{server.rest}/v1/tenants/{tenant}") as client:
        client.post("/schemas/write", json={"schema": SCHEMA}).raise_for_status()
        facts = {"metadata": {}, "tuples": tuples, "attributes": attributes}
        client.post("/data/write", json=facts).raise_for_status()
    monkeypatch.setattr(export, "PAGE_SIZE", page_size)
    monkeypatch.setattr(sys, "argv", ["export.py", f"{server.rest}/", tenant])
    export.main()
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == [*tuples, *attributes]


def test_what_cannot_be_exported_is_one_line(server: Server):
    refused = exported(server.rest, "not/a/tenant")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"export: {server.rest}/v1/tenants/not/a/tenant/data/write ")
    assert refused.stderr.count("\n") == 1
    nowhere = exported("http://127.0.0.1:1", "t1")
    assert (nowhere.returncode, nowhere.stderr.count("\n")) == (1, 1)
    assert nowhere.stderr.startswith("export: no answer: ")
    assert exported().returncode == 2
    assert "'localhost:3476' has no scheme: give http://" in exported("localhost:3476", "t1").stderr
    odd = exported("http://localhost", "t1", "--header", "Bearer x")
    assert "'Bearer x' is no header: give 'Name: value'" in odd.stderr


def test_the_server_is_told_who_asks(asked_headers):
    address, headers = asked_headers
    exported(address, "t1", "--header", "Authorization: Bearer s3cret")
    assert headers[0]["authorization"] == "Bearer s3cret"
