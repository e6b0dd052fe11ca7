#!/usr/bin/env python3
"""The whole demonstration against a running server: export, write the schema, import, verify."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from posixfs.ending import EXIT_INTERRUPTED
from posixfs.kernel import why_not
from posixfs.planted import MISTAKES, plant
from posixfs.server import Server, ServerError

_HERE: Final = Path(__file__).resolve().parent


class StepError(Exception):
    """A step failed; it has said why itself."""


def main() -> int:
    """Exit status: 0 no difference, 1 differences, 2 not run, 130 interrupted."""
    options = _options()
    reason = why_not()
    if reason:
        print(f"demo: not run: {reason}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="grantlog-posix-") as folder:
        scratch = Path(folder)
        scratch.chmod(0o755)
        try:
            return _run(options, scratch)
        except (ServerError, OSError, StepError) as error:
            print(f"demo: not run: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("demo: interrupted", file=sys.stderr)
            return EXIT_INTERRUPTED


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", nargs="?", default="/usr", help="the tree to ask about")
    parser.add_argument(
        "--generated", type=int, metavar="N", help="make a tree of N entries instead"
    )
    parser.add_argument("--planted", choices=sorted(MISTAKES), help="use a wrong schema")
    parser.add_argument("--url", default="http://127.0.0.1:3476", help="REST address")
    parser.add_argument("--grpc-address", default="127.0.0.1:3478")
    parser.add_argument("--tenant", default="posix", help="deleted first, with what it holds")
    parser.add_argument("--questions", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def _run(options: argparse.Namespace, scratch: Path) -> int:
    Server(options.url, options.tenant).forget()
    accounts: list[str] = []
    root = options.root
    if options.generated:
        base = scratch / "generated"
        sized = [f"--entries={options.generated}", f"--seed={options.seed}"]
        _step("generate.py", str(base), *sized)
        root, accounts = str(base / "tree"), _accounts(base)
    schema = (_HERE / "schema.perm").read_text(encoding="utf-8")
    if options.planted:
        schema = plant(schema, options.planted)
    (scratch / "schema.perm").write_text(schema, encoding="utf-8")
    _step("export.py", root, *accounts, f"--output={scratch / 'facts'}")
    server = [f"--grpc-address={options.grpc_address}", f"--tenant={options.tenant}"]
    version = _grantlog("schema", "write", str(scratch / "schema.perm"), *server)
    print(f"schema version {version.strip()}", flush=True)
    print(_grantlog("data", "import", str(scratch / "facts"), *server), end="", flush=True)
    verify = [f"--url={options.url}", f"--tenant={options.tenant}", f"--seed={options.seed}"]
    return _script("verify.py", root, *accounts, f"--questions={options.questions}", *verify)


def _accounts(base: Path) -> list[str]:
    return [f"--passwd={base / 'passwd'}", f"--group={base / 'group'}"]


def _step(script: str, *arguments: str) -> None:
    if _script(script, *arguments) != 0:
        raise StepError(f"{script} failed")


def _script(script: str, *arguments: str) -> int:
    return subprocess.run([sys.executable, _HERE / script, *arguments], check=False).returncode


def _grantlog(*arguments: str) -> str:
    """What grantlog's own command prints: the one of this checkout, or the installed one."""
    own = _HERE.parents[1] / ".venv" / "bin" / "grantlog"
    command = str(own) if own.exists() else shutil.which("grantlog")
    if command is None:
        raise StepError("there is no grantlog command: run `make serve` first")
    done = subprocess.run([command, *arguments], check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise StepError(f"grantlog {' '.join(arguments[:2])} failed")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
