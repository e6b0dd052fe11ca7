"""`grantlog-api`: the API service's process. Settings come from GRANTLOG_* variables."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Final

import structlog
from grpc.aio import Server

from grantlog.runtime.logging import configure_logging
from grantlog.runtime.service import COLLECT_SHORTLY_AT, run_service
from grantlog.runtime.settings import read_settings
from grantlog.runtime.supervise import supervise
from grantlog.serving import grpc_door
from grantlog.serving.ports import HTTP_PORT, address
from grantlog_api import rest_door
from grantlog_api.listening import listen
from grantlog_api.settings import DRAIN_EXTRA_S, ApiSettings
from grantlog_api.wiring import Api, open_api, publishing
from grantlog_api.workers import serve_with_workers

_LOG: Final = structlog.get_logger("grantlog.api")

_THREADS: Final = 16
"""For work that leaves the event loop."""

_DOORS: Final = 2
"""gRPC and REST."""


async def main(settings: ApiSettings) -> None:
    """Serve both doors until SIGTERM; running calls end first, pools close last.

    Raises:
        GrantlogError: it could not start; the text says why.
    """
    configure_logging("api", settings.log_level)
    if settings.workers > 1:
        await serve_with_workers(settings)
    else:
        await _serve(settings)


async def _serve(settings: ApiSettings) -> None:
    drain = settings.drain_s_max
    stop = asyncio.Event()
    _use_threads()
    with listen(
        settings.host, settings.http_port, HTTP_PORT, shared=settings.share_ports
    ) as listener:
        async with open_api(settings) as api:
            server, grpc_port = _bound_grpc(settings, api)
            started = _told_when_open(settings, listener.getsockname()[1], grpc_port)
            app = rest_door.build_app(
                api.calls,
                api.probe,
                allowed_origins=settings.cors_allowed_origins,
                stall_s_max=settings.stream_stall_s_max,
                metrics=api.metrics,
            )
            leaving = asyncio.Event()

            async def leave() -> None:
                await stop.wait()
                api.probe.drain()
                await asyncio.sleep(settings.linger_s)
                api.watches.close()
                leaving.set()

            await supervise(
                publishing(settings, stop)
                | {
                    "leave": leave,
                    "grpc": lambda: grpc_door.serve(
                        server, leaving, drain_s_max=drain, started=started
                    ),
                    "rest": lambda: rest_door.serve(
                        app, listener, leaving, drain_s_max=drain, started=started
                    ),
                },
                stop=stop,
                grace_s=settings.linger_s + drain + DRAIN_EXTRA_S,
            )


def _use_threads() -> None:
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="work")
    asyncio.get_running_loop().set_default_executor(threads)


def _bound_grpc(settings: ApiSettings, api: Api) -> tuple[Server, int]:
    """The server of gRPC, bound and not started, and its port."""
    shared = settings.share_ports
    server = grpc_door.build_server(settings.grpc_server, share_port=shared)
    grpc_door.add_services(server, api.calls, api.probe, stall_s_max=settings.stream_stall_s_max)
    return server, grpc_door.bind(server, settings.host, settings.grpc_port, shared=shared)


def _told_when_open(settings: ApiSettings, http_port: int, grpc_port: int) -> Callable[[], None]:
    """To be called by each of both doors as it opens; the second one has it logged."""
    opened = count(1)

    def started() -> None:
        if next(opened) == _DOORS:
            _LOG.info(
                "listening",
                rest=f"http://{address(settings.host, http_port)}",
                grpc=address(settings.host, grpc_port),
                **({"worker": settings.worker} if settings.worker else {}),
            )

    return started


def run() -> None:
    """Run the service and exit with its code."""
    configure_logging("api")
    sys.exit(run_service(lambda: main(read_settings(ApiSettings)), collect_at=COLLECT_SHORTLY_AT))


if __name__ == "__main__":
    run()
