"""Before a Postgres runs: who it runs as, which folder its socket gets, what ran there before."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import stat
import tempfile
from collections.abc import Generator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Final, TypedDict

from grantlog.errors import PreconditionError, UnavailableError
from grantlog.runtime.os_process import command_of, running_in

OWN_USER: Final = "grantlog"
UNPRIVILEGED_UID: Final = 65534
SOCKET_BYTES_MAX: Final = 107
"""A unix socket's path may not be longer."""

PORT: Final = 5432
"""Only names the socket file: nothing listens on TCP."""

_POLL_S: Final = 0.01
_PREDECESSOR_S_MAX: Final = 10.0
_ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def server_uid(cluster: Path) -> int:
    """Who the server runs as: we, or as root the cluster's owner, else `grantlog`, else nobody.

    Whoever else runs as that user may read and change the data: `nobody` is shared by other
    daemons, so a machine that has them should have a user of its own for this.
    """
    ours = os.geteuid()
    if ours != 0:
        return ours
    try:
        owner = cluster.stat().st_uid
    except FileNotFoundError:
        owner = 0
    uid = owner or _own_uid()
    try:
        pwd.getpwuid(uid)
    except KeyError as error:
        raise PreconditionError(
            f"Postgres does not run as root and this machine has no user with uid {uid} to run "
            "it as: run grantlog as an ordinary user, or give --database-url"
        ) from error
    return uid


def _own_uid() -> int:
    try:
        return pwd.getpwnam(OWN_USER).pw_uid
    except KeyError:
        return UNPRIVILEGED_UID


class RunAs(TypedDict, total=False):
    """Arguments of a subprocess: where it runs, and as whom."""

    cwd: Path
    env: Mapping[str, str]
    user: int
    group: int
    extra_groups: list[int]


def run_as(uid: int, folder: Path) -> RunAs:
    """Arguments for a program that runs in `folder` as `uid`, without our environment."""
    if uid == os.geteuid():
        return {"cwd": folder, "env": _ENVIRONMENT}
    group = pwd.getpwuid(uid).pw_gid
    return {"cwd": folder, "env": _ENVIRONMENT, "user": uid, "group": group, "extra_groups": []}


def give(path: Path, uid: int) -> None:
    """Make `uid` the owner of a file or folder."""
    if uid != os.geteuid():
        os.chown(path, uid, pwd.getpwuid(uid).pw_gid)


@contextlib.contextmanager
def socket_folder(data: Path, uid: int, parent: Path | None) -> Generator[Path]:
    """A short folder for the socket, the server's alone; the same at every start if possible."""
    mark = blake2b(os.fsencode(data), digest_size=6).hexdigest()
    parent = parent or Path("/tmp")  # noqa: S108 - the folder is checked to be ours, and closed
    folder = parent / f"grantlog-{mark}"
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid not in {uid, os.geteuid()}:
            folder = Path(tempfile.mkdtemp(prefix="grantlog-", dir=parent))  # somebody took it
    folder.chmod(0o700)
    give(folder, uid)
    if len(os.fsencode(folder / f".s.PGSQL.{PORT}")) > SOCKET_BYTES_MAX:
        folder.rmdir()
        raise PreconditionError(f"the folder {parent} is too long for a socket")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def stop_predecessor(cluster: Path) -> None:
    """End the server that runs over a cluster, if any, and only that.

    A pid file alone proves nothing: its number may be somebody else's by now.

    Raises:
        UnavailableError: it does not end.
    """
    # SIGINT aborts transactions and writes a checkpoint, SIGQUIT leaves recovery to the next
    # start. A dead server's children are not reached by the first and end by themselves or by it.
    for signum in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        pids = _predecessors(cluster)
        main = _pid_in_file(cluster)
        for pid in [main] if signum == signal.SIGINT and main in pids else pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PREDECESSOR_S_MAX):
                while _predecessors(cluster):  # noqa: ASYNC110 - the kernel tells nobody but parents
                    await asyncio.sleep(_POLL_S)
            break
    else:
        raise UnavailableError(f"a Postgres that runs over {cluster} does not end")
    # Nothing runs over the data, so this file is a dead server's. Postgres would respect it if
    # its number now belonged to another process.
    (cluster / "postmaster.pid").unlink(missing_ok=True)


def _predecessors(cluster: Path) -> list[int]:
    if Path("/proc").is_dir():
        return running_in(cluster, "postgres")
    pid = _pid_in_file(cluster)
    command = command_of(pid) if pid else ""
    return [pid] if "postgres" in command and str(cluster) in command else []


def _pid_in_file(cluster: Path) -> int:
    try:
        return int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return 0
