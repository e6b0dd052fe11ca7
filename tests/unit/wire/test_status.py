"""Every error becomes the code that clients expect, and nothing internal leaks."""

import asyncio
import inspect
import json

import pytest
from google.rpc import error_details_pb2, status_pb2

from grantlog import errors
from grantlog.api.v1 import base_pb2, errors_pb2
from grantlog.wire.http_errors import BodyTooLargeError, MediaTypeError, UnroutedError
from grantlog.wire.status import (
    HTTP_OF_CODE,
    Code,
    details_trailer,
    error_body,
    error_of,
    status_of,
    stream_error,
    stream_item,
)

OWN_REASONS = {
    "INVALID_SNAP_TOKEN": Code.INVALID_ARGUMENT,
    "BEYOND_HEAD": Code.INVALID_ARGUMENT,
    "RULE_EVALUATION_FAILED": Code.INVALID_ARGUMENT,
    "FORBIDDEN": Code.PERMISSION_DENIED,
    "FAILED_PRECONDITION": Code.FAILED_PRECONDITION,
    "LOST_WRITE": Code.FAILED_PRECONDITION,
    "BEHIND_WINDOW": Code.FAILED_PRECONDITION,
    "TENANT_DELETED": Code.FAILED_PRECONDITION,
    "STALE_SCHEMA": Code.ABORTED,
    "LIMIT_EXCEEDED": Code.RESOURCE_EXHAUSTED,
    "SLOW_READER": Code.RESOURCE_EXHAUSTED,
    "UNAVAILABLE": Code.UNAVAILABLE,
    "PROJECTION_LAGGING": Code.UNAVAILABLE,
}
SPECIAL_NUMBERS = {
    5001: Code.CANCELLED,
    5012: Code.UNIMPLEMENTED,
    5016: Code.INVALID_ARGUMENT,
    5019: Code.ABORTED,
}


def code_of_number(number: int) -> Code:
    if number in SPECIAL_NUMBERS:
        return SPECIAL_NUMBERS[number]
    by_range = {1: Code.UNAUTHENTICATED, 2: Code.INVALID_ARGUMENT, 4: Code.NOT_FOUND}
    return by_range.get(number // 1000, Code.INTERNAL if number else Code.UNKNOWN)


def error_classes() -> list[type[errors.GrantlogError]]:
    found = [c for _, c in inspect.getmembers(errors, inspect.isclass)]
    return [c for c in found if issubclass(c, errors.GrantlogError)]


@pytest.mark.parametrize("kind", error_classes(), ids=lambda c: c.__name__)
def test_every_class_of_error_has_a_code(kind: type[errors.GrantlogError]) -> None:
    status = status_of(kind("what and why"))
    reason = kind.default_reason
    numbers = dict(errors_pb2.ErrorCode.items())
    if reason in numbers:
        assert status.code == code_of_number(numbers[reason])
    else:
        assert status.code == OWN_REASONS[reason]
        assert status.message == f"{reason}: what and why"


@pytest.mark.parametrize(("name", "number"), errors_pb2.ErrorCode.items())
def test_every_name_of_the_contract_decides_by_its_number(name: str, number: int) -> None:
    for kind in (errors.InvalidInputError, errors.LimitError, errors.NotFoundError):
        status = status_of(kind("because", reason=name))
        assert (status.code, status.message) == (code_of_number(number), name)


def test_http_codes_are_the_gateways() -> None:
    assert {int(code): http for code, http in HTTP_OF_CODE.items()} == {
        0: 200, 1: 499, 2: 500, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400,
        10: 409, 11: 400, 12: 501, 13: 500, 14: 503, 15: 500, 16: 401,
    }  # fmt: skip
    assert status_of(errors.NotFoundError()).http == 404


def test_field_violations_and_schema_errors_are_told_in_their_own_words() -> None:
    text = "invalid PermissionCheckRequest.Metadata: value is required"
    violation = status_of(errors.FieldViolationError(text))
    assert (violation.code, violation.message) == (Code.INVALID_ARGUMENT, text)
    schema = status_of(
        errors.SchemaError("undefined relation reference", line=3, column=14, excerpt="x\n^")
    )
    assert schema.code == Code.INVALID_ARGUMENT
    assert schema.message == "3:14: undefined relation reference\nx\n^"


def test_explanations_travel_as_details_on_both_doors() -> None:
    status = status_of(errors.NotFoundError("no doc", reason="ERROR_CODE_SCHEMA_NOT_FOUND"))
    assert status.message == "ERROR_CODE_SCHEMA_NOT_FOUND"
    ((key, value),) = details_trailer(status)
    assert key == "grpc-status-details-bin"
    rich = status_pb2.Status.FromString(value)
    assert (rich.code, rich.message) == (5, "ERROR_CODE_SCHEMA_NOT_FOUND")
    info = error_details_pb2.ErrorInfo()
    assert rich.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("ERROR_CODE_SCHEMA_NOT_FOUND", "grantlog")
    assert json.loads(error_body(status)) == {
        "code": 5,
        "message": "ERROR_CODE_SCHEMA_NOT_FOUND",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "ERROR_CODE_SCHEMA_NOT_FOUND",
                "domain": "grantlog",
                "metadata": {"explanation": "no doc"},
            }
        ],
    }


def test_errors_without_explanation_have_no_details() -> None:
    status = status_of(errors.DepthExceededError())
    assert error_body(status) == (
        b'{"code":3,"message":"ERROR_CODE_DEPTH_NOT_ENOUGH","details":[]}'
    )
    assert details_trailer(status) == ()


@pytest.mark.parametrize(
    "error",
    [RuntimeError("secret"), KeyError("secret"), errors.CorruptionError("secret")],
    ids=repr,
)
def test_internals_stay_inside(error: Exception) -> None:
    status = status_of(error)
    assert (status.code, status.message) == (Code.INTERNAL, "ERROR_CODE_INTERNAL")
    assert b"secret" not in error_body(status)
    assert details_trailer(status) == ()


def test_deadlines_and_cancellation_have_their_codes() -> None:
    assert status_of(TimeoutError()).code == Code.DEADLINE_EXCEEDED
    cancelled = status_of(asyncio.CancelledError())
    assert (cancelled.code, cancelled.message) == (Code.CANCELLED, "ERROR_CODE_CANCELLED")


def test_of_a_group_the_first_error_of_ours_decides() -> None:
    inner = ExceptionGroup("inner", [errors.NotFoundError("x")])
    group = ExceptionGroup("outer", [ValueError("secret"), inner, errors.LimitError()])
    assert status_of(group).code == Code.NOT_FOUND
    assert status_of(ExceptionGroup("outer", [ValueError("secret")])).code == Code.INTERNAL


def test_addresses_that_are_not_ours_get_the_gateways_words() -> None:
    status = status_of(UnroutedError())
    assert (status.http, status.code, status.message) == (404, 5, "Not Found")
    assert b"/openapi.json lists" in error_body(status)
    status = status_of(UnroutedError(["POST"]))
    assert (status.http, status.code, status.message) == (405, 12, "Method Not Allowed")
    assert b"this path takes POST" in error_body(status)


def test_http_has_statuses_of_its_own() -> None:
    large, odd = status_of(BodyTooLargeError("how much")), status_of(MediaTypeError("which"))
    assert (large.http, large.code) == (413, Code.RESOURCE_EXHAUSTED)
    assert (odd.http, odd.code) == (415, Code.INVALID_ARGUMENT)
    assert odd.message == "UNSUPPORTED_MEDIA_TYPE: which"


def test_stream_lines_wrap_results_and_errors() -> None:
    assert stream_item(base_pb2.Entity(type="doc", id="1")) == (
        b'{"result":{"type":"doc","id":"1"}}\n'
    )
    assert stream_error(status_of(errors.LimitError())) == (
        b'{"error":{"code":8,"message":"LIMIT_EXCEEDED","details":[]}}\n'
    )


def test_long_texts_are_cut_so_that_trailers_stay_small() -> None:
    violation = status_of(errors.FieldViolationError("é" * 100_000))
    assert len(violation.message.encode()) <= 1536
    assert violation.message.endswith("é…")
    unknown = status_of(errors.NotFoundError("x" * 100_000, reason="ERROR_CODE_NOT_FOUND"))
    ((_, trailer),) = details_trailer(unknown)
    assert len(trailer) < 2048


def relayed(error: errors.GrantlogError) -> errors.GrantlogError | None:
    """What another process makes of the status that an error became."""
    status = status_of(error)
    details = dict(details_trailer(status)).get("grpc-status-details-bin")
    return error_of(status.code, status.message, details)


RELAYED = [c for c in error_classes() if c not in (errors.GrantlogError, errors.SchemaError)]
"""Errors that a stream may end with: nobody raises the first one, and no schema is written."""


@pytest.mark.parametrize("kind", RELAYED, ids=lambda c: c.__name__)
@pytest.mark.parametrize("explanation", ["", "what and why", "long " * 250])
def test_an_error_that_came_over_the_wire_becomes_the_same_status_again(kind, explanation) -> None:
    error = kind(explanation or ("broken" if kind is errors.FieldViolationError else ""))
    if explanation and kind is not errors.FieldViolationError:
        error.facts = {"snap_token": "t"}
    again = relayed(error)
    assert again is not None
    assert status_of(again) == status_of(error)


@pytest.mark.parametrize(
    "kind", [errors.SlowReaderError, errors.TenantDeletedError, errors.LostWriteError]
)
def test_an_error_of_a_class_of_its_own_keeps_it_over_the_wire(kind) -> None:
    assert type(relayed(kind("why"))) is kind


@pytest.mark.parametrize(
    ("message", "details"), [("connection refused", None), ("x", b"\xff"), ("", b"")]
)
def test_a_status_that_is_not_ours_is_no_error_of_ours(message, details) -> None:
    assert error_of(14, message, details) is None
