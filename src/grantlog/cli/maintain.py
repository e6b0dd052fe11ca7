"""`grantlog migrate`, `epoch`, `projector`, `topic`: work on the databases, beside the service."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from grantlog.cli.options import DatabaseUrlOption, DataDirOption, PgBinOption, ReplicaUrlOption

if TYPE_CHECKING:
    from grantlog.cli.databases import Databases
    from grantlog.runtime.kafka_settings import KafkaSettings

EXIT_DIFFERENT = 1
T = TypeVar("T")

epoch_app = typer.Typer(no_args_is_help=True, help="Lives of the log.")
topic_app = typer.Typer(no_args_is_help=True, help="The topic that carries the log on Kafka.")
projector_app = typer.Typer(no_args_is_help=True, help="The replica that the log is folded into.")


def migrate(
    *,
    data_dir: DataDirOption = None,
    database_url: DatabaseUrlOption = None,
    replica_url: ReplicaUrlOption = None,
    pg_bin: PgBinOption = None,
) -> None:
    """Bring the databases to the shape of this version."""
    from grantlog.store.postgres.migrate import migrate as migrate_one  # noqa: PLC0415 - on demand

    async def work(databases: Databases) -> None:
        named = {"primary": databases.primary, "replica": databases.replica}
        for name, dsn in named.items():
            if dsn:
                applied = await migrate_one(dsn, seed=name == "primary")
                typer.echo(f"{name}: {_numbers(applied)}")

    _with_databases(work, data_dir, database_url, replica_url, pg_bin)


def _numbers(applied: list[int]) -> str:
    return f"applied {', '.join(map(str, applied))}" if applied else "nothing to do"


@epoch_app.callback()
def _epochs() -> None:
    """Lives of the log."""


@epoch_app.command("new")
def epoch_new(
    *,
    reason: Annotated[str, typer.Option(help="Noted with the epoch.")] = "asked for by an operator",
    data_dir: DataDirOption = None,
    database_url: DatabaseUrlOption = None,
    pg_bin: PgBinOption = None,
) -> None:
    """Open a new epoch: part of every restore from a backup, before anyone writes."""
    from grantlog.store.postgres.epoch import open_epoch  # noqa: PLC0415 - on demand

    async def work(databases: Databases) -> None:
        typer.echo(f"epoch {await open_epoch(databases.primary, reason=reason)}")

    _with_databases(work, data_dir, database_url, None, pg_bin)


@projector_app.command("status")
def projector_status(
    *,
    data_dir: DataDirOption = None,
    database_url: DatabaseUrlOption = None,
    replica_url: ReplicaUrlOption = None,
    pg_bin: PgBinOption = None,
    every: Annotated[
        bool, typer.Option("--all", help="List every tenant, also those that are current.")
    ] = False,
) -> None:
    """Print how far the replica is and who holds history back; exit code 1: a tenant is wrong."""
    from grantlog.cli.replica_status import status  # noqa: PLC0415 - on demand

    well = _with_databases(
        lambda databases: status(databases, typer.echo, every_tenant=every),
        data_dir, database_url, replica_url, pg_bin,
    )  # fmt: skip
    if not well:
        raise typer.Exit(EXIT_DIFFERENT)


@projector_app.command("verify")
def projector_verify(
    *,
    data_dir: DataDirOption = None,
    database_url: DatabaseUrlOption = None,
    replica_url: ReplicaUrlOption = None,
    pg_bin: PgBinOption = None,
) -> None:
    """Compare the replica with the primary at the same revisions; exit code 1: they differ."""
    from grantlog.cli.projecting import verify  # noqa: PLC0415 - on demand

    equal = _with_databases(
        lambda databases: verify(databases, typer.echo), data_dir, database_url, replica_url, pg_bin
    )
    if not equal:
        raise typer.Exit(EXIT_DIFFERENT)


@projector_app.command("rebuild")
def projector_rebuild(
    *,
    data_dir: DataDirOption = None,
    database_url: DatabaseUrlOption = None,
    replica_url: ReplicaUrlOption = None,
    pg_bin: PgBinOption = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a rebuild that was interrupted.")
    ] = False,
    from_log: Annotated[
        bool, typer.Option("--from-log", help="Fold every log from its first revision; copy none.")
    ] = False,
) -> None:
    """Empty the replica and bring it to the heads anew; reads go to the primary meanwhile."""
    from grantlog.cli.projecting import rebuild  # noqa: PLC0415 - on demand

    _with_databases(
        lambda databases: rebuild(databases, typer.echo, resume=resume, from_log=from_log),
        data_dir, database_url, replica_url, pg_bin,
    )  # fmt: skip


@projector_app.command("forget")
def projector_forget(
    name: Annotated[str, typer.Argument(help="As `grantlog projector status` shows it.")],
    *,
    data_dir: DataDirOption = None,
    database_url: DatabaseUrlOption = None,
    pg_bin: PgBinOption = None,
) -> None:
    """Let history no longer wait for a replica that is gone for good, or for a hold."""
    from grantlog.cli.projecting import forget  # noqa: PLC0415 - on demand

    _with_databases(lambda databases: forget(databases, name), data_dir, database_url, None, pg_bin)


@topic_app.command("status")
def topic_status(
    *,
    data_dir: DataDirOption = None,
    database_url: DatabaseUrlOption = None,
    pg_bin: PgBinOption = None,
) -> None:
    """Print who publishes, how far, and what Kafka has; exit code 1: something is wrong.

    Kafka is found by the services' own variables: GRANTLOG_KAFKA_BOOTSTRAP and the others.
    """
    from grantlog.cli.topic import status  # noqa: PLC0415 - on demand

    settings = _kafka_settings()
    well = _with_databases(
        lambda databases: status(databases.primary, settings, typer.echo),
        data_dir, database_url, None, pg_bin,
    )  # fmt: skip
    if not well:
        raise typer.Exit(EXIT_DIFFERENT)


@topic_app.command("republish")
def topic_republish(
    *,
    data_dir: DataDirOption = None,
    database_url: DatabaseUrlOption = None,
    pg_bin: PgBinOption = None,
) -> None:
    """Have the whole log sent again: after a topic was truncated or made anew."""
    from grantlog.cli.topic import republish  # noqa: PLC0415 - on demand

    _with_databases(
        lambda databases: republish(databases.primary, typer.echo),
        data_dir, database_url, None, pg_bin,
    )  # fmt: skip


@topic_app.command("move")
def topic_move(
    *,
    data_dir: DataDirOption = None,
    database_url: DatabaseUrlOption = None,
    pg_bin: PgBinOption = None,
) -> None:
    """Move the log to the topic that GRANTLOG_KAFKA_* names, and have all of it sent there."""
    from grantlog.cli.topic import move  # noqa: PLC0415 - on demand

    settings = _kafka_settings()
    _with_databases(
        lambda databases: move(databases.primary, settings, typer.echo),
        data_dir, database_url, None, pg_bin,
    )  # fmt: skip


def _kafka_settings() -> KafkaSettings:
    from grantlog.runtime.kafka_settings import KafkaSettings  # noqa: PLC0415 - on demand
    from grantlog.runtime.settings import read_settings  # noqa: PLC0415 - on demand

    return read_settings(KafkaSettings)


def _with_databases(
    work: Callable[[Databases], Awaitable[T]],
    data_dir: DataDirOption,
    database_url: str | None,
    replica_url: str | None,
    pg_bin: PgBinOption,
) -> T:
    from grantlog.cli.databases import reached_databases  # noqa: PLC0415 - on demand
    from grantlog.runtime.settings import default_data_dir  # noqa: PLC0415 - on demand

    async def run() -> T:
        async with reached_databases(
            database_url or None, replica_url or None, data_dir or default_data_dir(), pg_bin
        ) as databases:
            return await work(databases)

    return asyncio.run(run())
