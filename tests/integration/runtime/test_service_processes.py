"""Service processes with small services in the place of the real ones."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from random import Random

import pytest

from grantlog.errors import UnavailableError
from grantlog.runtime.os_process import started_at
from grantlog.runtime.processes import end_orphans, keep_running, service_process, watch
from grantlog.runtime.settings import inherited_environment
from tests.waiting import until

STAND_INS = Path(__file__).parent / "stand_ins"


@pytest.fixture
def environment() -> dict[str, str]:
    return inherited_environment(without=[]) | {"PYTHONPATH": str(STAND_INS)}


def noted(run_folder: Path, name: str) -> int:
    try:
        return int(json.loads((run_folder / f"{name}.json").read_text())["pid"])
    except (OSError, ValueError):
        return 0


async def test_a_service_waits_for_its_settings_and_its_end_removes_its_note(tmp_path, environment):
    async with service_process("short_lived", environment, tmp_path, grace_s=5) as service:
        assert noted(tmp_path, "short_lived") == service.process.pid
        service.begin({})
        assert await service.process.wait() == 7
    assert noted(tmp_path, "short_lived") == 0


async def test_a_service_that_is_never_begun_ends_with_its_supervisor(tmp_path, environment):
    async with service_process("short_lived", environment, tmp_path, grace_s=5) as service:
        pass
    assert service.process.returncode is not None


async def test_a_service_that_does_not_heed_is_killed_after_its_grace(tmp_path, environment, capfd):
    async with service_process("stubborn", environment, tmp_path, grace_s=0.05) as service:
        service.begin({})
        said = []

        def begun() -> bool:
            said.append(capfd.readouterr().err)
            return "begun" in "".join(said)

        await until(begun)
    assert service.process.returncode == -signal.SIGKILL


async def test_a_watched_process_that_ends_by_itself_is_an_error_that_says_how(
    tmp_path, environment
):
    async with service_process("short_lived", environment, tmp_path, grace_s=5) as service:
        service.begin({})
        with pytest.raises(UnavailableError, match="the api process ended with exit code 7"):
            await watch("api", service.process, asyncio.Event())


async def test_a_watched_process_may_end_once_we_stop(tmp_path, environment):
    stop = asyncio.Event()
    stop.set()
    async with service_process("short_lived", environment, tmp_path, grace_s=5) as service:
        await watch("api", service.process, stop)


async def test_a_service_that_dies_is_started_again_until_we_stop(tmp_path, environment):
    stop = asyncio.Event()
    seen: set[int] = set()
    async with (
        service_process("short_lived", environment, tmp_path, grace_s=5) as service,
        asyncio.TaskGroup() as group,
    ):
        service.begin({})
        group.create_task(
            keep_running(
                service,
                settings={},
                environment=environment,
                run_folder=tmp_path,
                stop=stop,
                grace_s=5,
                rng=Random(1),
            )
        )

        def third_life() -> bool:
            seen.add(noted(tmp_path, "short_lived"))
            return len(seen - {0}) >= 3

        await until(third_life)
        stop.set()
    assert all(started_at(pid) is None for pid in seen)


async def left_behind(code: str = "import time; time.sleep(600)") -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-c", code)


def note(run_folder: Path, pid: int, started: str | None) -> None:
    (run_folder / "api.json").write_text(json.dumps({"pid": pid, "started": started}))


async def test_an_orphan_is_ended(tmp_path: Path):
    orphan = await left_behind()
    note(tmp_path, orphan.pid, started_at(orphan.pid))
    await end_orphans(tmp_path)
    assert await orphan.wait() == -signal.SIGTERM
    assert not list(tmp_path.iterdir())


async def test_a_process_that_has_an_orphans_number_is_left_alone(tmp_path: Path):
    bystander = await left_behind()
    note(tmp_path, bystander.pid, "another time")
    await end_orphans(tmp_path)
    assert bystander.returncode is None
    assert started_at(bystander.pid) is not None
    bystander.kill()
    await bystander.wait()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": "x", "started": ""}'])
async def test_a_note_that_says_nothing_is_thrown_away(tmp_path: Path, text: str):
    (tmp_path / "api.json").write_text(text)
    await end_orphans(tmp_path)
    assert not list(tmp_path.iterdir())
