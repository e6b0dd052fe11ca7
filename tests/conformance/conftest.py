"""One server for all cases; each case has a tenant of its own."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

READY = re.compile(r"grantlog is serving  REST (http://[^ ]+)  gRPC ([^ ]+)  .*")
STOP_S_MAX = 30


@pytest.fixture(scope="session")
def served() -> Iterator[tuple[str, str]]:
    """The REST base URL and the gRPC address of a `grantlog serve`."""
    folder = tempfile.mkdtemp(prefix="grantlog-conformance-", dir="/tmp")
    grantlog = Path(sys.executable).with_name("grantlog")
    with subprocess.Popen(
        [grantlog, "serve", "--http-port=0", "--grpc-port=0", f"--data-dir={folder}/data"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        match = READY.fullmatch(process.stdout.readline().rstrip("\n"))
        try:
            assert match, "grantlog serve did not say that it serves"
            yield match[1], match[2]
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=STOP_S_MAX)
    shutil.rmtree(folder, ignore_errors=True)
