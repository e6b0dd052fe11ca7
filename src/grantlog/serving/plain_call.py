"""Calls with one answer as the gRPC door answers them: from bytes and metadata to the same.

No transport here: both servers call the same function.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]
"""Pairs of lower-case names and values; the values of names that end with `-bin` are bytes."""

PlainAnswer: TypeAlias = Callable[[bytes, Metadata], Awaitable[tuple[bytes, Metadata]]]
"""A serialised request and its metadata to a serialised answer and its trailing metadata; raises
RefusedError."""


class RefusedError(Exception):
    """The call ends with a status that is not OK.

    Attributes:
        code: the number of the gRPC status.
        message: its text.
        trailers: trailing metadata beside it.
    """

    def __init__(self, code: int, message: str, trailers: Metadata = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.trailers = trailers
