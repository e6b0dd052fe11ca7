"""A map bounded by bytes that keeps what is asked for: S3-FIFO, three queues and a count each.

New entries go to a small queue; who was found there meanwhile moves on to the main queue, the
others are dropped, so that what is asked once does not push out what is asked often. The main queue
gives everybody as many further rounds as it was found, at most three. Who comes back soon after it
was dropped goes to the main queue at once. A find changes no queue, and room is made one entry at a
time. (Yang, Zhang, Qiu, Yue, Vinayak: FIFO queues are all you need for cache eviction, SOSP 2023.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from typing import Final, Generic, TypeVar

from grantlog.model.ids import Revision

V = TypeVar("V")

SMALL_SHARE: Final = 10
"""The small queue may hold one part in so many of the bytes."""

USES_MAX: Final = 3

ENTRY_BYTES: Final = 240
"""Of an entry beside its key and value: itself, its numbers, its places in map and queue."""


class Entry(Generic[V]):
    """A value with what says where it may answer.

    Attributes:
        key: where it is found.
        value: what was read or decided.
        read_at: the exact revision that it was read at.
        dependencies: all that it depends on, as `Clock.may_answer` takes it.
        size: bytes, its key and value included.
        uses: how often it was found, up to `USES_MAX`, since it came or was last passed over.
        is_main: whether it stands in the main queue.
    """

    __slots__ = ("dependencies", "is_main", "key", "read_at", "size", "uses", "value")

    def __init__(
        self,
        key: Hashable,
        value: V,
        read_at: Revision,
        dependencies: Iterable[int],
        size: int,
    ) -> None:
        self.key = key
        self.value = value
        self.read_at = read_at
        self.dependencies = dependencies
        self.size = size
        self.uses = 0
        self.is_main = False


class Shelf(Generic[V]):
    """Entries by key, in at most so many bytes.

    Attributes:
        bytes_max: what the entries may take.
        entries: by key; to be read only, by who counts what it finds (benchmarks/engine_pieces.py).
        evicted: how many entries were dropped to make room.
    """

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.entries: dict[Hashable, Entry[V]] = {}
        self._small: deque[Entry[V]] = deque()
        self._main: deque[Entry[V]] = deque()
        self._small_bytes = 0
        self._main_bytes = 0
        # Hashes of keys that the small queue dropped: the newest, and those before them.
        self._dropped: set[int] = set()
        self._dropped_before: set[int] = set()
        self.evicted = 0

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def bytes(self) -> int:
        """What the entries take."""
        return self._small_bytes + self._main_bytes

    def find(self, key: Hashable) -> Entry[V] | None:
        """The entry under a key."""
        entry = self.entries.get(key)
        if entry is not None and entry.uses < USES_MAX:
            entry.uses += 1
        return entry

    def peek(self, key: Hashable) -> Entry[V] | None:
        """The entry under a key, without counting it as found."""
        return self.entries.get(key)

    def put(
        self,
        key: Hashable,
        value: V,
        read_at: Revision,
        dependencies: Iterable[int],
        content_bytes: int,
    ) -> None:
        """Keep a value under a key, in the place of what is there.

        Args:
            key: where it will be found; a hashable that never changes.
            value: the value; it must never change either.
            read_at: the exact revision that it was read at.
            dependencies: as `Entry`.
            content_bytes: of the key, the value and its dependencies.
        """
        entry = self.offer(key, value, read_at, dependencies, content_bytes)
        if entry is None:
            return
        size = ENTRY_BYTES + content_bytes
        self._count(entry, size - entry.size)
        entry.value, entry.read_at, entry.dependencies = value, read_at, dependencies
        entry.size = size
        self._keep_to_the_bound()

    def offer(
        self,
        key: Hashable,
        value: V,
        read_at: Revision,
        dependencies: Iterable[int],
        content_bytes: int,
    ) -> Entry[V] | None:
        """Keep a value as `put` does, unless there is an entry under its key: that is returned."""
        entry = Entry(key, value, read_at, dependencies, ENTRY_BYTES + content_bytes)
        there = self.entries.setdefault(key, entry)
        if there is not entry:
            return there
        self._line_up(entry)
        self._keep_to_the_bound()
        return None

    def _keep_to_the_bound(self) -> None:
        while self._small_bytes + self._main_bytes > self.bytes_max:
            self._make_room()

    def _line_up(self, entry: Entry[V]) -> None:
        """Let a new entry stand in its queue."""
        if self._dropped or self._dropped_before:
            known = hash(entry.key)
            entry.is_main = known in self._dropped or known in self._dropped_before
        if entry.is_main:
            self._main.append(entry)
            self._main_bytes += entry.size
        else:
            self._small.append(entry)
            self._small_bytes += entry.size

    def _count(self, entry: Entry[V], more: int) -> None:
        if entry.is_main:
            self._main_bytes += more
        else:
            self._small_bytes += more

    def _make_room(self) -> None:
        """Pass one entry over, or drop it."""
        if self._small and (self._small_bytes * SMALL_SHARE > self.bytes_max or not self._main):
            entry = self._small.popleft()
            self._small_bytes -= entry.size
            if entry.uses:
                entry.uses = 0
                entry.is_main = True
                self._main.append(entry)
                self._main_bytes += entry.size
                return
            self._remember(entry)
        else:
            entry = self._main.popleft()
            if entry.uses:
                entry.uses -= 1
                self._main.append(entry)
                return
            self._main_bytes -= entry.size
        del self.entries[entry.key]
        self.evicted += 1

    def _remember(self, entry: Entry[V]) -> None:
        """Note that the key was dropped, about as many as there are entries."""
        self._dropped.add(hash(entry.key))
        if 2 * len(self._dropped) > len(self.entries):
            self._dropped_before, self._dropped = self._dropped, set()
