"""A map that keeps what was used last, in at most so many entries.

Every question looks into two of them; `cachetools.LRUCache` takes ten times as long for a look
(benchmarks/engine_pieces.py).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, ItemsView
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Values by key; who was neither found nor set for longest goes first.

    Args:
        entries_max: how many are kept.
    """

    __slots__ = ("_entries", "_entries_max")

    def __init__(self, entries_max: int) -> None:
        self._entries: OrderedDict[K, V] = OrderedDict()
        self._entries_max = entries_max

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, key: K) -> V | None:
        """The value under a key."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def set(self, key: K, value: V) -> None:
        """Keep a value."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._entries_max:
            self._entries.popitem(last=False)

    def drop(self, key: K) -> None:
        """Forget a key, whether it is there or not."""
        self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()

    def items(self) -> ItemsView[K, V]:
        """All keys with their values, the longest unused first."""
        return self._entries.items()
