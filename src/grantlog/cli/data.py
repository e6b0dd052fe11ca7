"""`grantlog data …`: facts in bulk."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from grantlog.cli.options import GRPC_ADDRESS, TENANT, GrpcAddressOption, TenantOption

EXIT_SOME_REJECTED = 3

app = typer.Typer(no_args_is_help=True, help="Facts in bulk.")


@app.callback()
def _group() -> None:
    """Facts in bulk."""


@app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Facts, one a line: JSON tuples and attributes as the API has them, or "
            "doc:1#viewer@user:2 and doc:1$public|boolean:true. Blank lines and lines that "
            "begin with # are skipped. - is standard input.",
        ),
    ],
    *,
    tenant: TenantOption = TENANT,
    grpc_address: GrpcAddressOption = GRPC_ADDRESS,
    batch: Annotated[
        int, typer.Option(min=1, max=100_000, help="Facts in one request, at most.")
    ] = 1000,
    in_flight: Annotated[int, typer.Option(min=1, max=256, help="Requests at once.")] = 4,
    rejects: Annotated[
        Path | None,
        typer.Option(help="Where refused lines go. Default: FILE.rejects.", show_default=False),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew where an interrupted import could go on.")
    ] = False,
) -> None:
    """Import facts through the API. Exit code 3: some lines were refused, the file says why.

    Interrupted, it goes on where it stood when it is run again (FILE.progress remembers).
    """
    from grantlog.cli.importing.run import ImportOptions, import_file  # noqa: PLC0415 - on demand

    options = ImportOptions(
        source=None if str(file) == "-" else file,
        tenant=tenant,
        address=grpc_address,
        facts_max=batch,
        in_flight_max=in_flight,
        rejects=rejects or _beside(file, ".rejects"),
        progress=_beside(file, ".progress"),
        restart=restart,
    )
    done = asyncio.run(import_file(options, sys.stdin.buffer, sys.stderr))
    typer.echo(done.summary)
    if done.rejected:
        raise typer.Exit(EXIT_SOME_REJECTED)


def _beside(file: Path, suffix: str) -> Path:
    return Path("import" + suffix) if str(file) == "-" else file.with_name(file.name + suffix)
