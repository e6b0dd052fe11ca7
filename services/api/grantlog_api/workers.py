"""One API node as several processes: each serves both ports, one supervises them.

The one that supervises also reads the topic, if there is any, for all of them.

Each worker is a whole node to the database: it has its caches, and its share of the node's
connections. The kernel hands each new connection to one of them. ADR 0026.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from random import SystemRandom
from typing import Final

from grantlog.runtime.processes import ServiceProcess, keep_running, service_process
from grantlog.runtime.settings import ENV_PREFIX, inherited_environment, own_settings
from grantlog.runtime.supervise import Job, supervise
from grantlog.serving.ports import GRPC_PORT, HTTP_PORT
from grantlog_api.listening import kept
from grantlog_api.settings import DRAIN_EXTRA_S, ApiSettings

_CONNECTIONS: Final = {
    "read_connections_max": 1,
    "list_connections_max": 1,
    "write_connections_max": 1,
    "lookup_connections_max": 1,
    "fallback_connections_max": 1,
    "watch_connections_max": 2,
}
"""What the workers divide among them, and how many each needs at least."""


async def serve_with_workers(settings: ApiSettings) -> None:
    """Keep the workers running until SIGTERM; then all of them drain at once.

    A worker that ends by itself is started again; the others serve meanwhile.

    Raises:
        PreconditionError: a port is taken, or the workers refuse their settings.
    """
    stop = asyncio.Event()
    grace_s = settings.linger_s + settings.drain_s_max + DRAIN_EXTRA_S
    environment = inherited_environment(without=own_settings())
    with ExitStack() as ports:
        http = ports.enter_context(kept(settings.host, settings.http_port, HTTP_PORT))
        grpc = ports.enter_context(kept(settings.host, settings.grpc_port, GRPC_PORT))
        shared = {"http_port": str(http), "grpc_port": str(grpc), "share_ports": "true"}
        async with AsyncExitStack() as stack:
            processes = [
                await stack.enter_async_context(
                    service_process("api", environment, None, grace_s=grace_s)
                )
                for _ in range(settings.workers)
            ]
            shared |= await stack.enter_async_context(_shared_topic(settings))
            jobs: dict[str, Job] = {}
            for number, process in enumerate(processes):
                told = own_settings() | _variables(shared | worker_settings(settings, number))
                jobs[f"worker {number}"] = _kept_running(process, told, environment, stop, grace_s)
            await supervise(jobs, stop=stop, grace_s=2 * grace_s)


@asynccontextmanager
async def _shared_topic(settings: ApiSettings) -> AsyncGenerator[dict[str, str]]:
    """Read the topic once for all workers, for the block; what they are told of it. ADR 0032.

    Raises:
        PreconditionError: it is not the log's topic, or there is no place for a socket.
    """
    if not follows_topic(settings):
        yield {}
        return
    from grantlog.runtime import kafka  # noqa: PLC0415 - its client takes time to load

    dsn = settings.database_url.get_secret_value()
    async with kafka.share_topic(dsn, settings) as path:
        yield {"kafka_reader_socket": str(path)}


def follows_topic(settings: ApiSettings) -> bool:
    """Whether a process of this node has anything that follows the topic: caches or watchers."""
    follows = settings.result_cache_mb or settings.relation_cache_mb or not settings.watch_addresses
    return bool(settings.kafka_bootstrap and follows)


def worker_settings(settings: ApiSettings, number: int) -> dict[str, str]:
    """What one of several workers is told beside the node's own settings.

    Its number, its share of the connections, a port of its own in the ring; and the first alone
    publishes, as one of them is enough: when its process ends, the next one takes its place, or
    another node does.
    """
    told = {"workers": "1", "worker": str(number)}
    for name, least in _CONNECTIONS.items():
        share = -(-getattr(settings, name) // settings.workers)
        told[name] = str(max(least, share))
    if settings.ring != "off" and settings.ring_port:
        told["ring_port"] = str(settings.ring_port + number)
    if number > 0:
        told["kafka_publish"] = "false"
    return told


def _variables(told: Mapping[str, str]) -> dict[str, str]:
    return {f"{ENV_PREFIX}{name.upper()}": value for name, value in told.items()}


def _kept_running(
    process: ServiceProcess,
    told: Mapping[str, str],
    environment: Mapping[str, str],
    stop: asyncio.Event,
    grace_s: float,
) -> Job:
    async def run() -> None:
        process.begin(told)
        try:
            await keep_running(
                process,
                settings=told,
                environment=environment,
                run_folder=None,
                stop=stop,
                grace_s=grace_s,
                rng=SystemRandom(),
            )
        finally:
            await process.end(grace_s)

    return run
