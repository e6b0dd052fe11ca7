"""What the operating system knows about processes: who lives, where, and who dies with whom."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_PR_SET_PDEATHSIG: Final = 1


def die_with_parent(signum: int) -> Callable[[], None]:
    """Make a function for a child, to be called between fork and exec.

    Afterwards the kernel sends `signum` to the child when the thread that started it ends, so even
    kill -9 of the parent takes the child down. Changing the user clears the setting: it must be
    called after that (subprocess does). Does nothing where there is no prctl.
    """
    if not sys.platform.startswith("linux"):
        return lambda: None
    parent = os.getpid()
    libc = ctypes.CDLL(None, use_errno=True)  # loaded before the fork: no dlopen in the child

    def arm() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)

    return arm


def started_at(pid: int) -> str | None:
    """An opaque mark of when a live process started; None if there is none.

    A number may be reused, a number with its start may not. A zombie counts as dead.
    """
    if _PROC.is_dir():
        try:
            stat = (_PROC / str(pid) / "stat").read_text()
        except (OSError, UnicodeDecodeError):
            return None
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    shown = _ps(pid, "lstart=")
    return shown or None


def running_in(folder: Path, program: str) -> list[int]:
    """Pids of live processes of that program whose working directory is `folder`.

    Postgres and each of its children stay in their data directory, whatever their command line
    says. Without /proc the answer is always empty.
    """
    found: list[int] = []
    for entry in _PROC.glob("[0-9]*"):
        try:
            inside = (entry / "cwd").readlink() == folder
            if inside and (entry / "comm").read_text().strip() == program:
                found.append(int(entry.name))
        except OSError:
            continue
    return [pid for pid in found if started_at(pid) is not None]


def command_of(pid: int) -> str:
    """The command line of a process, "" if there is none."""
    if _PROC.is_dir():
        try:
            raw = (_PROC / str(pid) / "cmdline").read_bytes()
        except OSError:
            return ""
        return raw.replace(b"\0", b" ").decode(errors="replace").strip()
    return _ps(pid, "command=")


def _ps(pid: int, column: str) -> str:
    shown = subprocess.run(  # noqa: S603 - fixed program, a number and a constant
        ["/bin/ps", "-p", str(pid), "-o", column], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip()
