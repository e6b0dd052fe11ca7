"""`grantlog serve`: the command line of the whole service on one machine."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

import typer

from grantlog.cli.options import DatabaseUrlOption, DataDirOption, PgBinOption, ReplicaUrlOption
from grantlog.errors import InvalidInputError
from grantlog.runtime.logging import LogLevel

HttpPortOption = Annotated[
    int,
    typer.Option(envvar="GRANTLOG_HTTP_PORT", help="Port of REST; 0 picks one.", min=0, max=65535),
]
GrpcPortOption = Annotated[
    int,
    typer.Option(envvar="GRANTLOG_GRPC_PORT", help="Port of gRPC; 0 picks one.", min=0, max=65535),
]
HostOption = Annotated[str, typer.Option(envvar="GRANTLOG_HOST", help="Address to listen on.")]
WithReplicaOption = Annotated[
    bool,
    typer.Option(
        "--with-replica",
        envvar="GRANTLOG_WITH_REPLICA",
        help="Project into a second database of the embedded server and read that.",
    ),
]
GrpcServerOption = Annotated[
    Literal["auto", "native", "grpcio"],
    typer.Option(envvar="GRANTLOG_GRPC_SERVER", help="Which gRPC server answers."),
]
ConsistencyOption = Annotated[
    Literal["head", "node", "bounded"] | None,
    typer.Option(
        envvar="GRANTLOG_CONSISTENCY",
        help="What a read without a token sees: the primary's head, what this node knows, or "
        "what it knew to be the head within GRANTLOG_STALENESS_S_MAX seconds. "
        "Default: node with the embedded database, one worker and no ring, else head.",
        show_default=False,
    ),
]
WorkersOption = Annotated[
    int,
    typer.Option(
        envvar="GRANTLOG_WORKERS",
        help="Processes that answer calls; they share the ports. More than one is for more "
        "than two cores.",
        min=1,
        max=64,
    ),
]
LogLevelOption = Annotated[
    LogLevel, typer.Option(envvar="GRANTLOG_LOG_LEVEL", help="Least level that is logged.")
]


def serve(  # noqa: PLR0913 - one parameter is one flag
    *,
    http_port: HttpPortOption = 3476,
    grpc_port: GrpcPortOption = 3478,
    host: HostOption = "127.0.0.1",
    data_dir: DataDirOption = None,
    database_url: DatabaseUrlOption = None,
    replica_url: ReplicaUrlOption = None,
    with_replica: WithReplicaOption = False,
    grpc_server: GrpcServerOption = "auto",
    consistency: ConsistencyOption = None,
    workers: WorkersOption = 1,
    pg_bin: PgBinOption = None,
    log_level: LogLevelOption = "info",
) -> None:
    """Serve the whole service on this machine, with an embedded Postgres unless one is given."""
    from grantlog.cli.serving import ServeOptions, serve_until_stopped  # noqa: PLC0415 - on demand
    from grantlog.runtime.logging import configure_logging  # noqa: PLC0415 - on demand
    from grantlog.runtime.settings import (  # noqa: PLC0415 - on demand
        default_data_dir,
        has_ring,
        refuse_unknown_settings,
    )

    refuse_unknown_settings()
    if with_replica:
        _require_embedded(database_url, replica_url)
    several = "--workers" if workers > 1 else "GRANTLOG_RING" if has_ring() else ""
    if several and consistency == "node":
        raise InvalidInputError(
            f"--consistency node is right only for the only writer, and {several} makes several: "
            "leave one of them out"
        )
    only_writer = not database_url and not several
    options = ServeOptions(
        host=host,
        http_port=http_port,
        grpc_port=grpc_port,
        data_dir=data_dir or default_data_dir(),
        database_url=database_url or None,
        replica_url=replica_url or None,
        with_replica=with_replica,
        grpc_server=grpc_server,
        consistency=consistency or ("node" if only_writer else "head"),
        workers=workers,
        pg_bin=pg_bin,
        log_level=log_level,
    )
    configure_logging("serve", log_level)
    asyncio.run(serve_until_stopped(options, typer.echo))


def _require_embedded(database_url: str | None, replica_url: str | None) -> None:
    """Refuse addresses of other databases beside a replica in the embedded one."""
    if database_url or replica_url:
        raise InvalidInputError(
            "--with-replica is for the embedded database alone: with --database-url give a "
            "--replica-url, with a --replica-url leave it out"
        )
