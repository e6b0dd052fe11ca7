"""`grantlog check` and `grantlog schema …`: single questions to a running server."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from grantlog.cli.files import unreadable
from grantlog.cli.options import GRPC_ADDRESS, TENANT, GrpcAddressOption, TenantOption
from grantlog.errors import InvalidInputError

EXIT_DENIED = 4

schema_app = typer.Typer(no_args_is_help=True, help="A tenant's schema.")

SchemaVersionOption = Annotated[
    str, typer.Option(help="A schema version. Default: the one in force.", show_default=False)
]


def check(  # noqa: PLR0913 - one parameter is one flag
    entity: Annotated[str, typer.Argument(metavar="ENTITY", help="As doc:1.")],
    permission: Annotated[str, typer.Argument(metavar="PERMISSION", help="As view.")],
    subject: Annotated[
        str, typer.Argument(metavar="SUBJECT", help="As user:2 or group:eng#member.")
    ],
    *,
    tenant: TenantOption = TENANT,
    grpc_address: GrpcAddressOption = GRPC_ADDRESS,
    schema_version: SchemaVersionOption = "",
    snap_token: Annotated[
        str, typer.Option(help="Answer at least as fresh as this token.", show_default=False)
    ] = "",
    depth: Annotated[int, typer.Option(min=3, help="Budget of steps.")] = 20,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 4 if the answer is denied.")
    ] = False,
) -> None:
    """Ask whether a subject has a permission on an entity; prints allowed or denied."""
    from grantlog.cli.questions import Question, ask  # noqa: PLC0415 - on demand

    question = Question(tenant, entity, permission, subject, schema_version, snap_token, depth)
    allowed = asyncio.run(ask(grpc_address, question))
    typer.echo("allowed" if allowed else "denied")
    if exit_code and not allowed:
        raise typer.Exit(EXIT_DENIED)


@schema_app.command("write")
def schema_write(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The schema's source; - is standard input.")
    ],
    *,
    tenant: TenantOption = TENANT,
    grpc_address: GrpcAddressOption = GRPC_ADDRESS,
) -> None:
    """Write a schema; prints its version, and on standard error what it warns of."""
    from grantlog.cli.questions import write_schema  # noqa: PLC0415 - on demand
    from grantlog.schema.compile import compile_schema  # noqa: PLC0415 - on demand

    source = _source(file)
    typer.echo(asyncio.run(write_schema(grpc_address, tenant, source)))
    for warning in compile_schema(source).warnings:
        typer.echo(f"warning: {warning.line}:{warning.column}: {warning.text}", err=True)


@schema_app.command("read")
def schema_read(
    *,
    tenant: TenantOption = TENANT,
    grpc_address: GrpcAddressOption = GRPC_ADDRESS,
    schema_version: SchemaVersionOption = "",
) -> None:
    """Print a schema's definition as JSON."""
    from grantlog.cli.questions import read_schema  # noqa: PLC0415 - on demand

    typer.echo(asyncio.run(read_schema(grpc_address, tenant, schema_version)))


def _source(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except OSError as error:
        raise unreadable(file, error) from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{file} is not UTF-8") from error
