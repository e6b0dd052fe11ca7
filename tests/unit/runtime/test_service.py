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


def test_no_look_at_young_objects_grows_with_what_a_cache_has_taken_in_meanwhile() -> None:
    program = """
import gc
from grantlog.cache.shelf import Shelf
from grantlog.runtime.service import COLLECT_SHORTLY_AT, collect_rarely
collect_rarely(COLLECT_SHORTLY_AT)
seen = {0: 0, 1: 0}
def note(phase, info):
    generation = info["generation"]
    if phase == "start" and generation < 2:
        young = sum(len(gc.get_objects(each)) for each in range(generation + 1))
        seen[generation] = max(seen[generation], young)
gc.callbacks.append(note)
shelf = Shelf(2**30)
for number in range(300_000):
    shelf.put(number, "value", 1, (number,), 100)
assert 0 < seen[0] <= 7_000, seen
assert seen[0] < seen[1] <= 20_000, seen
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_api_has_the_collector_look_at_little_at_a_time() -> None:
    program = """
import gc
import sys
from grantlog.runtime import service
from grantlog.runtime.service import COLLECT_SHORTLY_AT
from grantlog_api import __main__ as api
async def nothing(settings):
    assert gc.get_threshold() == COLLECT_SHORTLY_AT, gc.get_threshold()
api.main, api.read_settings = nothing, lambda settings: None
api.run()
"""
    subprocess.run([sys.executable, "-c", program], check=True)
