"""Reading ids in order from many sources at once.

Every source is a list of ids in order, most of them read page by page. Ids are taken from all in
order until one that has more to read is empty: whatever else it has lies behind the id taken last.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from heapq import heapify, heappop, heappush, heapreplace
from typing import Final, Generic, TypeAlias, TypeVar

from grantlog.ports.reverse import IDS_PER_PAGE_MAX, EntitiesKey, IdPage, OfKindKey

Key = TypeVar("Key", EntitiesKey, OfKindKey)
Mark = TypeVar("Mark")
"""What it means that an id comes from a source."""

PageRead: TypeAlias = "Callable[[str, int], Awaitable[IdPage]]"
"""Reads the page behind an id, of at most so many ids."""

WINDOW_MAX: Final = 1_000
"""Ids that are taken before others on the event loop have their turn: 1 to 2 ms."""

_PAGE_MIN: Final = 16
_GROWTH: Final = 4
_BUFFERED_MAX: Final = 50_000
"""Ids that all sources together hold, as far as the least page allows."""


class Source(Generic[Key, Mark]):
    """One list of ids.

    Attributes:
        mark: what its ids mean.
        key: where tuples hold it; None where `read` reads it, or all is here already.
        read: reads its pages, for what is not in tuples.
        more: whether others follow those in the buffer.
        page: how many ids are read at once.
        end: the last id that was in the buffer, or the id behind which all begins.
    """

    __slots__ = ("_at", "_ids", "end", "key", "mark", "more", "page", "read")

    def __init__(
        self,
        mark: Mark,
        *,
        ids: Iterable[str] = (),
        key: Key | None = None,
        read: PageRead | None = None,
    ) -> None:
        """A source of ids that are given in any order, or of pages that are to be read."""
        self.mark = mark
        self.key = key
        self.read = read
        self.more = key is not None or read is not None
        self.page = 0
        self.end = ""
        self._ids: Sequence[str] = sorted(set(ids))
        self._at = 0

    @property
    def left(self) -> int:
        """How many ids are in the buffer."""
        return len(self._ids) - self._at

    def begin(self, after: str) -> None:
        """Leave out ids up to this one."""
        self.end = after
        self._ids = [id_ for id_ in self._ids if id_ > after]

    def fill(self, page: IdPage) -> None:
        """Take a page that follows what is in the buffer."""
        self._ids = [*self._ids[self._at :], *page.ids]
        self._at = 0
        self.more = page.more
        self.end = page.ids[-1] if page.ids else self.end

    def first(self) -> str | None:
        """The next id, None if the buffer is empty."""
        return self._ids[self._at] if self._at < len(self._ids) else None

    def advance(self) -> str | None:
        """Take the next id; the one behind it."""
        self._at += 1
        return self.first()


class Merge(Generic[Key, Mark]):
    """The ids of many sources, in order, each with what all sources say about it.

    Attributes:
        sources: all of them.
        buffered: how many ids they hold; counted, for every page of a lookup asks.
    """

    def __init__(
        self,
        sources: Iterable[Source[Key, Mark]],
        read_keys: Callable[[Sequence[Key], int], Awaitable[Sequence[IdPage]]],
        *,
        after: str,
        wanted: int,
    ) -> None:
        """Begin behind an id.

        Args:
            sources: where ids come from.
            read_keys: reads the pages of those with a key, all of one length at most.
            after: ids up to this one are left out.
            wanted: about how many ids will be taken.
        """
        self.sources = list(sources)
        self._read_keys = read_keys
        count = max(1, sum(source.more for source in self.sources))
        self._page_max = max(_PAGE_MIN, min(_BUFFERED_MAX // count, IDS_PER_PAGE_MAX))
        page = max(_PAGE_MIN, min(_GROWTH * wanted // count, self._page_max))
        self._next: list[tuple[str, int]] = []
        """A heap: the next id of every source that has one, and the source's number."""
        for number, source in enumerate(self.sources):
            source.page = page
            source.begin(after)
            first = source.first()
            if first is not None:
                self._next.append((first, number))
        heapify(self._next)
        self.buffered = sum(source.left for source in self.sources)
        self._dry = any(source.more and not source.left for source in self.sources)

    async def window(self) -> dict[str, list[Mark]] | None:
        """The next ids with their marks, ids in order; None when there are no more.

        A window holds `WINDOW_MAX` ids at most.
        """
        while self._dry:
            await self._refill()
        found: dict[str, list[Mark]] = {}
        ahead, sources = self._next, self.sources
        taken = 0
        while ahead:
            id_, number = ahead[0]
            if id_ not in found:
                if self._dry or len(found) == WINDOW_MAX:
                    break
                found[id_] = []
            source = sources[number]
            found[id_].append(source.mark)
            following = source.advance()
            taken += 1
            if following is not None:
                heapreplace(ahead, (following, number))
                continue
            heappop(ahead)
            self._dry |= source.more
        self.buffered -= taken
        return found or None

    async def _refill(self) -> None:
        """Read on where a source is empty, and then also where it soon will be."""
        low = [
            (number, source)
            for number, source in enumerate(self.sources)
            if source.more and 2 * source.left < source.page
        ]
        empty = [number for number, source in low if not source.left]
        keyed = [(source, source.key) for _, source in low if source.key is not None]
        if keyed:
            limit = min(source.page for source, _ in keyed)
            keys = [key._replace(after=source.end) for source, key in keyed]
            pages = await self._read_keys(keys, limit)
            for (source, _), page in zip(keyed, pages, strict=True):
                source.fill(page)
                self.buffered += len(page.ids)
        for _, source in low:
            if source.read is not None:
                page = await source.read(source.end, source.page)
                source.fill(page)
                self.buffered += len(page.ids)
            source.page = min(_GROWTH * source.page, self._page_max)
        for number in empty:
            first = self.sources[number].first()
            if first is not None:
                heappush(self._next, (first, number))
        self._dry = any(source.more and not source.left for _, source in low)
