"""What a service's process is set up with."""

from __future__ import annotations

import subprocess
import sys


def test_what_a_service_loaded_is_not_looked_at_by_the_collector_again() -> None:
    program = """
import gc
from grantlog.runtime.service import COLLECT_AT, collect_rarely
loaded = len(gc.get_objects())
collect_rarely()
assert gc.get_freeze_count() > 0.9 * loaded, (gc.get_freeze_count(), loaded)
assert gc.get_threshold() == COLLECT_AT
assert gc.isenabled()
"""
    subprocess.run([sys.executable, "-c", program], check=True)
