"""`grantlog-api`: the API service's process. Settings come from GRANTLOG_* variables."""

from __future__ import annotations

import asyncio
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

from grantlog.errors import PreconditionError
from grantlog.runtime.logging import configure_logging
from grantlog.runtime.service import run_service
from grantlog.runtime.settings import read_settings
from grantlog.runtime.supervise import supervise
from grantlog.serving import grpc_door
from grantlog_api import rest_door
from grantlog_api.settings import ApiSettings
from grantlog_api.wiring import open_api, publishing

_THREADS = 16
"""For work that leaves the event loop."""

_GRACE_EXTRA_S = 2.0
"""Beyond the doors' own drain, before jobs are cancelled."""


async def main(settings: ApiSettings) -> None:
    """Serve both doors until SIGTERM; running calls end first, pools close last.

    Raises:
        GrantlogError: it could not start; the text says why.
    """
    configure_logging("api", settings.log_level)
    stop = asyncio.Event()
    # A blocked reader of a stream holds a thread of the native gRPC server's (it is the loop's own
    # pool): all of them together must not keep schemas from being compiled.
    threads = ThreadPoolExecutor(settings.streams_max + _THREADS, thread_name_prefix="work")
    asyncio.get_running_loop().set_default_executor(threads)
    with _bound(settings.host, settings.http_port, "--http-port") as listener:
        async with open_api(settings) as api:
            server = grpc_door.build_server(settings.grpc_server)
            stall_s_max = settings.stream_stall_s_max
            grpc_door.add_services(server, api.calls, api.probe, stall_s_max=stall_s_max)
            grpc_door.bind(server, settings.host, settings.grpc_port)
            app = rest_door.build_app(
                api.calls,
                api.probe,
                allowed_origins=settings.cors_allowed_origins,
                stall_s_max=stall_s_max,
                metrics=api.metrics,
            )
            drain = settings.drain_s_max
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
                    "grpc": lambda: grpc_door.serve(server, leaving, drain_s_max=drain),
                    "rest": lambda: rest_door.serve(app, listener, leaving, drain_s_max=drain),
                },
                stop=stop,
                grace_s=settings.linger_s + drain + _GRACE_EXTRA_S,
            )


def _bound(host: str, port: int, flag: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
        listener.setblocking(False)  # noqa: FBT003 - the socket module's own signature
    except OSError as error:
        listener.close()
        raise PreconditionError(
            f"cannot listen on {host} port {port} ({error.strerror}); choose another with {flag}"
        ) from error
    return listener


def run() -> None:
    """Run the service and exit with its code."""
    configure_logging("api")
    sys.exit(run_service(lambda: main(read_settings(ApiSettings))))


if __name__ == "__main__":
    run()
