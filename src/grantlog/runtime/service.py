"""A service's process: `python -m grantlog.runtime.service NAME`, and how its `run()` is made.

Started by a supervisor, it loads the service's code at once but begins only when its settings
arrive on standard input, one JSON object of environment variables: imports and the start of the
database happen side by side, and no password stands in a process's initial environment.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from collections.abc import Callable, Coroutine
from importlib.metadata import entry_points
from typing import Any, Final

import structlog
import uvloop

from grantlog.errors import GrantlogError, PreconditionError
from grantlog.runtime.settings import INVALID_SETTING

GROUP: Final = "grantlog.services"
EXIT_FAILED: Final = 1
"""The service could not do its work and said why in one line."""
EXIT_SETTINGS: Final = 2
"""A setting is wrong: starting it again will not help."""
EXIT_DEFECT: Final = 70
"""Something that should not happen: a traceback is in the log."""

COLLECT_AT: Final = (20_000, 20, 100)
"""New objects between looks at them, then looks between looks at those that stayed, twice."""

COLLECT_SHORTLY_AT: Final = (5_000, 2, 2_800)
"""The same, where calls wait for a look and caches keep what is new.

Twenty looks at 20,000 new objects are followed by one at all that stayed of them, which took 30 ms
and more while a cache filled. So no look takes more than 4 ms, all together take 0.6 us of a check
whose answer is kept, and whole looks are as rare. Decoding the log would take 4 % longer.
"""

_LOG: Final = structlog.get_logger("grantlog.service")


def find_service(name: str) -> Callable[[], None]:
    """The `run` function of an installed service.

    Raises:
        PreconditionError: no installed package brings that service.
    """
    points = entry_points(group=GROUP)
    for point in points.select(name=name):
        loaded: Callable[[], None] = point.load()
        return loaded
    installed = ", ".join(sorted(points.names))
    raise PreconditionError(f"there is no service {name!r}; there are: {installed or 'none'}")


def run_service(
    main: Callable[[], Coroutine[Any, Any, None]],
    *,
    collect_at: tuple[int, int, int] = COLLECT_AT,
) -> int:
    """Run a service's main coroutine to its end; its exit code. Errors are told in one line."""
    collect_rarely(collect_at)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
    except GrantlogError as error:
        _LOG.error("service ended", reason=error.reason, because=error.explanation)
        return EXIT_SETTINGS if error.reason == INVALID_SETTING else EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_FAILED
    except Exception:  # noqa: BLE001 - the last line of the process, told with its traceback
        _LOG.exception("service ended by a defect")
        return EXIT_DEFECT
    return 0


def collect_rarely(collect_at: tuple[int, int, int] = COLLECT_AT) -> None:
    """The collector of cycles leaves what is loaded alone, and looks at the rest less often.

    A full look at a service's modules holds every call up for 30 to 100 ms. Cycles are few here:
    reference counts free nearly everything at once.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*collect_at)


def _main(name: str) -> None:
    run = find_service(name)
    line = sys.stdin.readline()
    if not line:  # the supervisor changed its mind, or died
        sys.exit(EXIT_FAILED)
    os.environ.update(json.loads(line))  # noqa: TID251 - these are the settings, arriving
    run()


if __name__ == "__main__":
    _main(sys.argv[1])
