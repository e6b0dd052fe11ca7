"""Clients of the REST door that leave before they have their answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import NoReturn, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

T = TypeVar("T")


async def disconnected(receive: Receive) -> None:
    """Return when the client has left; its request has been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def while_connected(receive: Receive, work: Awaitable[T]) -> T:
    """The work's result; when the client leaves, the work is cancelled where it stands.

    Raises:
        ClientDisconnect: the client left.
        Exception: what the work raised.
    """
    try:
        async with asyncio.TaskGroup() as group:
            leaving = group.create_task(_leave(receive), name="await disconnect")
            try:
                return await work
            finally:
                leaving.cancel()
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _leave(receive: Receive) -> NoReturn:
    await disconnected(receive)
    raise ClientDisconnect
