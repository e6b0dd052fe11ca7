"""Set up what a make target needs: `install.py runtime|dev|clients|node|…|peer …`.

Only the standard library: nothing is installed yet. Each environment carries a mark with the hash
of what it was made from, so it is made again only when that changes; an environment for the tests
serves as well. What the tests can do without (clients, grpcurl, Kafka, the proxy), and what only a
benchmark asks (the peer), only warns.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
CLIENTS = ROOT / ".venv-clients"
DEPLOY = ROOT / ".venv-deploy"
PEER = ROOT / ".venv-peer"
NODE = ROOT / "tests" / "e2e" / "node"
LOCKS = ROOT / "locks"
RUNTIME_FILES = (LOCKS / "runtime.txt", ROOT / "pyproject.toml")
DEV_FILES = (*RUNTIME_FILES, LOCKS / "dev.txt")
CLIENTS_FILES = (LOCKS / "clients.txt",)
DEPLOY_FILES = (LOCKS / "deploy.txt",)
PEER_NODE = ROOT / "benchmarks" / "peer"
PEER_FILES = (LOCKS / "peer.txt", PEER_NODE / "package-lock.json")
NODE_FILES = (NODE / "package-lock.json",)
GRPCURL = ROOT / "tests" / "e2e" / "grpcurl"
GRPCURL_FILES = (GRPCURL / "go.mod", GRPCURL / "go.sum")
KAFKA = ROOT / ".make" / "kafka"
KAFKA_FILES = (ROOT / "scripts" / "kafka" / "pom.xml",)


class SetupError(Exception):
    """Why an environment could not be set up, in one line."""


def runtime() -> None:
    """`.venv` with what serving needs."""
    if not (stands(VENV, "dev", DEV_FILES) or stands(VENV, "runtime", RUNTIME_FILES)):
        install_project(LOCKS / "runtime.txt")
        mark(VENV, "runtime", RUNTIME_FILES)


def dev() -> None:
    """`.venv` with what tests and checks need."""
    if not stands(VENV, "dev", DEV_FILES):
        install_project(LOCKS / "dev.txt")
        mark(VENV, "dev", DEV_FILES)


def clients() -> None:
    """`.venv-clients` with the official Python client, which pins old versions of others."""
    if not stands(CLIENTS, "clients", CLIENTS_FILES):
        make_venv(CLIENTS)
        install_lock(CLIENTS, LOCKS / "clients.txt")
        mark(CLIENTS, "clients", CLIENTS_FILES)


def deploy() -> None:
    """`.venv-deploy` with the proxy that compose.yaml names, and the shapes of Kubernetes."""
    if not stands(DEPLOY, "deploy", DEPLOY_FILES):
        make_venv(DEPLOY)
        install_lock(DEPLOY, LOCKS / "deploy.txt")
        mark(DEPLOY, "deploy", DEPLOY_FILES)


def peer() -> None:
    """`.venv-peer` and its native library, for the benchmark's --peer; only run, never shipped."""
    npm = shutil.which("npm")
    if npm is None:
        raise SetupError("npm is not here")
    if not stands(PEER, "peer", PEER_FILES):
        make_venv(PEER)
        install_lock(PEER, LOCKS / "peer.txt")
        run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], PEER_NODE)
        mark(PEER, "peer", PEER_FILES)


def node() -> None:
    """`node_modules` with the official Node client, where Node is."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise SetupError("node or npm is not here")
    modules = NODE / "node_modules"
    if not stands(modules, "node", NODE_FILES):
        say(f"installing the Node client into {NODE.relative_to(ROOT)} (once)")
        run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], NODE)
        mark(modules, "node", NODE_FILES)


def grpcurl() -> None:
    """The gRPC command line client in `bin` beside its go.mod, built where Go is."""
    built = GRPCURL / "bin"
    if stands(built, "grpcurl", GRPCURL_FILES):
        return
    go = shutil.which("go")
    if go is None:
        if shutil.which("grpcurl") is not None:
            return
        raise SetupError("neither go nor grpcurl is here")
    say(f"building grpcurl into {built.relative_to(ROOT)} (once, a minute or two)")
    package = "github.com/fullstorydev/grpcurl/cmd/grpcurl"
    built.mkdir(exist_ok=True)
    run(
        [go, "build", "-mod=readonly", "-buildvcs=false", "-o", str(built / "grpcurl"), package],
        GRPCURL,
    )
    mark(built, "grpcurl", GRPCURL_FILES)


def kafka() -> None:
    """`.make/kafka/lib` with Apache Kafka's server, where Java and Maven are."""
    fetched = stands(KAFKA, "kafka", KAFKA_FILES)
    mvn = shutil.which("mvn") or ""
    lacking = [] if shutil.which("java") else ["java (17 or newer)"]
    if not (mvn or fetched):
        lacking.append("mvn (Apache Maven, which fetches Kafka)")
    if lacking:
        raise SetupError(f"there is no {' and no '.join(lacking)} on the PATH")
    if not fetched:
        say(f"fetching Apache Kafka into {KAFKA.relative_to(ROOT)} (once)")
        shutil.rmtree(KAFKA / "lib", ignore_errors=True)
        KAFKA.mkdir(parents=True, exist_ok=True)
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={KAFKA / 'lib'}"]
        run([mvn, "-B", "-q", "-ntp", "-f", str(KAFKA_FILES[0]), *goal], ROOT)
        mark(KAFKA, "kafka", KAFKA_FILES)


REQUIRED = {"runtime": runtime, "dev": dev}
OPTIONAL = {"clients": clients, "node": node, "grpcurl": grpcurl, "kafka": kafka, "deploy": deploy,
            "peer": peer}  # fmt: skip


def install_project(lock: Path) -> None:
    """A venv with a lock's packages, and this checkout in it."""
    make_venv(VENV)
    install_lock(VENV, lock)
    run([*pip(VENV), "--no-deps", "--no-build-isolation", "-e", str(ROOT)], ROOT)


def install_lock(venv: Path, lock: Path) -> None:
    """Install exactly what a lock says, from wheels only."""
    say(f"installing {lock.relative_to(ROOT)} into {venv.name} (once)")
    try:
        run([*pip(venv), "--require-hashes", "--only-binary", ":all:", "-r", str(lock)], ROOT)
    except SetupError:
        raise SetupError(
            f"pip could not install {lock.relative_to(ROOT)}; its lines above say whether the "
            f"index did not answer or a wheel is missing for this platform "
            f"({platform.system()} {platform.machine()}, Python {platform.python_version()})"
        ) from None


def make_venv(venv: Path) -> None:
    """A virtual environment of this Python; one of another Python, or a broken one, is replaced."""
    python = venv / "bin" / "python"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    show = "import sys; print('%d.%d' % sys.version_info[:2])"
    if python.exists():
        shown = subprocess.run([python, "-c", show], capture_output=True, text=True, check=False)
        if shown.stdout.strip() == version:
            return
    if find_spec("ensurepip") is None or find_spec("venv") is None:
        raise SetupError(
            f"{sys.executable} has no venv or no pip; on Debian: apt-get install python3-venv"
        )
    run([sys.executable, "-m", "venv", "--clear", str(venv)], ROOT)


def pip(venv: Path) -> list[str]:
    """The beginning of an install command."""
    python = str(venv / "bin" / "python")
    return [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]


def run(command: Sequence[str], folder: Path) -> None:
    """Run a command whose output is for the user."""
    environment = {**os.environ, "PIP_ROOT_USER_ACTION": "ignore"}  # noqa: TID251 - passed on
    if subprocess.run(command, cwd=folder, env=environment, check=False).returncode != 0:
        raise SetupError(f"{' '.join(command[:4])} failed, its lines above say why")


def digest(files: Sequence[Path]) -> str:
    """What an environment is made from: these files, and where the checkout lies."""
    total = hashlib.sha256(bytes(ROOT))
    for file in files:
        total.update(file.read_bytes() + b"\0")
    return total.hexdigest()


def stands(folder: Path, name: str, files: Sequence[Path]) -> bool:
    """Whether an environment was made from exactly this."""
    note = folder / f".made-for-{name}"
    return note.exists() and note.read_text() == digest(files)


def mark(folder: Path, name: str, files: Sequence[Path]) -> None:
    """Note what an environment was made from; earlier notes are not true any more."""
    for note in folder.glob(".made-for-*"):
        note.unlink()
    (folder / f".made-for-{name}").write_text(digest(files))


def say(text: str) -> None:
    """Tell the user what happens."""
    sys.stderr.write(f"grantlog: {text}\n")
    sys.stderr.flush()


def main(names: Sequence[str]) -> int:
    """Set environments up, one set-up at a time in a checkout; behind `--must`, all or nothing."""
    must = "--must" in names
    notes = ROOT / ".make"
    notes.mkdir(exist_ok=True)
    with (notes / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in [name for name in names if name != "--must"]:
            try:
                (REQUIRED | OPTIONAL)[name]()
            except (SetupError, OSError) as error:
                if must or name in REQUIRED:
                    say(str(error))
                    return 1
                say(f"{error}: tests that need the {name} environment will not run")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)
