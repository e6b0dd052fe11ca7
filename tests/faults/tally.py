"""What the faults tier did, for the lines at its end."""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter
from pathlib import Path

_SEED = "GRANTLOG_TEST_FAULTS_SEED"
_ROUNDS = "GRANTLOG_TEST_FAULTS_ROUNDS"

SEED = os.environ.get(_SEED) or secrets.token_hex(4)  # noqa: TID251 - the run's own setting
"""Of everything that the tier chooses; `GRANTLOG_TEST_FAULTS_SEED` names one again."""
ROUNDS = int(os.environ.get(_ROUNDS) or 5)  # noqa: TID251 - the run's own setting
_kept = os.environ.get("GRANTLOG_TEST_FAULTS_KEEP")  # noqa: TID251 - the run's own setting
KEEP = Path(_kept) if _kept else None
"""A folder for the logs of all processes, to look at after a failure."""

FAULTS: Counter[str] = Counter()
"""By `what whom`."""
CALLS: Counter[str] = Counter()
STARTED = time.monotonic()


def lines() -> list[str]:
    """What is said at the end of a run."""
    kinds: Counter[str] = Counter()
    for name, count in FAULTS.items():
        what, _, whom = name.partition(" ")
        kinds[f"{what} {whom if '>' not in whom else 'link'}"] += count
    return [
        f"{FAULTS.total()} faults in {time.monotonic() - STARTED:.0f} s, {_SEED}={SEED}",
        ", ".join(f"{name} {count}" for name, count in sorted(kinds.items())),
        ", ".join(f"{name} {count}" for name, count in sorted(CALLS.items())),
    ]
