"""Sending a batch to the topic beside the reading of the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

from grantlog.changelog.kafka.message import Outgoing
from grantlog.changelog.kafka.producer import Sent, TopicWriter
from grantlog.errors import GrantlogError

Then: TypeAlias = "Callable[[Mapping[int, Sent]], Awaitable[None]]"
"""Given the offsets acknowledged, by partition."""


class Sender:
    """One batch at a time: the next one may begin when `done` has returned.

    Args:
        writer: the topic.
        group: runs the sending.
    """

    def __init__(self, writer: TopicWriter, group: asyncio.TaskGroup) -> None:
        self._writer = writer
        self._group = group
        self._task: asyncio.Task[GrantlogError | None] | None = None

    @property
    def busy(self) -> bool:
        """Whether something is on its way, and nothing went wrong yet."""
        return self._task is not None and not self._task.done()

    def begin(self, messages: Sequence[Outgoing], then: Then) -> None:
        """Send messages, and tell what was acknowledged; returns at once."""
        self._task = self._group.create_task(self._send(messages, then), name="send")

    async def done(self) -> None:
        """Return when what was begun is on the topic and told.

        Raises:
            GrantlogError: it is not, or that is not known; the writer cannot be used any more.
        """
        if self._task is None:
            return
        failure = await self._task
        self._task = None
        if failure is not None:
            raise failure

    def drop(self) -> None:
        """Give up what is under way."""
        if self._task is not None:
            self._task.cancel()

    async def _send(self, messages: Sequence[Outgoing], then: Then) -> GrantlogError | None:
        try:
            await then(await self._writer.send(messages))
        except GrantlogError as error:
            return error
        return None
