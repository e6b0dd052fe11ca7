"""The judge: what the kernel itself answers when a process of a user calls access(2)."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from posixfs.accounts import User

ACCESS_MODES: Final = {"read": os.R_OK, "write": os.W_OK, "execute": os.X_OK}
_ERRNO: Final = struct.Struct("<i")
_CAPABILITIES: Final = {"CAP_DAC_OVERRIDE": 1, "CAP_SETGID": 6, "CAP_SETUID": 7}


class Access(NamedTuple):
    """One call of access(2)."""

    path: bytes
    operation: str
    """A key of ACCESS_MODES."""


class KernelError(Exception):
    """The kernel cannot be asked here; the text says why, in one line."""


def why_not() -> str | None:
    """Why the kernel cannot be asked as another user by this process; None if it can."""
    if os.geteuid() != 0:
        return "asking the kernel as other users needs root (begin the command with sudo)"
    held = _effective_capabilities()
    missing = [name for name, bit in _CAPABILITIES.items() if not held >> bit & 1]
    return f"root lacks {', '.join(missing)} here" if missing else None


def _effective_capabilities() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def ask_kernel(user: User, questions: Sequence[Access]) -> list[bool | str]:
    """The kernel's answers for `user`: True, False, or the name of another error than EACCES.

    A child process takes the user's groups and number, real, effective and saved, so that it
    holds no capability of root's, and asks. Call it while this process has one thread.

    Raises:
        KernelError: the child could not become the user.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _answer_and_exit(user, questions, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        raw = pipe.read()
    os.waitpid(child, 0)
    codes = [code for (code,) in _ERRNO.iter_unpack(raw)]
    if len(codes) != len(questions):
        raise KernelError(f"no process could become user {user.uid} with group {user.gid}")
    return [_verdict(code) for code in codes]


def _verdict(code: int) -> bool | str:
    if code in (0, errno.EACCES):
        return code == 0
    return errno.errorcode.get(code, str(code))


def _answer_and_exit(user: User, questions: Sequence[Access], writer: int) -> None:
    """In the child: never returns, never runs the parent's clean-up."""
    try:
        os.setgroups(sorted(user.groups))
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
        libc = ctypes.CDLL(None, use_errno=True)
        answers = bytearray()
        for path, operation in questions:
            failed = libc.access(path, ACCESS_MODES[operation])
            answers += _ERRNO.pack(ctypes.get_errno() if failed else 0)
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(answers)
    except BaseException:  # noqa: BLE001 - a forked child may only leave through _exit
        os._exit(1)
    os._exit(0)
