"""Calling the API over gRPC, with its errors as ours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Final

import grpc
from grpc import aio

from grantlog.cli.address import await_server
from grantlog.errors import GrantlogError, UnavailableError
from grantlog.wire.google import error_details_pb2, status_pb2

CONNECT_S_MAX: Final = 5.0
_DETAILS: Final = "grpc-status-details-bin"
_CUT: Final = "…"
_OPTIONS: Final = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),
]
"""A server that comes back is found within a second, and nothing stands between it and us."""


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
        says_it = explained.removesuffix(_CUT) in self.text  # of a long one, its beginning
        shown = self.text if says_it else f"{self.text}: {explained}"
        super().__init__(f"{self.code.name}: {shown}" if shown else self.code.name)


@contextlib.asynccontextmanager
async def connected(
    address: str, *, wait_s_max: float = 0.0, waiting: Callable[[], None] = lambda: None
) -> AsyncGenerator[aio.Channel]:
    """A channel to a server that answers.

    Args:
        address: HOST:PORT.
        wait_s_max: how long a server that is not there yet is waited for.
        waiting: called once if it is.

    Raises:
        UnavailableError: none answers, or what answers does not speak gRPC.
        NotFoundError: there is no such host.
    """
    await await_server(address, wait_s_max=wait_s_max, waiting=waiting)
    async with aio.insecure_channel(address, options=_OPTIONS) as channel:
        try:
            async with asyncio.timeout(CONNECT_S_MAX + wait_s_max):
                await channel.channel_ready()
        except TimeoutError as error:
            raise UnavailableError(f"the server at {address} no longer answers") from error
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
