"""`grantlog run` and `grantlog health`: a service as a process of its own, and asking after it."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from grantlog.cli.options import ReplicaUrlOption
from grantlog.errors import PreconditionError, UnavailableError

health_app = typer.Typer(
    no_args_is_help=True,
    help="Whether a service does its work; exit code 1: it does not, and a line says why. "
    "Asked with the service's own environment, no option is needed.",
)

HostOption = Annotated[
    str, typer.Option(envvar="GRANTLOG_HOST", help="Address that the service listens on.")
]


def run(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="As api, projector or watch.")],
) -> None:
    """Run one service in this process until SIGTERM; its settings are GRANTLOG_* variables."""
    from grantlog.runtime.service import find_service  # noqa: PLC0415 - on demand

    try:
        start = find_service(service)
    except PreconditionError as error:
        raise typer.BadParameter(error.explanation) from error
    start()


@health_app.command("api")
def health_api(
    *,
    host: HostOption = "127.0.0.1",
    http_port: Annotated[
        int, typer.Option(envvar="GRANTLOG_HTTP_PORT", help="Port of REST.", min=1, max=65535)
    ] = 3476,
) -> None:
    """Ask an API node whether it serves: its databases answer, and the log is followed."""
    from grantlog.runtime.health import health_of, reachable  # noqa: PLC0415 - on demand

    told = asyncio.run(health_of(host, http_port))
    if told is None:
        raise UnavailableError(f"nobody answers GET /healthz at {reachable(host)} port {http_port}")
    if not told.serving:
        raise UnavailableError(f"the API is not serving: {told.because or 'its log says why'}")
    typer.echo(f"SERVING, degraded: {told.degraded}" if told.degraded else "SERVING")


@health_app.command("projector")
def health_projector(
    *,
    database_url: Annotated[
        str,
        typer.Option(
            envvar="GRANTLOG_DATABASE_URL",
            help="postgresql:// address of the primary, where followers beat.",
            show_default=False,
        ),
    ],
    replica_url: ReplicaUrlOption = None,
    replica_name: Annotated[
        str,
        typer.Option(envvar="GRANTLOG_REPLICA_NAME", help="Under which the replica is registered."),
    ] = "replica",
) -> None:
    """Ask the primary whether a follower beats: the replica's, or, without one, any."""
    from grantlog.store.postgres.followers import MAINTENANCE  # noqa: PLC0415 - on demand
    from grantlog.store.postgres.health import follower_beats  # noqa: PLC0415 - on demand

    name = replica_name if replica_url else MAINTENANCE
    if not asyncio.run(follower_beats(database_url, name)):
        raise UnavailableError(
            f"no follower {name!r} has beaten lately: start `grantlog run projector`, "
            "or see its log"
        )
    typer.echo("SERVING")


@health_app.command("watch")
def health_watch(
    *,
    host: HostOption = "127.0.0.1",
    grpc_port: Annotated[
        int, typer.Option(envvar="GRANTLOG_GRPC_PORT", help="Port of gRPC.", min=1, max=65535)
    ] = 3479,
) -> None:
    """Ask a watch service whether it serves: the primary answers, and nobody told it to stop."""
    from grantlog.cli.questions import require_watch_serving  # noqa: PLC0415 - on demand
    from grantlog.runtime.health import reachable  # noqa: PLC0415 - on demand

    asyncio.run(require_watch_serving(reachable(host), grpc_port))
    typer.echo("SERVING")
