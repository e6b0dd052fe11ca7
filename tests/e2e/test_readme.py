"""The commands of the pages, run as they stand but for the port."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.servers import Server

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "docs/schema-language.md"]


@pytest.mark.parametrize("page", PAGES)
def test_a_pages_curl_lines_do_what_it_says(server: Server, page: str):
    block = re.search(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert block
    port = server.rest.rpartition(":")[2]
    script = "set -e\n" + block[1].replace("localhost:3476", f"127.0.0.1:{port}")
    # Each answer on a line of its own: curl ends an answer without one.
    script = script.replace("curl -s", "echo; curl -s")
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    version, token, answer = (json.loads(line) for line in done.stdout.split("\n") if line)
    assert len(version["schema_version"]) == 20
    assert token["snap_token"]
    assert answer["can"] == "CHECK_RESULT_ALLOWED"


def test_the_readme_shows_the_answer_that_comes():
    assert '"can":"CHECK_RESULT_ALLOWED"' in (ROOT / "README.md").read_text()
