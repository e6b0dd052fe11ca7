"""Clients of the REST door that leave before they have their answer.

Our own protocol tells a request's `Leaving` when the connection is lost, which costs a request
nothing; under another server a task waits for what ASGI says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, NoReturn, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

T = TypeVar("T")

_LEAVING: Final = "grantlog.leaving"


class Leaving:
    """Whether the client of one request has left; whoever works for it is cancelled then."""

    __slots__ = ("_left", "_task")

    def __init__(self, scope: Scope) -> None:
        self._left = False
        self._task: asyncio.Task[Any] | None = None
        scope.setdefault("extensions", {})[_LEAVING] = self

    def leave(self) -> None:
        """The client has left."""
        self._left = True
        if self._task is not None:
            self._task.cancel()

    async def unless_left(self, work: Coroutine[Any, Any, T]) -> T:
        """As `while_connected`."""
        task = asyncio.current_task()
        assert task is not None
        if self._left:
            work.close()
            raise ClientDisconnect
        cancels = task.cancelling()
        self._task = task
        try:
            return await work
        except asyncio.CancelledError:
            if self._left and task.uncancel() <= cancels:
                raise ClientDisconnect from None
            raise  # by somebody else, if perhaps not only
        finally:
            self._task = None


async def disconnected(receive: Receive) -> None:
    """Return when the client has left; its request has been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def while_connected(scope: Scope, receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The work's result; when the client leaves, the work is cancelled where it stands.

    Raises:
        ClientDisconnect: the client left.
        Exception: what the work raised.
    """
    leaving: Leaving | None = scope.get("extensions", {}).get(_LEAVING)
    if leaving is not None:
        return await leaving.unless_left(work)
    try:
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(_leave(receive), name="await disconnect")
            try:
                return await work
            finally:
                watching.cancel()
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _leave(receive: Receive) -> NoReturn:
    await disconnected(receive)
    raise ClientDisconnect
