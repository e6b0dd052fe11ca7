"""What the server's processes cost, by role, read from /proc."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")


def descendants(pid: int) -> list[int]:
    """A process and all below it."""
    children: dict[int, list[int]] = {}
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            parent = _parent(folder)
            if parent is not None:
                children.setdefault(parent, []).append(int(folder.name))
    found, pending = list[int](), [pid]
    while pending:
        found.append(pending.pop())
        pending += children.get(found[-1], [])
    return found


def _parent(folder: Path) -> int | None:
    try:
        text = (folder / "stat").read_text(errors="replace")
    except OSError:
        return None
    return int(text.rpartition(")")[2].split()[1])


def role(pid: int) -> str:
    """api, follower, database or supervisor, by its command line."""
    try:
        arguments = (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return "supervisor"
    words = arguments.rstrip("\0").split("\0")
    if "postgres" in words[0]:
        return "database"
    if "grantlog.runtime.service" in words:
        return "api" if words[-1] == "api" else "follower"
    return "supervisor"


def _nothing() -> dict[str, float]:
    return {"api": 0.0, "follower": 0.0, "database": 0.0, "supervisor": 0.0}


def cpu_seconds(pid: int) -> dict[str, float]:
    """Processor seconds so far, by role, of a process and all below it."""
    spent = _nothing()
    for each in descendants(pid):
        spent[role(each)] += on_cpu_s(each)
    return spent


def on_cpu_s(pid: int) -> float:
    """Processor seconds of one process so far.

    From schedstat, in nanoseconds: the ticks of /proc/*/stat miss short bursts.
    """
    total = 0
    for task in (_PROC / str(pid) / "task").glob("*/schedstat"):
        try:
            total += int(task.read_text().split()[0])
        except (OSError, IndexError):
            continue  # the thread has ended meanwhile
    return total / 1e9


def memory_mb(pid: int) -> dict[str, float]:
    """Memory by role, shared pages divided among those who share them."""
    held = _nothing()
    for each in descendants(pid):
        try:
            rollup = (_PROC / str(each) / "smaps_rollup").read_text()
        except OSError:
            continue
        for line in rollup.splitlines():
            if line.startswith("Pss:"):
                held[role(each)] += int(line.split()[1]) / 1024
    return held


def machine_busy_s() -> float:
    """Processor seconds that the whole machine has spent working since it started."""
    user, nice, system, _idle, _wait, irq, softirq = (
        int(word) for word in (_PROC / "stat").read_text().split(maxsplit=8)[1:8]
    )
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
