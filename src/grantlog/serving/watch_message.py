"""What watchers are told, as it goes from one process to the next and to many watchers of one.

A message that many hear is made and serialised once; one that another process serialised is passed
on as it came.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from operator import is_
from typing import Final

from grantlog.api.v1 import base_pb2, service_pb2
from grantlog.app.watch import Told
from grantlog.model.change import Change

RELAYED_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of a message between a watch service and a node; one that clients accept fits well into it."""

KEPT_MAX: Final = 1_024
"""Revisions whose messages are kept for other watchers,"""
KEPT_BYTES_MAX: Final = 8 * 1024 * 1024
"""and the bytes of these messages."""


class WatchMessage:
    """A `WatchResponse` that is serialised once, and parsed only where somebody looks into it.

    Attributes:
        snap_token: watching again from it goes on behind it.
        has_changes: whether it tells any.
    """

    __slots__ = ("_message", "_raw", "has_changes", "snap_token")

    def __init__(
        self,
        snap_token: str,
        *,
        has_changes: bool,
        raw: bytes | None = None,
        message: service_pb2.WatchResponse | None = None,
    ) -> None:
        """One of `raw`, the serialised message, and `message` is there."""
        self.snap_token = snap_token
        self.has_changes = has_changes
        self._raw = raw
        self._message = message

    @classmethod
    def of(cls, message: service_pb2.WatchResponse) -> WatchMessage:
        """A message that this process made."""
        changes = message.changes
        return cls(changes.snap_token, has_changes=bool(changes.data_changes), message=message)

    def SerializeToString(self) -> bytes:  # noqa: N802 - as messages have it
        """The same bytes each time."""
        if self._raw is None:
            assert self._message is not None
            self._raw = self._message.SerializeToString()
        return self._raw

    @property
    def message(self) -> service_pb2.WatchResponse:
        """The message itself; not to be changed, others look into it too."""
        if self._message is None:
            assert self._raw is not None
            self._message = service_pb2.WatchResponse.FromString(self._raw)
        return self._message

    @property
    def changes(self) -> base_pb2.DataChanges:
        """The message's one field."""
        return self.message.changes


class KeptMessages:
    """The messages of the latest revisions, for watchers that hear the same of them.

    Args:
        entries_max: revisions.
        bytes_max: bytes of all messages.
    """

    def __init__(self, entries_max: int = KEPT_MAX, bytes_max: int = KEPT_BYTES_MAX) -> None:
        self._entries_max = entries_max
        self._bytes_max = bytes_max
        self._bytes = 0
        self._kept: OrderedDict[
            Hashable, tuple[tuple[Change, ...], Sequence[WatchMessage], int]
        ] = OrderedDict()

    def get(self, told: Told) -> Sequence[WatchMessage] | None:
        """The messages that say exactly this, if they are kept."""
        kept = self._kept.get(_key(told))
        # Another filter, or a history that was lost since, may have other changes there. Changes
        # are told apart by being the very same: True would be equal to 1.
        if kept is None or not all(map(is_, kept[0], told.changes)):
            return None
        return kept[1]

    def keep(self, told: Told, messages: Sequence[WatchMessage]) -> None:
        """Have the messages that were made for one watcher at hand for others."""
        size = sum(len(message.SerializeToString()) for message in messages)
        if size > self._bytes_max:
            return
        key = _key(told)
        self._drop(key)
        self._kept[key] = (told.changes, messages, size)
        self._bytes += size
        while len(self._kept) > self._entries_max or self._bytes > self._bytes_max:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Hashable) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= kept[2]


def _key(told: Told) -> Hashable:
    """Names the revision, and of changes that other filters admit so many others."""
    first = told.changes[0] if told.changes else None
    return told.snap_token, told.previous_token, len(told.changes), id(first)
