"""What waits to be sent to a node, in the order in which each of its watchers hears it. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

from grantlog.serving.watch_message import WatchMessage
from grantlog.watch.v1 import service_pb2 as pb
from grantlog.wire.status import WireStatus, rpc_status

BATCH_BYTES: Final = 512 * 1024
"""A batch with so many bytes of messages takes no more; a message is never divided."""


class Listener:
    """A watcher of the node, as far as sending goes.

    Attributes:
        number: names it on the stream.
        room: bytes that it may still be sent; the last message may take more.
    """

    __slots__ = ("batch", "number", "place", "room")

    def __init__(self, number: int, room: int) -> None:
        self.number = number
        self.room = room
        self.batch: _Batch | None = None
        """Where its last message stands,"""
        self.place = -1
        """and at which place in it."""


class _Batch:
    """One message of the stream, as it grows."""

    __slots__ = ("bytes", "places", "told")

    def __init__(self) -> None:
        self.told = pb.Told()
        self.bytes = 0
        self.places: dict[WatchMessage, int] = {}


class Batches:
    """Batches that have not been sent."""

    def __init__(self, batch_bytes: int = BATCH_BYTES) -> None:
        self._batch_bytes = batch_bytes
        self._batches: deque[_Batch] = deque()
        self.said = 0
        """How often something was said so far."""

    def __len__(self) -> int:
        return len(self._batches)

    def say(self, listener: Listener, message: WatchMessage) -> None:
        """Have a watcher told, behind all that it was told before; once for all who hear it."""
        raw = message.SerializeToString()
        listener.room -= len(raw)
        self.said += 1
        batch = self._batches[-1] if self._batches else None
        place = batch.places.get(message) if batch is not None else None
        # A message that was put in for others stands before what this one is to hear first.
        if batch is None or place is None or (listener.batch is batch and listener.place >= place):
            batch = self._open(len(raw))
            place = batch.places[message] = len(batch.told.messages)
            batch.bytes += len(raw)
            batch.told.messages.add(
                watchers=(listener.number,),
                response=raw,
                snap_token=message.snap_token,
                has_changes=message.has_changes,
            )
        else:
            batch.told.messages[place].watchers.append(listener.number)
        listener.batch, listener.place = batch, place

    def end(self, number: int, status: WireStatus | None) -> None:
        """Have a watcher told that nothing follows; no status is an end without an error."""
        self.said += 1
        end = self._open(0).told.ends.add(watcher=number)
        if status is not None:
            end.code, end.text = status.code, status.message
            if status.details:
                end.details = rpc_status(status).SerializeToString()

    def take(self) -> pb.Told:
        """The first batch; there is one."""
        return self._batches.popleft().told

    def _open(self, more: int) -> _Batch:
        """The batch that takes what is said now."""
        last = self._batches[-1] if self._batches else None
        if last is None or (more and last.bytes and last.bytes + more > self._batch_bytes):
            last = _Batch()
            self._batches.append(last)
        return last
