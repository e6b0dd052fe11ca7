"""What `make kafka` says where it cannot work; the script runs in a checkout of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def _install(checkout: Path, *names: str, found: tuple[str, ...]) -> tuple[int, str]:
    """Run the script where only the programs `found` are on the PATH."""
    programs = checkout / "bin"
    programs.mkdir()
    for name in found:
        (programs / name).write_text("#!/bin/sh\nexit 0\n")
        (programs / name).chmod(0o755)
    for name in ("install.py", "kafka/pom.xml"):
        (checkout / "scripts" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "scripts" / name, checkout / "scripts" / name)
    done = subprocess.run(
        [sys.executable, str(checkout / "scripts" / "install.py"), *names],
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ((), "no java (17 or newer) and no mvn (Apache Maven, which fetches Kafka) on the PATH"),
        (("mvn",), "there is no java (17 or newer) on the PATH"),
        (("java",), "there is no mvn (Apache Maven, which fetches Kafka) on the PATH"),
    ],
)
def test_kafka_without_what_it_needs_names_that(tmp_path: Path, found: tuple[str, ...], says: str):
    code, said = _install(tmp_path, "--must", "kafka", found=found)
    assert code == 1
    assert says in said
    assert "tests that need" not in said


def test_tests_go_on_without_kafka(tmp_path: Path):
    code, said = _install(tmp_path, "kafka", found=("mvn",))
    assert code == 0
    assert "no java (17 or newer) on the PATH: tests that need the kafka environment" in said


def test_where_all_is_there_kafka_is_fetched_once(tmp_path: Path):
    code, said = _install(tmp_path, "--must", "kafka", "kafka", found=("java", "mvn"))
    assert code == 0
    assert said.count("fetching Apache Kafka") == 1
