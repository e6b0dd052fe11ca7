"""Real input: a tree of random modes, and the kernel's own answers to compare with."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "posix"
sys.path.insert(0, str(EXAMPLE))

from posixfs.kernel import why_not  # noqa: E402 - the example is no package of ours

WHY_NOT = why_not()
ENTRIES, QUESTIONS = 400, 600

pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=f"not run: {WHY_NOT}")


async def demo(served, *flags: str) -> tuple[int, str]:
    """The demonstration on a generated tree: its exit status and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, EXAMPLE / "demo.py", f"--url={served.rest}",
        f"--grpc-address={served.grpc}", f"--generated={ENTRIES}", f"--questions={QUESTIONS}",
        *flags, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(120):
        said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


def by_stratum(said: str) -> dict[str, list[int]]:
    """The verifier's table: asked, allowed, denied, differences."""
    strata = ("owner", "group", "other", "root", "blocked")
    rows = [line.split() for line in said.splitlines() if line.startswith(strata)]
    return {row[0]: [int(cell) for cell in row[1:]] for row in rows}


@pytest.mark.parametrize("flags", [(), ("--with-replica",)], ids=["primary", "replica"])
async def test_the_server_answers_as_the_kernel_does(serve, flags):
    served = await serve(*flags)
    status, said = await demo(served)
    assert status == 0, said
    assert f"0 differences in {QUESTIONS} questions" in said
    table = by_stratum(said)
    assert [row[0] for row in table.values()] == [QUESTIONS // 5] * 5, said
    assert all(row[1] and row[2] for name, row in table.items() if name != "blocked"), said


async def test_a_wrong_model_is_caught(serve):
    served = await serve()
    status, said = await demo(served, "--planted=no-ancestors")
    table = by_stratum(said)
    assert status == 1, said
    assert table["blocked"][3] > 0, said
    assert sum(row[3] for row in table.values()) == table["blocked"][3], said
    status, said = await demo(served, "--planted=no-classes")
    table = by_stratum(said)
    assert status == 1, said
    assert table["owner"][3] > 0, said
    assert table["group"][3] > 0, said
    assert table["root"][3] == 0, said
