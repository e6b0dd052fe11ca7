"""The only table from errors to gRPC and HTTP codes.

An `ERROR_CODE_*` reason decides by its number, as clients expect; our own reasons decide by the
class of the error. What is not one of our errors is INTERNAL and says nothing about itself: the
door logs it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, cast

from google.protobuf.any_pb2 import Any as PackedAny
from google.protobuf.message import DecodeError, Message

from grantlog.api.v1 import errors_pb2
from grantlog.errors import (
    ConflictError,
    CorruptionError,
    FieldViolationError,
    ForbiddenError,
    GrantlogError,
    InvalidInputError,
    LimitError,
    NotFoundError,
    NotImplementedYetError,
    PreconditionError,
    SchemaError,
    UnauthenticatedError,
    UnavailableError,
)
from grantlog.wire.google import error_details_pb2, status_pb2
from grantlog.wire.http_errors import BodyTooLargeError, MediaTypeError, UnroutedError
from grantlog.wire.protojson import encode
from grantlog.wire.violations import explain_violation

DOMAIN: Final = "grantlog"

MESSAGE_BYTES_MAX: Final = 1536
EXPLANATION_BYTES_MAX: Final = 1024
"""Both quote what callers sent, and gRPC drops a call whose trailers exceed 8 KiB."""
_CUT: Final = "…".encode()


class Code(IntEnum):
    """gRPC status codes."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


HTTP_OF_CODE: Final = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}

_HTTP_OF_CLASS: Final[tuple[tuple[type[GrantlogError], int], ...]] = (
    (BodyTooLargeError, 413),
    (MediaTypeError, 415),
)
"""Where HTTP has a status of its own that its gRPC code does not lead to."""

_CODE_OF_CLASS: Final[tuple[tuple[type[GrantlogError], Code], ...]] = (
    (InvalidInputError, Code.INVALID_ARGUMENT),
    (UnauthenticatedError, Code.UNAUTHENTICATED),
    (ForbiddenError, Code.PERMISSION_DENIED),
    (NotFoundError, Code.NOT_FOUND),
    (PreconditionError, Code.FAILED_PRECONDITION),
    (ConflictError, Code.ABORTED),
    (LimitError, Code.RESOURCE_EXHAUSTED),
    (UnavailableError, Code.UNAVAILABLE),
    (NotImplementedYetError, Code.UNIMPLEMENTED),
    (CorruptionError, Code.INTERNAL),
)

_CODE_OF_THOUSAND: Final = {
    1: Code.UNAUTHENTICATED,
    2: Code.INVALID_ARGUMENT,
    4: Code.NOT_FOUND,
    5: Code.INTERNAL,
}
_CODE_OF_REASON: Final = {
    "ERROR_CODE_CANCELLED": Code.CANCELLED,
    "ERROR_CODE_CANNOT_CONVERT_TO_ENTITY_STATEMENT": Code.INVALID_ARGUMENT,
    "ERROR_CODE_NOT_IMPLEMENTED": Code.UNIMPLEMENTED,
    "ERROR_CODE_SERIALIZATION": Code.ABORTED,
}
_NUMBERS: Final = dict(errors_pb2.ErrorCode.items())


@dataclass(frozen=True, slots=True)
class WireStatus:
    """What a caller gets instead of an answer."""

    code: Code
    message: str
    details: tuple[Message, ...] = ()
    http_special: int = 0
    """The HTTP status where it is not the one of the code."""

    @property
    def http(self) -> int:
        """The HTTP status."""
        return self.http_special or HTTP_OF_CODE[self.code]

    @property
    def is_our_fault(self) -> bool:
        """Whether the server failed, rather than the caller."""
        return self.code in {Code.UNKNOWN, Code.INTERNAL, Code.UNAVAILABLE, Code.DATA_LOSS}


def status_of(error: BaseException) -> WireStatus:
    """The status that an error becomes; of a group, its first error of ours decides."""
    match _leaf(error):
        case UnroutedError() as unrouted:
            code, special = (Code.UNIMPLEMENTED, 405) if unrouted.allowed else (Code.NOT_FOUND, 0)
            return WireStatus(code, _gateway_words(unrouted), _details(unrouted), special)
        case CorruptionError():
            return WireStatus(Code.INTERNAL, "ERROR_CODE_INTERNAL")
        case GrantlogError() as ours:
            special = next((http for kind, http in _HTTP_OF_CLASS if isinstance(ours, kind)), 0)
            return WireStatus(_code(ours), _message(ours), _details(ours), special)
        case TimeoutError():
            return WireStatus(Code.DEADLINE_EXCEEDED, "the deadline of the call passed")
        case asyncio.CancelledError():
            return WireStatus(Code.CANCELLED, "ERROR_CODE_CANCELLED")
        case _:
            return WireStatus(Code.INTERNAL, "ERROR_CODE_INTERNAL")


def _leaf(error: BaseException) -> BaseException:
    """The error that decides: itself, or of a group the first of ours, else the first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    group = cast("BaseExceptionGroup[BaseException]", error)
    leaves = [_leaf(member) for member in group.exceptions]
    return next((leaf for leaf in leaves if isinstance(leaf, GrantlogError)), leaves[0])


def _code(error: GrantlogError) -> Code:
    special = _CODE_OF_REASON.get(error.reason)
    if special is not None:
        return special
    number = _NUMBERS.get(error.reason)
    if number is not None:
        return _CODE_OF_THOUSAND.get(number // 1000, Code.UNKNOWN)
    return next((c for kind, c in _CODE_OF_CLASS if isinstance(error, kind)), Code.INTERNAL)


def _message(error: GrantlogError) -> str:
    """Texts that clients compare stay bare; positions and violated rules are texts of their own."""
    if isinstance(error, FieldViolationError | SchemaError):
        return _shortened(error.explanation, MESSAGE_BYTES_MAX)
    if error.reason in _NUMBERS or not error.explanation:
        return error.reason
    return _shortened(f"{error.reason}: {error.explanation}", MESSAGE_BYTES_MAX)


def _gateway_words(error: UnroutedError) -> str:
    return "Method Not Allowed" if error.allowed else "Not Found"


def _shortened(text: str, bytes_max: int) -> str:
    raw = text.encode()
    if len(raw) <= bytes_max:
        return text
    return raw[: bytes_max - len(_CUT)].decode(errors="ignore") + _CUT.decode()


def _details(error: GrantlogError) -> tuple[Message, ...]:
    metadata = dict(error.facts)
    explanation = error.explanation
    if isinstance(error, FieldViolationError):
        field, explanation = explain_violation(error.text)
        if field:
            metadata["field"] = _shortened(field, EXPLANATION_BYTES_MAX)
    if explanation:
        metadata["explanation"] = _shortened(explanation, EXPLANATION_BYTES_MAX)
    if not metadata:
        return ()
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)
    return (info,)


def rpc_status(status: WireStatus) -> status_pb2.Status:
    """The google.rpc.Status that says the same."""
    details: list[PackedAny] = []
    for detail in status.details:
        packed = PackedAny()
        packed.Pack(detail, deterministic=True)
        details.append(packed)
    return status_pb2.Status(code=status.code, message=status.message, details=details)


def details_trailer(status: WireStatus) -> tuple[tuple[str, bytes], ...]:
    """Trailing gRPC metadata that carries the details; empty if there are none."""
    if not status.details:
        return ()
    return (("grpc-status-details-bin", rpc_status(status).SerializeToString()),)


def error_of(code: int, message: str, details: bytes | None) -> GrantlogError | None:
    """The error that another process of ours ended a call with; `status_of` gives that status.

    Args:
        code: of the gRPC status.
        message: of the gRPC status.
        details: its `grpc-status-details-bin`.

    Returns:
        None where the status is not of our making: the transport's, or another program's.
    """
    info = _error_info(details or b"")
    if info is None:
        kind = _class(code, message)
        ours = message in _NUMBERS or message == kind.default_reason
        return kind(reason=message) if ours else None
    facts = dict(info.metadata)
    explanation = facts.pop("explanation", "")
    prefix = f"{info.reason}: "
    if message.startswith(prefix):
        explanation = message.removeprefix(prefix)  # less of it is cut off
    elif message != info.reason:
        return FieldViolationError(message)
    return _class(code, info.reason)(explanation, reason=info.reason, facts=facts)


def _class(code: int, reason: str) -> type[GrantlogError]:
    """The class of an error: whose own reason it is, else the one of its code."""
    family = next((kind for kind, of in _CODE_OF_CLASS if of == code), GrantlogError)
    waiting = [family]
    while waiting and reason not in _NUMBERS:
        kind = waiting.pop()
        if kind.default_reason == reason:
            return kind
        waiting += kind.__subclasses__()
    return family


def _error_info(details: bytes) -> error_details_pb2.ErrorInfo | None:
    try:
        status = status_pb2.Status.FromString(details)
        for detail in status.details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info) and info.domain == DOMAIN:
                return info
    except DecodeError:
        return None
    return None


def error_body(status: WireStatus) -> bytes:
    """The JSON body of a REST error: `{"code":…,"message":…,"details":[…]}`."""
    return encode(rpc_status(status))


def stream_item(message: Message) -> bytes:
    """One line of a REST stream."""
    return b'{"result":' + encode(message) + b"}\n"


def stream_error(status: WireStatus) -> bytes:
    """The line, or the whole body, that ends a REST stream with an error."""
    return b'{"error":' + error_body(status) + b"}\n"
