"""Calling the API over gRPC, with its errors as ours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Generator
from typing import Final

import grpc
from grpc import aio

from grantlog.errors import GrantlogError, UnavailableError
from grantlog.wire.google import error_details_pb2, status_pb2

CONNECT_S_MAX: Final = 5.0
_DETAILS: Final = "grpc-status-details-bin"
_OPTIONS: Final = [("grpc.max_receive_message_length", -1)]


class CallFailedError(GrantlogError):
    """The API answered with an error.

    Attributes:
        code: gRPC's status code.
        text: the status message: a name that machines compare.
    """

    def __init__(self, error: aio.AioRpcError) -> None:
        self.code = error.code()
        self.text = error.details() or ""
        explained = _explanation(error)
        shown = f"{self.text}: {explained}" if explained else self.text
        super().__init__(f"{self.code.name}: {shown}" if shown else self.code.name)


@contextlib.asynccontextmanager
async def connected(address: str) -> AsyncGenerator[aio.Channel]:
    """A channel to a server that answers.

    Raises:
        UnavailableError: none does.
    """
    async with aio.insecure_channel(address, options=_OPTIONS) as channel:
        try:
            async with asyncio.timeout(CONNECT_S_MAX):
                await channel.channel_ready()
        except TimeoutError as error:
            raise UnavailableError(
                f"no server answers at {address}: start one with `grantlog serve`, "
                "or name another with --grpc-address"
            ) from error
        yield channel


@contextlib.contextmanager
def errors_told() -> Generator[None]:
    """Turn gRPC's errors into ours.

    Raises:
        CallFailedError: the call within failed.
    """
    try:
        yield
    except aio.AioRpcError as error:
        raise CallFailedError(error) from error


def _explanation(error: aio.AioRpcError) -> str:
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS and isinstance(value, bytes):
            status = status_pb2.Status.FromString(value)
            for detail in status.details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return info.metadata.get("explanation", "")
    return ""


RETRIABLE: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    }
)
"""The same request may succeed later."""
