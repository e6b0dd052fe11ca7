from __future__ import annotations

import grpc
import pytest
from grpc import aio

from grantlog.cli.grpc_client import CallFailedError
from grantlog.errors import (
    FieldViolationError,
    GrantlogError,
    InvalidTokenError,
    NotFoundError,
    SchemaError,
)
from grantlog.wire.status import details_trailer, status_of


def failed(error: GrantlogError) -> str:
    """What the command line says of an error of the server's."""
    status = status_of(error)
    raised = aio.AioRpcError(
        grpc.StatusCode.INVALID_ARGUMENT,
        aio.Metadata(),
        aio.Metadata(*details_trailer(status)),
        details=status.message,
    )
    return CallFailedError(raised).explanation


LONG = "line " * 1000


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (SchemaError("no such", line=1, column=2, excerpt="ab\n ^"), "1:2: no such\nab\n ^"),
        (FieldViolationError("TenantId: no match"), "TenantId: no match"),
        (InvalidTokenError("it is garbled"), "INVALID_SNAP_TOKEN: it is garbled"),
        (
            NotFoundError("no such", reason="ERROR_CODE_SCHEMA_NOT_FOUND"),
            "ERROR_CODE_SCHEMA_NOT_FOUND: no such",
        ),
    ],
)
def test_an_error_is_said_once_with_all_that_is_known_of_it(error: GrantlogError, says: str):
    assert failed(error) == f"INVALID_ARGUMENT: {says}"


def test_an_explanation_that_was_cut_is_not_said_beside_the_longer_text():
    assert len(failed(SchemaError(LONG))) < 1600
