"""The README's commands, run as they stand but for the port."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from tests.servers import Server

README = Path(__file__).parents[2] / "README.md"


def test_the_readmes_curl_lines_do_what_it_says(server: Server):
    block = re.search(r"```sh\n(.*?)```", README.read_text(), re.DOTALL)
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
    assert json.dumps(answer["can"]) in README.read_text()
