"""An import: batches read, sent several at a time, and counted in the order of the lines."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from grantlog.cli.importing.batches import Batch
from grantlog.cli.importing.lines import Reject
from grantlog.cli.importing.progress import Progress
from grantlog.cli.importing.send import Sender
from grantlog.errors import GrantlogError

AHEAD: Final = 4
"""Batches held, for each request in flight: a slow one does not starve the others."""
SAVE_EVERY_S: Final = 1.0


@dataclass(slots=True)
class _Outcome:
    rejects: list[Reject] = field(default_factory=list[Reject])
    failure: GrantlogError | None = None
    cut_short: bool = False


async def run_import(
    batches: Iterable[Batch],
    sender: Sender,
    progress: Progress,
    *,
    in_flight_max: int,
    moved: Callable[[], None],
) -> None:
    """Send all batches; `moved` is called after each one was counted, in order.

    However it ends, the progress is saved: only what lies before the first batch that is not done
    counts, the rest is sent again.

    Raises:
        GrantlogError: the server cannot take them; nothing is lost.
    """
    run = _Run(sender, progress, asyncio.Semaphore(in_flight_max), moved)
    try:
        async with asyncio.TaskGroup() as group:
            for batch in batches:
                while run.must_wait_for(batch, in_flight_max * AHEAD):
                    await run.count_first()
                if run.failure:
                    break
                run.waiting.append((batch, group.create_task(run.send(batch))))
                await asyncio.sleep(0)  # reading must not starve the requests
                run.count_done()
            while run.waiting:
                await run.count_first()
    finally:
        run.count_done()
        progress.save()
    if run.failure:
        raise run.failure


@dataclass(slots=True)
class _Run:
    sender: Sender
    progress: Progress
    slots: asyncio.Semaphore
    moved: Callable[[], None]
    waiting: deque[tuple[Batch, asyncio.Task[_Outcome]]] = field(
        default_factory=deque[tuple[Batch, asyncio.Task[_Outcome]]]
    )
    failure: GrantlogError | None = None
    gap: bool = False
    """Whether a batch that is not done has been met: nothing behind it counts."""
    saved_at: float = 0.0

    def must_wait_for(self, batch: Batch, held_max: int) -> bool:
        """Whether an earlier batch has to be counted first."""
        if not self.waiting:
            return False
        return len(self.waiting) >= held_max or any(
            not earlier.attributes.isdisjoint(batch.attributes) for earlier, _ in self.waiting
        )

    async def send(self, batch: Batch) -> _Outcome:
        """Send when a slot is free, unless the import has failed."""
        async with self.slots:
            if self.failure:
                return _Outcome(failure=self.failure)
            try:
                return _Outcome(await self.sender.send(batch.facts))
            except GrantlogError as error:
                self.failure = self.failure or error
                return _Outcome(failure=error)

    async def count_first(self) -> None:
        """Wait for the earliest batch and count it, with those behind it that are done."""
        await asyncio.wait({self.waiting[0][1]})
        self.count_done()

    def count_done(self) -> None:
        """Count the earliest batches as far as they are done."""
        while self.waiting and self.waiting[0][1].done():
            batch, task = self.waiting.popleft()
            self._count(batch, _Outcome(cut_short=True) if task.cancelled() else task.result())

    def _count(self, batch: Batch, outcome: _Outcome) -> None:
        self.gap = self.gap or outcome.cut_short or outcome.failure is not None
        if self.gap:
            return
        rejects = sorted([*batch.rejects, *outcome.rejects], key=lambda reject: reject.number)
        assert batch.last is not None
        imported = len(batch.facts) - len(outcome.rejects)
        self.progress.advance(batch.last.end, batch.last.number, imported, rejects)
        now = asyncio.get_running_loop().time()
        if now - self.saved_at > SAVE_EVERY_S:
            self.progress.save()
            self.saved_at = now
        self.moved()
