"""Running the blocks of a track as one person would: one shell, one session, from top to bottom."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.pages.blocks import ROOT, Step

E2E = ROOT / "tests" / "e2e"
CLIENTS_PYTHON = ROOT / ".venv-clients" / "bin" / "python"
NODE_FOLDER = E2E / "node"
GRPCURL_FOLDER = E2E / "grpcurl" / "bin"
RUN_S_MAX = 120
MARK = "--- block "
_MESSAGE_ENDS = r"^}$|^\{.*}$|^data: "
"""The last line of a message: laid out by grpcurl, on one line, or as a server-sent event."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where blocks run: a server's ports, the folder of the files that they write, a Python."""

    rest_port: int
    grpc_port: int
    folder: Path
    python: Path
    """Of the environment that has grantlog."""
    permify: str = "permify:3476"
    """Where the server answers from which data is moved."""

    def aimed(self, text: str) -> str:
        """A block's text, its addresses and paths changed to those of this run."""
        text = re.sub(r"(localhost|127\.0\.0\.1):3476", f"127.0.0.1:{self.rest_port}", text)
        text = re.sub(r"(localhost|127\.0\.0\.1):3478", f"127.0.0.1:{self.grpc_port}", text)
        text = text.replace(".venv/bin/", f"{self.python.parent}/")
        text = text.replace(" examples/", f" {ROOT}/examples/")
        return text.replace("permify:3476", self.permify)


def missing(track: str) -> str:
    """What a track needs and is not here, "" if nothing is missing."""
    match track:
        case "curl" if shutil.which("curl") is None:
            return "curl is not installed"
        case "grpcurl" | "curl and grpcurl" if shutil.which("grpcurl", path=_path()) is None:
            return "grpcurl is neither built (make test builds it where Go is) nor on the PATH"
        case "python" if not CLIENTS_PYTHON.exists():
            return "the clients' environment is not installed (make test installs it)"
        case "node" if not (shutil.which("node") and (NODE_FOLDER / "node_modules").exists()):
            return "Node or its client is not installed (make test installs the client)"
    return ""


def run(track: str, steps: Sequence[Step], place: Place) -> list[str]:
    """What each step says, its errors included.

    Raises:
        AssertionError: the session ended before its last block.
    """
    session = {"python": _python, "python-grpc": _python, "node": _node}.get(track, _shell)
    script = place.folder / f"session-{track.replace(' ', '-')}"
    script.write_text(session(steps, place), encoding="utf-8")
    command = {
        "python": [str(CLIENTS_PYTHON), "-W", "ignore"],
        "python-grpc": [str(place.python)],
        "node": ["node"],
    }.get(track, ["bash"])
    with subprocess.Popen(
        [*command, str(script)], cwd=place.folder, env=_environment(place), start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        try:
            out, _ = process.communicate(timeout=RUN_S_MAX)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    said = re.split(rf"^{MARK}\d+\n", out, flags=re.MULTILINE)[1:]
    assert len(said) == len(steps) + 1, f"the session ended at its block {len(said)}: {out}"
    return said[:-1]


def _path() -> str:
    own = os.environ.get("PATH", "")  # noqa: TID251 - handed on to a child
    return f"{GRPCURL_FOLDER}{os.pathsep}{own}"


def _environment(place: Place) -> dict[str, str]:
    own = {k: v for k, v in os.environ.items() if not k.startswith("GRANTLOG_")}  # noqa: TID251
    return own | {
        "PATH": _path(),
        "GRANTLOG_GRPC_ADDRESS": f"127.0.0.1:{place.grpc_port}",
        "NODE_PATH": str(NODE_FOLDER / "node_modules"),
        "NO_COLOR": "1",
    }


def _shell(steps: Sequence[Step], place: Place) -> str:
    parts = []
    for number, step in enumerate(steps):
        text = place.aimed(step.block.text)
        if "stream" in step.block.info:
            text = _until_said(text, step)
        parts.append(f"echo '{MARK}{number}'\n{text}\necho\n")
    return "exec 2>&1\n" + "".join(parts) + f"echo '{MARK}{len(steps)}'\n"


def _until_said(text: str, step: Step) -> str:
    """A command that goes on until Ctrl-C, ended once it has said as much as the page shows."""
    assert step.answer, f"{step.block.place} shows no answer"
    count = len(re.findall(_MESSAGE_ENDS, step.answer.text, flags=re.MULTILINE))
    assert count, f"{step.answer.place} shows no message"
    return textwrap.dedent(f"""\
        : > stream.out
        (exec {text.strip()}) > stream.out 2> stream.err &
        until [ "$(grep -cE '{_MESSAGE_ENDS}' stream.out)" -ge {count} ]; do
          kill -0 $! 2> stream.none || break
          sleep 0.05
        done
        kill $!
        wait $! 2> stream.none
        cat stream.out
        """)


def _python(steps: Sequence[Step], place: Place) -> str:
    parts = [
        f"print('{MARK}{number}', flush=True)\n{place.aimed(step.block.text)}\n"
        for number, step in enumerate(steps)
    ]
    return "".join(parts) + f"print('{MARK}{len(steps)}', flush=True)\n"


def _node(steps: Sequence[Step], place: Place) -> str:
    parts = [
        f"console.log('{MARK}{number}');\n{place.aimed(step.block.text)}\n"
        for number, step in enumerate(steps)
    ]
    body = "".join(parts) + f"console.log('{MARK}{len(steps)}');\n"
    return f"(async () => {{\n{body}process.exit(0);\n}})();\n"
