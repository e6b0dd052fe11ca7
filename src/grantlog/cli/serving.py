"""What `grantlog serve` does: databases, services, and the order in which they begin and end.

Begin: data directory, ports, service processes (loading), Postgres, migrations, services.
End: the API drains, then the follower, then Postgres.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import SystemRandom
from typing import Final, Literal

import structlog

from grantlog.cli.databases import PRIMARY, REPLICA, Databases, ensure_database, served_cluster
from grantlog.cli.ports import free_port
from grantlog.errors import InvalidInputError, UnavailableError
from grantlog.runtime.data_dir import claimed
from grantlog.runtime.embedded import EmbeddedPostgres
from grantlog.runtime.health import health_of
from grantlog.runtime.logging import LogLevel
from grantlog.runtime.processes import (
    ServiceProcess,
    end_orphans,
    keep_running,
    service_process,
    watch,
)
from grantlog.runtime.settings import inherited_environment
from grantlog.runtime.supervise import run_jobs, supervise
from grantlog.serving.ports import address
from grantlog.store.postgres.lives import is_standby
from grantlog.store.postgres.migrate import migrate
from grantlog.waiting import set_within

API: Final = "api"
FOLLOWER: Final = "projector"
API_GRACE_S: Final = 15.0
FOLLOWER_GRACE_S: Final = 10.0
_GRACE_S: Final = 60.0
"""For all of it together; Postgres writes a checkpoint last."""
_READY_POLL_S: Final = 0.03
_READY_REMINDER_S: Final = 10.0

_TOLD: Final = (
    "GRANTLOG_DATABASE_URL",
    "GRANTLOG_REPLICA_URL",
    "GRANTLOG_HOST",
    "GRANTLOG_HTTP_PORT",
    "GRANTLOG_GRPC_PORT",
    "GRANTLOG_GRPC_SERVER",
    "GRANTLOG_CONSISTENCY",
    "GRANTLOG_KAFKA_PUBLISH",
    "GRANTLOG_WORKERS",
    "GRANTLOG_LOG_LEVEL",
)
"""What the services are told by us alone; the rest of the environment they inherit."""

_LOG: Final = structlog.get_logger("grantlog.serve")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """The flags of `grantlog serve`."""

    host: str
    http_port: int
    grpc_port: int
    data_dir: Path
    database_url: str | None
    replica_url: str | None
    with_replica: bool
    grpc_server: Literal["auto", "native", "grpcio"]
    consistency: Literal["head", "node", "bounded"]
    workers: int
    pg_bin: Path | None
    log_level: LogLevel


@dataclass(frozen=True, slots=True)
class _Started:
    """All that runs, and what the services were told."""

    options: ServeOptions
    api: ServiceProcess
    follower: ServiceProcess
    postgres: EmbeddedPostgres | None
    settings: Mapping[str, str]
    environment: Mapping[str, str]
    run_folder: Path | None


async def serve_until_stopped(options: ServeOptions, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, and leave nothing running.

    Raises:
        GrantlogError: it could not start, or a part without which it cannot serve ended.
    """
    stop = asyncio.Event()
    started: list[_Started] = []

    async def serve() -> None:
        async with contextlib.AsyncExitStack() as stack:

            async def start() -> None:
                started.append(await _start(stack, options))

            await run_jobs({"start": start}, stop=stop, grace_s=0)
            if started:
                await _run(started[0], stop, announce)

    await supervise({"serve": serve}, stop=stop, grace_s=_GRACE_S)


async def _start(stack: contextlib.AsyncExitStack, options: ServeOptions) -> _Started:
    data_dir = None if options.database_url else stack.enter_context(claimed(options.data_dir))
    if data_dir:
        await end_orphans(data_dir.run)
    options = _with_free_ports(options)
    environment = inherited_environment(without=_TOLD)
    run_folder = data_dir.run if data_dir else None
    api, follower = [
        await stack.enter_async_context(
            service_process(name, environment, run_folder, grace_s=grace_s)
        )
        for name, grace_s in ((API, API_GRACE_S), (FOLLOWER, FOLLOWER_GRACE_S))
    ]
    postgres = None
    if data_dir:
        postgres = await stack.enter_async_context(served_cluster(data_dir, options.pg_bin))
    databases = await _migrated(options, postgres)
    settings = _settings(options, databases)
    read = {"GRANTLOG_REPLICA_URL": options.replica_url or databases.replica or ""}
    workers = {"GRANTLOG_WORKERS": str(options.workers)}
    api.begin(settings | read | workers | {"GRANTLOG_KAFKA_PUBLISH": "false"})
    settings["GRANTLOG_KAFKA_PUBLISH"] = "true"  # a relay never stops a check
    follower.begin(settings)
    return _Started(options, api, follower, postgres, settings, environment, run_folder)


def _with_free_ports(options: ServeOptions) -> ServeOptions:
    if options.http_port == options.grpc_port != 0:
        raise InvalidInputError(
            f"REST and gRPC cannot both listen on port {options.http_port}: "
            "give two ports with --http-port and --grpc-port"
        )
    return replace(
        options,
        http_port=free_port(options.host, options.http_port, "--http-port"),
        grpc_port=free_port(options.host, options.grpc_port, "--grpc-port"),
    )


async def _migrated(options: ServeOptions, postgres: EmbeddedPostgres | None) -> Databases:
    """The databases, made where they are ours to make, in the shape of this version."""
    replica = await _projected(options.replica_url)
    if options.database_url:
        primary = options.database_url
    else:
        assert postgres is not None
        primary = await ensure_database(postgres, PRIMARY)
        if options.with_replica:
            replica = await ensure_database(postgres, REPLICA)
    for dsn, seed in ((primary, True), (replica, False)):
        applied = await migrate(dsn, seed=seed) if dsn else []
        if applied:
            _LOG.info("migrated", database="primary" if seed else "replica", applied=applied)
    return Databases(primary, replica)


async def _projected(replica_url: str | None) -> str | None:
    """The address among those to read that is folded into here: physical standbys fill themselves.

    Raises:
        InvalidInputError: several are folded into.
        UnavailableError: the only one does not answer.
    """
    addresses = (replica_url or "").split()
    found: list[str] = []
    for number, dsn in enumerate(addresses, start=1):
        try:
            if not await is_standby(dsn):
                found.append(dsn)
        except UnavailableError as error:
            if len(addresses) == 1:
                raise
            _LOG.warning("replica not reached", replica=number, because=error.explanation)
    if len(found) > 1:
        raise InvalidInputError(
            "grantlog serve folds into one replica, and --replica-url names several that are no "
            "physical standbys: run the services by themselves, with a projector for each"
        )
    return found[0] if found else None


def _settings(options: ServeOptions, databases: Databases) -> dict[str, str]:
    told = {
        "GRANTLOG_DATABASE_URL": databases.primary,
        "GRANTLOG_HOST": options.host,
        "GRANTLOG_HTTP_PORT": str(options.http_port),
        "GRANTLOG_GRPC_PORT": str(options.grpc_port),
        "GRANTLOG_GRPC_SERVER": options.grpc_server,
        "GRANTLOG_CONSISTENCY": options.consistency,
        "GRANTLOG_LOG_LEVEL": options.log_level,
    }
    if databases.replica:
        told["GRANTLOG_REPLICA_URL"] = databases.replica
    return told


async def _run(started: _Started, stop: asyncio.Event, announce: Callable[[str], None]) -> None:
    api_gone = asyncio.Event()

    async def api() -> None:
        try:
            await watch(API, started.api.process, stop)
        finally:
            await started.api.end(API_GRACE_S)
            api_gone.set()

    async def follower() -> None:
        await keep_running(
            started.follower,
            settings=started.settings,
            environment=started.environment,
            run_folder=started.run_folder,
            stop=api_gone,
            grace_s=FOLLOWER_GRACE_S,
            rng=SystemRandom(),
        )
        await started.follower.end(FOLLOWER_GRACE_S)  # before Postgres, which the stack ends first

    async def postgres() -> None:
        if started.postgres:
            await watch("Postgres", started.postgres.process, stop)

    async def ready() -> None:
        await _announce_when_serving(started.options, stop, announce)

    jobs = {API: api, FOLLOWER: follower, "postgres": postgres, "ready": ready}
    await run_jobs(jobs, stop=stop, grace_s=API_GRACE_S + FOLLOWER_GRACE_S + 5)


async def _announce_when_serving(
    options: ServeOptions, stop: asyncio.Event, announce: Callable[[str], None]
) -> None:
    loop = asyncio.get_running_loop()
    remind_at = begun_at = loop.time()
    while True:
        told = await health_of(options.host, options.http_port)
        patient = loop.time() < begun_at + _READY_REMINDER_S
        if told and told.serving and not (told.degraded and patient):  # a start takes a moment
            break
        if loop.time() > remind_at + _READY_REMINDER_S:
            because = told.because if told else "the API does not answer"
            _LOG.warning("not serving yet", because=because)
            remind_at += _READY_REMINDER_S
        if await set_within(stop, _READY_POLL_S):
            return
    rest = f"http://{address(options.host, options.http_port)}"
    announce(
        f"grantlog is serving  REST {rest}  gRPC {address(options.host, options.grpc_port)}  "
        f"(docs: {rest}/docs)"
    )
