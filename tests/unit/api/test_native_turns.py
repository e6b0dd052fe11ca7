"""Who waits for requests at the native server's front: a thread, or the loop; never both."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from grantlog.serving import grpc_door
from tests.waiting import until

pygrpc_native = pytest.importorskip("pygrpc_native")

METHOD = "/base.v1.Permission/Check"


class Front:
    """The library's front with requests that a test puts there, and answers that it reads."""

    def __init__(self) -> None:
        self._there = threading.Condition()
        self._batches: deque[list[tuple[Any, ...]]] = deque()
        self._is_closed = False
        self.turn: threading.Semaphore | None = None
        self.waits = 0
        """Threads that wait for requests."""
        self.taken_by_threads = 0
        """Batches."""
        self.crowded = 0
        """How often the loop looked while a thread waited, or could have begun to."""
        self.answered: list[int] = []

    def put(self, *call_ids: int) -> None:
        event = pygrpc_native.EVENT_CALL
        with self._there:
            self._batches.append([(event, i, 0, b"", None, ((), "", None)) for i in call_ids])
            self._there.notify_all()

    def recv_batch_details(self, most: int, timeout: float | None = None) -> Any:
        del most
        with self._there:
            if timeout is not None:
                assert self.turn is not None
                self.crowded += self.waits > 0 or self.turn.acquire(blocking=False)
                return self._batches.popleft() if self._batches else []
            self.waits += 1
            self._there.wait_for(lambda: self._batches or self._is_closed)
            self.waits -= 1
            if not self._batches:
                return None
            self.taken_by_threads += 1
            return self._batches.popleft()

    def respond(self, call_id: int, *told: object) -> None:
        del told
        self.answered.append(call_id)

    def close(self) -> None:
        with self._there:
            self._is_closed = True
            self._there.notify_all()


@asynccontextmanager
async def serving() -> AsyncIterator[Front]:
    """A server's own half, from batches of requests to answers."""
    server: Any = grpc_door.build_server("native")
    front = Front()

    async def answer(request: bytes, metadata: object) -> tuple[bytes, tuple[()]]:
        del request, metadata
        await asyncio.sleep(0)
        return b"", ()

    server.add_plain({METHOD: answer})
    server._table = [(METHOD, None)]
    server._front, server._loop, front.turn = front, asyncio.get_running_loop(), server._turn
    thread = threading.Thread(target=server._dispatch, daemon=True)
    thread.start()
    try:
        yield front
    finally:
        front.close()
        server._turn.release()
        await asyncio.to_thread(thread.join, 20)


async def test_requests_are_heard_again_after_a_quiet_time():
    async with serving() as front:
        for call_id in range(1, 6):
            await until(lambda: front.waits == 1)
            front.put(call_id)
            await until(lambda call_id=call_id: call_id in front.answered)


async def test_the_loop_looks_only_while_no_thread_does():
    """Requests that keep coming are the loop's; the thread gets its turn behind the last."""
    async with serving() as front:
        await until(lambda: front.waits == 1)
        for first in range(0, 100, 2):
            front.put(first, first + 1)
        await until(lambda: len(front.answered) == 100)
        await until(lambda: front.waits == 1)
        assert (front.crowded, front.taken_by_threads) == (0, 1)
    assert sorted(front.answered) == list(range(100))
