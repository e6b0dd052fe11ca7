from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("script", ["gen_settings_docs.py", "gen_error_docs.py"])
def test_the_tables_of_the_docs_are_what_the_programs_say(script):
    command = [sys.executable, f"scripts/{script}", "--check"]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def pinned(lock: str) -> dict[str, str]:
    text = (ROOT / "locks" / f"{lock}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ \\]+)", text, re.MULTILINE))


def test_an_environment_for_the_tests_serves_with_the_same_versions():
    dev = pinned("dev")
    assert {name: dev.get(name) for name in pinned("runtime")} == pinned("runtime")


def test_no_lock_names_an_index_or_a_registry():
    for lock in [*(ROOT / "locks").iterdir(), ROOT / "tests/e2e/node/package-lock.json"]:
        text = lock.read_text()
        assert "index-url" not in text
        assert "find-links" not in text
        assert '"resolved"' not in text
