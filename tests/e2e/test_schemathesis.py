"""schemathesis on the OpenAPI document: no 5xx, no status, type or body that is not documented."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx

from grantlog.wire.openapi_examples import EXAMPLES, PATH
from grantlog.wire.transcode import ROUTES
from tests.servers import Server

HERE = Path(__file__).with_name("rest_fuzz")
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
ENDLESS = ("watch.watch", "watch.events")
"""They answer for ever; tests/integration/api/test_streams.py and test_watch.py have them."""
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "what_is_forbidden_is_refused",
    "each_line_is_as_documented",
)
EXAMPLES_MAX = 30
"""Random requests of an operation; those that its schema leads to come on top, about 180."""
RUN_S_MAX = 400


WRITTEN = ("schemas.write", "schemas.partial-write", "data.write", "relationships.write")


def write_examples(rest: str) -> None:
    """Give the questions something to find."""
    by_id = {route.operation_id: route for route in ROUTES}
    with httpx.Client(base_url=rest, timeout=30) as client:
        for name in WRITTEN:
            path = by_id[name].path_template.format(**PATH)
            answer = client.request(by_id[name].verb, path, json=EXAMPLES[name])
            assert answer.status_code == 200, answer.text


def test_what_the_document_says_is_what_happens(own_server: Server, tmp_path: Path) -> None:
    write_examples(own_server.rest)
    skipped = [flag for name in ENDLESS for flag in ("--exclude-operation-id", name)]
    own = os.environ  # noqa: TID251 - handed on to a child
    run = subprocess.run(
        [
            SCHEMATHESIS, "--config-file", HERE / "schemathesis.toml",
            "run", f"{own_server.rest}/openapi.json", *skipped,
            "--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES_MAX),
            "--generation-deterministic", "--seed", "1", "--workers", "1",
            "--checks", ",".join(CHECKS), "--continue-on-failure", "--request-timeout", "20",
            "--header", "Accept: application/x-ndjson", "--no-color", "--warnings", "off",
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=RUN_S_MAX, check=False,
        env={**own, "SCHEMATHESIS_HOOKS": "rest_checks", "PYTHONPATH": path(own)},
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-5_000:]
    assert f"Tested: {operations(run.stdout)}" in run.stdout
    assert "No issues found" in run.stdout


def path(own: os._Environ[str]) -> str:
    """Where the checks are found, before what is there already."""
    return os.pathsep.join(filter(None, [str(HERE), own.get("PYTHONPATH")]))


def operations(said: str) -> int:
    """How many operations were selected: all but the endless ones."""
    (line,) = [line for line in said.splitlines() if "Selected:" in line]
    selected, _, all_ = line.rpartition(" ")[2].partition("/")
    assert int(selected) == int(all_) - len(ENDLESS)
    return int(selected)
