"""The tree of commands. What a command needs to do its work is loaded when it runs."""

from __future__ import annotations

from importlib.metadata import version as installed_version
from typing import Annotated

import typer

from grantlog.cli import ask, data, maintain, serve, service

app = typer.Typer(
    name="grantlog",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("serve")(serve.serve)
app.command("run")(service.run)
app.add_typer(service.health_app, name="health")
app.command("migrate")(maintain.migrate)
app.command("check")(ask.check)
app.add_typer(ask.schema_app, name="schema")
app.add_typer(data.app, name="data")
app.add_typer(maintain.projector_app, name="projector")
app.add_typer(maintain.topic_app, name="topic")
app.add_typer(maintain.epoch_app, name="epoch")


def _print_version(asked: bool = True) -> None:  # noqa: FBT001, FBT002 - typer calls it so
    if asked:
        typer.echo(f"grantlog {installed_version('grantlog')}")
        raise typer.Exit


@app.callback()
def _grantlog(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and end."
        ),
    ] = False,
) -> None:
    """Grantlog: an event-sourced authorization service that speaks Permify's API."""


@app.command("version")
def _version_command() -> None:
    """Print the version."""
    _print_version()
