"""The message types that an Any may carry in JSON."""

from __future__ import annotations

from typing import Final

from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2
from google.protobuf.message import Message

from grantlog.api.v1 import base_pb2
from grantlog.wire.google import error_details_pb2

_CLASSES: Final[tuple[type[Message], ...]] = (
    base_pb2.BooleanValue,
    base_pb2.BooleanArrayValue,
    base_pb2.StringValue,
    base_pb2.StringArrayValue,
    base_pb2.IntegerValue,
    base_pb2.IntegerArrayValue,
    base_pb2.DoubleValue,
    base_pb2.DoubleArrayValue,
    error_details_pb2.ErrorInfo,
    error_details_pb2.BadRequest,
    error_details_pb2.RetryInfo,
    error_details_pb2.QuotaFailure,
    error_details_pb2.PreconditionFailure,
    error_details_pb2.ResourceInfo,
    error_details_pb2.RequestInfo,
    error_details_pb2.Help,
    error_details_pb2.LocalizedMessage,
    error_details_pb2.DebugInfo,
    duration_pb2.Duration,
    timestamp_pb2.Timestamp,
    struct_pb2.Struct,
    struct_pb2.ListValue,
    struct_pb2.Value,
)
_BY_NAME: Final = {kind.DESCRIPTOR.full_name: kind for kind in _CLASSES}


def packed_class(type_url: str) -> type[Message] | None:
    """The class that a type URL names by what follows its last slash; None if it is not ours."""
    return _BY_NAME.get(type_url.rpartition("/")[2])
