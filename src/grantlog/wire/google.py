"""Google's generated modules that come with type stubs but without the marker that says so."""

from __future__ import annotations

from google.api import (  # pyright: ignore[reportMissingTypeStubs] - stubs lie beside it
    annotations_pb2,
    http_pb2,
)
from google.rpc import (  # pyright: ignore[reportMissingTypeStubs] - stubs lie beside it
    error_details_pb2,
    status_pb2,
)

__all__ = ["annotations_pb2", "error_details_pb2", "http_pb2", "status_pb2"]
