"""`grantlog-projector`: the process that follows the log. Settings come from GRANTLOG_*."""

from __future__ import annotations

import asyncio
import sys

from grantlog.runtime.logging import configure_logging
from grantlog.runtime.service import run_service
from grantlog.runtime.settings import read_settings
from grantlog.runtime.supervise import supervise
from grantlog_projector.settings import ProjectorSettings
from grantlog_projector.wiring import jobs


async def main(settings: ProjectorSettings) -> None:
    """Follow until SIGTERM; the slice in hand is finished first.

    Raises:
        GrantlogError: it could not work; the text says why.
    """
    configure_logging("projector", settings.log_level)
    stop = asyncio.Event()
    await supervise(jobs(settings, stop), stop=stop, grace_s=settings.drain_s_max)


def run() -> None:
    """Run the service and exit with its code."""
    configure_logging("projector")
    sys.exit(run_service(lambda: main(read_settings(ProjectorSettings))))


if __name__ == "__main__":
    run()
