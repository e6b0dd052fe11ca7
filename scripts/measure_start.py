"""How long `grantlog serve` takes to be ready: first start, and again with yesterday's data.

Prints a table. Run it on an idle machine: `.venv/bin/python scripts/measure_start.py`.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GRANTLOG = Path(sys.executable).with_name("grantlog")
STARTS = ("first", "second", "third")


def ready_s(data: Path, flags: list[str]) -> float:
    """Seconds from the command to its line that says it serves; it is stopped then."""
    command = [GRANTLOG, "serve", "--http-port", "0", "--grpc-port", "0", "--data-dir", data]
    begun = time.perf_counter()
    with subprocess.Popen([*command, *flags], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if "serving" not in process.stdout.readline():
            sys.exit("it did not start")
        took = time.perf_counter() - begun
        process.send_signal(signal.SIGINT)
    return took


def main() -> None:
    """Measure both ways of reading."""
    print(f"{'start':<8}{'own tables':>12}{'replica':>12}")
    with tempfile.TemporaryDirectory(prefix="grantlog-start-", dir="/tmp") as folder:
        for start in STARTS:
            own = ready_s(Path(folder, "own"), [])
            replica = ready_s(Path(folder, "replica"), ["--with-replica"])
            print(f"{start:<8}{own:>10.2f} s{replica:>10.2f} s")


if __name__ == "__main__":
    main()
