"""Marking as published, beside the sending: nobody who waits for an event waits for a mark.

A mark says less than is on the topic, never more. Who begins at a mark that is behind sends some
messages again, and readers know those.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from grantlog.changelog.postgres.outbox import Acknowledged, Lease, Outbox
from grantlog.errors import GrantlogError
from grantlog.waiting import set_within

PAUSE_S: Final = 0.05
"""Between two marks: what is sent meanwhile shares one, and one commit."""


class Marker:
    """Writes down what Kafka acknowledged: one statement at a time, each with all there is.

    Args:
        outbox: where it is marked.
        group: runs the marking.
        pause_s: between two marks.
    """

    def __init__(
        self, outbox: Outbox, group: asyncio.TaskGroup, *, pause_s: float = PAUSE_S
    ) -> None:
        self._pause_s = pause_s
        self._outbox = outbox
        self._group = group
        self._waiting = Acknowledged()
        self._leases: Mapping[int, Lease] = {}
        self._task: asyncio.Task[None] | None = None
        self._lost: set[int] = set()
        self._failure: GrantlogError | None = None
        self._hurry = asyncio.Event()

    def note(self, leases: Mapping[int, Lease], done: Acknowledged) -> None:
        """Have this marked under these leases; returns at once.

        Leases of other epochs than before come only behind `flush`.
        """
        self._leases = dict(leases)
        self._waiting.add(done)
        if self._task is None or self._task.done():
            self._task = self._group.create_task(self._mark(), name="mark as published")

    def lost(self) -> set[int]:
        """The partitions whose lease turned out to be lost since the last call.

        Raises:
            GrantlogError: marking failed; this marker cannot be used any more.
        """
        if self._failure is not None:
            raise self._failure
        lost, self._lost = self._lost, set()
        return lost

    async def flush(self) -> None:
        """Return when nothing waits to be marked, or marking failed: `lost` tells."""
        self._hurry.set()
        if self._task is not None:
            await asyncio.wait([self._task])
        self._hurry.clear()

    def drop(self) -> None:
        """Give up what is not marked yet."""
        if self._task is not None:
            self._task.cancel()

    async def _mark(self) -> None:
        try:
            while self._waiting:
                done, self._waiting = self._waiting, Acknowledged()
                kept = await self._outbox.acknowledge(self._leases, done)
                self._lost |= done.offsets.keys() - kept
                await set_within(self._hurry, self._pause_s)
        except GrantlogError as error:
            self._failure = error
