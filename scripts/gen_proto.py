"""Generate src/grantlog/{api,event,ring,watch} from proto/.

Run it after every edit of a .proto file. `--check` writes nothing and fails if what is committed
differs from what would be generated. Needs the dev environment: grpcio-tools and mypy-protobuf
are pinned there, so the output is the same everywhere.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
SOURCE = ROOT / "src"
FOLDERS = ("grantlog/api/v1", "grantlog/event/v1", "grantlog/ring/v1", "grantlog/watch/v1")
SUFFIXES = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")
PACKAGE_DOC = '"""Generated from proto/{folder}; never edited."""\n'


def generated_files(folder: Path) -> dict[str, str]:
    """The generated files below a source root, by relative path."""
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for name in FOLDERS
        for path in sorted((folder / name).iterdir())
        if path.name.endswith(SUFFIXES) or path.name == "__init__.py"
    }


def generate(target: Path) -> None:
    """Write the generated packages below `target`, an existing folder."""
    protos = sorted(PROTO.rglob("*.proto"))
    services = [path for path in protos if path.name == "service.proto"]
    common = [f"-I{PROTO}", f"-I{sysconfig.get_paths()['purelib']}"]
    _protoc([*common, f"--python_out={target}", f"--mypy_out=quiet:{target}", *map(str, protos)])
    _protoc(
        [
            *common,
            f"--grpc_python_out={target}",
            f"--mypy_grpc_out=quiet:{target}",
            *map(str, services),
        ]
    )
    for folder in FOLDERS:
        text = PACKAGE_DOC.format(folder=folder)
        (target / folder / "__init__.py").write_text(text, encoding="utf-8")


def _protoc(arguments: list[str]) -> None:
    """Run the pinned protoc; its plugins lie beside this interpreter."""
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.defpath])
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", *arguments],
        check=True,
        env={"PATH": path},
    )


def stale_files() -> list[str]:
    """Generated files that are missing, left over or different from a fresh generation."""
    with tempfile.TemporaryDirectory() as name:
        target = Path(name)
        generate(target)
        fresh = generated_files(target)
    committed = generated_files(SOURCE)
    return sorted(
        path for path in fresh.keys() | committed.keys() if fresh.get(path) != committed.get(path)
    )


def main() -> int:
    """Generate, or with --check compare; the exit code tells."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    if not parser.parse_args().check:
        for path in generated_files(SOURCE):
            (SOURCE / path).unlink()
        generate(SOURCE)
        return 0
    stale = stale_files()
    for path in stale:
        print(f"stale: src/{path} (run scripts/gen_proto.py)")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
