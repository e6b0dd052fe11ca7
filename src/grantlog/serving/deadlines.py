"""One bound in time for many pieces of work: the cost of a timer is paid once for all of them.

All work has the same bound, so it ends its time in the order in which it began.
"""

from __future__ import annotations

import asyncio
from types import TracebackType


class Bounded:
    """A piece of work of the current task, as a context manager.

    Raises:
        TimeoutError: on leaving, if the time was over and the work was cancelled for it.
    """

    __slots__ = ("_cancels", "_deadlines", "_ends_at", "_late", "_task")

    def __init__(self, deadlines: Deadlines, task: asyncio.Task[object], ends_at: float) -> None:
        self._deadlines = deadlines
        self._task = task
        self._ends_at = ends_at
        self._cancels = task.cancelling()
        self._late = False

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._deadlines.ended(self)
        # As asyncio.timeout: whoever else cancelled the task meanwhile is not overheard.
        if self._late and self._task.uncancel() <= self._cancels and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self, now: float) -> bool:
        """Cancel the work if its time is over; whether it was."""
        if self._ends_at > now:
            return False
        self._late = True
        self._task.cancel()
        return True

    @property
    def ends_at(self) -> float:
        """When its time is over, by the loop's clock."""
        return self._ends_at


class Deadlines:
    """Bounds every piece of work that it is asked for.

    Args:
        bound_s: what each may take.
    """

    def __init__(self, bound_s: float) -> None:
        self._bound_s = bound_s
        self._running: dict[Bounded, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def bounded(self) -> Bounded:
        """The work of the current task from now on; to be used as a context manager at once."""
        task = asyncio.current_task()
        assert task is not None
        loop = task.get_loop()
        work = Bounded(self, task, loop.time() + self._bound_s)
        self._running[work] = None
        if self._timer is None:
            self._arm(loop, work)
        return work

    def ended(self, work: Bounded) -> None:
        """The work has ended; in time or not."""
        self._running.pop(work, None)

    def _arm(self, loop: asyncio.AbstractEventLoop, first: Bounded) -> None:
        self._timer = loop.call_at(first.ends_at, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel what is late; the timer then stands at the end of what has run longest."""
        self._timer = None
        now = loop.time()
        late: list[Bounded] = []
        for work in self._running:
            if not work.expire(now):
                self._arm(loop, work)
                break
            late.append(work)
        for work in late:
            del self._running[work]
