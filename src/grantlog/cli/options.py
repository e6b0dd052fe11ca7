"""Options that several commands share; each has its environment variable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grantlog.cli.address import parse_address
from grantlog.errors import InvalidInputError


def _address(text: str) -> str:
    """The same, once it is known to be HOST:PORT."""
    try:
        parse_address(text)
    except InvalidInputError as error:
        raise typer.BadParameter(error.explanation) from error
    return text


DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        envvar="GRANTLOG_DATA_DIR",
        help="Folder of the embedded database. Default: /var/lib/grantlog for root, "
        "grantlog in the user's XDG data folder otherwise.",
        show_default=False,
    ),
]
DatabaseUrlOption = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        envvar="GRANTLOG_DATABASE_URL",
        help="postgresql:// address of the primary. Default: an embedded Postgres in the data "
        "directory.",
        show_default=False,
    ),
]
ReplicaUrlOption = Annotated[
    str | None,
    typer.Option(
        "--replica-url",
        envvar="GRANTLOG_REPLICA_URL",
        help="postgresql:// address of a database that the log is projected into and that is "
        "read instead of the primary; services read several, physical standbys too, with spaces "
        "between them.",
        show_default=False,
    ),
]
PgBinOption = Annotated[
    Path | None,
    typer.Option(
        "--pg-bin",
        envvar=["GRANTLOG_PG_BIN", "PG_BIN"],
        help="Folder with initdb and postgres to use for the embedded database.",
        show_default=False,
    ),
]
GrpcAddressOption = Annotated[
    str,
    typer.Option(
        "--grpc-address",
        envvar="GRANTLOG_GRPC_ADDRESS",
        help="HOST:PORT where the API speaks gRPC.",
        callback=_address,
    ),
]
TenantOption = Annotated[
    str, typer.Option("--tenant", envvar="GRANTLOG_TENANT", help="The tenant.")
]

GRPC_ADDRESS = "127.0.0.1:3478"
TENANT = "t1"
