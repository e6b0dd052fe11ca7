"""Answers all watchers of an API node on one stream: what happens at one time goes together."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, TypeAlias

from grpc import aio

from grantlog.api.v1 import service_pb2
from grantlog.background import background_tasks
from grantlog.errors import InvalidInputError, LimitError, UnavailableError
from grantlog.serving.calls import Calls, failed, not_stalled
from grantlog.serving.grpc_door import abort
from grantlog.serving.metadata import collect_answer_metadata, set_request_metadata
from grantlog.serving.watch_message import WatchMessage
from grantlog.serving.watching import METHOD
from grantlog.watch.v1 import service_pb2 as pb
from grantlog.watch.v1 import service_pb2_grpc
from grantlog.wire.status import status_of
from grantlog_watch.batches import Batches, Listener

_Context: TypeAlias = "aio.ServicerContext[pb.Asked, pb.Told]"

RELAY: Final = "/grantlog.watch.v1.Relay/Watch"
_TURNS_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """The bounds of relaying."""

    stall_s_max: float = 30.0
    """A watcher without credit, or a node that reads nothing, is cut after so many seconds."""
    nodes_max: int = 1_000
    """Streams of nodes at once."""
    room_bytes_max: int = 1024 * 1024
    """A watcher's credit counts no further."""


class RelayService(service_pb2_grpc.RelayServicer):
    """The service `grantlog.watch.v1.Relay`: each watcher is a call of base.v1.Watch.

    Args:
        calls: what answers base.v1.Watch.
        limits: the bounds.
    """

    def __init__(self, calls: Calls, limits: RelayLimits) -> None:
        self._calls = calls
        self._limits = limits
        self._open: set[_Conversation] = set()
        self._is_closed = False

    def close(self) -> None:
        """End each stream once its watchers have ended, which others see to; refuse new ones."""
        self._is_closed = True
        for conversation in self._open:
            conversation.close()

    # It reads and writes the stream as it likes, which the generated class's types do not know.
    async def Watch(  # noqa: N802 - the proto's name  # pyright: ignore[reportIncompatibleMethodOverride]
        self, request_iterator: object, context: _Context
    ) -> None:
        """Answer a node's watchers until it goes."""
        del request_iterator
        conversation = _Conversation(self._calls, context, self._limits)
        try:
            self._require_room()
            self._open.add(conversation)
            await conversation.run()
        except Exception as error:  # noqa: BLE001 - a door: every failure gets a status
            await abort(context, RELAY, error)
        finally:
            self._open.discard(conversation)

    def _require_room(self) -> None:
        if self._is_closed:
            raise _shutting_down()
        if len(self._open) >= self._limits.nodes_max:
            raise LimitError(
                f"{self._limits.nodes_max} nodes have their watchers answered here, as many as may"
            )


def _shutting_down() -> UnavailableError:
    return UnavailableError("this node is shutting down")


class _Watcher(Listener):
    """A watcher of a node, and the task that answers it."""

    __slots__ = ("has_room", "task")

    def __init__(self, number: int, room: int) -> None:
        super().__init__(number, room)
        self.has_room = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class _Conversation:
    """One stream."""

    def __init__(self, calls: Calls, context: _Context, limits: RelayLimits) -> None:
        self._calls = calls
        self._context = context
        self._limits = limits
        self._watchers: dict[int, _Watcher] = {}
        self._last = 0
        self._batches = Batches()
        self._has_more = asyncio.Event()
        self._is_all_sent = asyncio.Event()
        self._is_closed = False

    def close(self) -> None:
        """No watcher begins any more; with the last one the stream ends."""
        self._is_closed = True
        self._has_more.set()

    async def run(self) -> None:
        """Answer until the node goes, or until all is told after `close`.

        Raises:
            SlowReaderError: the node reads nothing.
            InvalidInputError: it says what makes no sense.
        """
        async with background_tasks() as group:
            telling = group.create_task(self._tell(), name="tells a node's watchers")
            hearing = group.create_task(self._hear(group), name="hears of a node's watchers")
            try:
                await asyncio.wait({telling, hearing}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                answering = [each.task for each in self._watchers.values() if each.task]
                for task in (telling, hearing, *answering):
                    task.cancel()
                self._is_all_sent.set()  # all that will be

    async def _hear(self, group: asyncio.TaskGroup) -> None:
        while isinstance(asked := await _read(self._context), pb.Asked):
            for begin in asked.begins:
                self._begin(begin, group)
            for credit in asked.credits:
                watcher = self._watchers.get(credit.watcher)
                if watcher is not None:
                    room = watcher.room + credit.bytes
                    watcher.room = min(room, self._limits.room_bytes_max)
                    watcher.has_room.set()
            for number in asked.stops:
                watcher = self._watchers.pop(number, None)
                if watcher is not None and watcher.task is not None:
                    watcher.task.cancel()
                    self._has_more.set()  # it may have been the last

    def _begin(self, begin: pb.Begin, group: asyncio.TaskGroup) -> None:
        if begin.watcher <= self._last:
            raise InvalidInputError("a watcher's number is used again")
        self._last = begin.watcher
        if self._is_closed:
            self._end(begin.watcher, _shutting_down())
            return
        room = min(begin.credit_bytes, self._limits.room_bytes_max)
        watcher = self._watchers[begin.watcher] = _Watcher(begin.watcher, room)
        watcher.task = group.create_task(self._answer(watcher, begin), name="answers a watcher")

    async def _answer(self, watcher: _Watcher, begin: pb.Begin) -> None:
        """Tell a watcher what its call is answered with, as far as its credit goes."""
        set_request_metadata(begin.metadata.items())
        collect_answer_metadata()
        request = service_pb2.WatchRequest(tenant_id=begin.tenant_id, snap_token=begin.snap_token)
        try:
            async with aclosing(self._calls.stream(METHOD, request)) as messages:
                async for message in messages:
                    if watcher.room <= 0:
                        await self._room(watcher)
                    told = message
                    if not isinstance(told, WatchMessage):
                        assert isinstance(told, service_pb2.WatchResponse)
                        told = WatchMessage.of(told)
                    self._batches.say(watcher, told)
                    self._say_more()
        except Exception as error:  # noqa: BLE001 - a door: every failure gets a status
            self._end(watcher.number, error)
            await self._is_all_sent.wait()  # to log a defect takes time
            failed(METHOD, error)
        else:
            self._end(watcher.number, None)

    async def _room(self, watcher: _Watcher) -> None:
        async with not_stalled(self._limits.stall_s_max):
            while watcher.room <= 0:
                watcher.has_room.clear()
                await watcher.has_room.wait()

    def _end(self, number: int, error: Exception | None) -> None:
        self._watchers.pop(number, None)
        self._batches.end(number, status_of(error) if error is not None else None)
        self._say_more()

    def _say_more(self) -> None:
        self._is_all_sent.clear()
        self._has_more.set()

    async def _tell(self) -> None:
        """Send what waits; meanwhile more comes to wait."""
        while not (self._is_closed and not self._watchers and not self._batches):
            if not self._batches:
                self._has_more.clear()
                await self._has_more.wait()
                continue
            await self._gathered()
            try:
                async with not_stalled(self._limits.stall_s_max):
                    await self._context.write(self._batches.take())
            except aio.InternalError:
                return  # the node is gone
            if not self._batches:
                self._is_all_sent.set()

    async def _gathered(self) -> None:
        """Let those speak who were woken by the same event: others' turns, not time, go by."""
        said, quiet = -1, 0
        for _ in range(_TURNS_MAX):
            quiet = quiet + 1 if said == self._batches.said else 0
            if quiet > 1 or len(self._batches) > 1:
                break
            said = self._batches.said
            await asyncio.sleep(0)


async def _read(context: _Context) -> object:
    """The next message of a stream, or what says that none will come."""
    return await context.read()
