"""`grantlog-watch`: the watch service's process. Settings come from GRANTLOG_* variables."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from grantlog.runtime.logging import configure_logging
from grantlog.runtime.service import run_service
from grantlog.runtime.settings import read_settings
from grantlog.runtime.supervise import supervise
from grantlog.serving import grpc_door
from grantlog.serving.ports import address
from grantlog.serving.watch_message import RELAYED_BYTES_MAX
from grantlog.serving.watching import METHOD
from grantlog.watch.v1.service_pb2_grpc import add_RelayServicer_to_server
from grantlog.wire.transcode import ROUTES
from grantlog_watch.settings import WatchServiceSettings
from grantlog_watch.wiring import open_service

_LOG: Final = structlog.get_logger("grantlog.watch")

_THREADS: Final = 4
"""For large revisions, which become messages beside the event loop."""

_GRACE_EXTRA_S: Final = 2.0
"""Beyond the door's own drain, before jobs are cancelled."""


async def main(settings: WatchServiceSettings) -> None:
    """Serve until SIGTERM; every watcher is told where to go on, then the door closes.

    Raises:
        GrantlogError: it could not start; the text says why.
    """
    configure_logging("watch", settings.log_level)
    stop = asyncio.Event()
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="work")
    asyncio.get_running_loop().set_default_executor(threads)
    async with open_service(settings) as service:
        # grpcio's own server: a message that its reader leaves unread holds no thread.
        server = grpc_door.build_server("grpcio", send_bytes_max=RELAYED_BYTES_MAX)
        grpc_door.add_services(
            server,
            service.calls,
            service.probe,
            stall_s_max=settings.stream_stall_s_max,
            routes=[route for route in ROUTES if route.full_method == METHOD],
        )
        add_RelayServicer_to_server(service.relay, server)
        port = grpc_door.bind(server, settings.host, settings.grpc_port)

        def started() -> None:
            _LOG.info("listening", grpc=address(settings.host, port))

        async def drain() -> None:
            await stop.wait()
            service.probe.drain()
            service.relay.close()
            service.watches.close()

        await supervise(
            {
                "drain": drain,
                "grpc": lambda: grpc_door.serve(
                    server, stop, drain_s_max=settings.drain_s_max, started=started
                ),
            },
            stop=stop,
            grace_s=settings.drain_s_max + _GRACE_EXTRA_S,
        )


def run() -> None:
    """Run the service and exit with its code."""
    configure_logging("watch")
    sys.exit(run_service(lambda: main(read_settings(WatchServiceSettings))))


if __name__ == "__main__":
    run()
