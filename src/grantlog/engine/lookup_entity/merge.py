"""Reading ids in order from many sources at once.

Every source is a list of ids in order, most of them read page by page. A window is all that the
sources hold up to the least last id of those that have more: whatever else comes lies behind it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

from grantlog.engine.bounds import Value
from grantlog.engine.reading import LookupFacts
from grantlog.ports.reverse import IDS_PER_PAGE_MAX, EntitiesKey, IdPage

PageRead: TypeAlias = "Callable[[str, int], Awaitable[IdPage]]"
"""Reads the page behind an id, of at most so many ids."""

_PAGE_MIN: Final = 16
_GROWTH: Final = 4
_BUFFERED_MAX: Final = 50_000
"""Ids that all sources together hold, as far as the least page allows."""


class Mark(NamedTuple):
    """What it means that an id comes from a source.

    Attributes:
        step: the number of the step that the id was found for; -1 if for none.
        value: the value of that step on the id.
    """

    step: int
    value: Value


SEEN: Final = Mark(-1, None)
"""The id is one to look at, no more."""


class Source:
    """One list of ids.

    Attributes:
        mark: what its ids mean.
        key: where tuples hold it; None where `read` reads it, or all is here already.
        read: reads its pages, for what is not in tuples.
        more: whether others follow those in the buffer.
    """

    __slots__ = ("_at", "_ids", "key", "mark", "more", "page", "read")

    def __init__(
        self,
        mark: Mark,
        *,
        ids: Iterable[str] = (),
        key: EntitiesKey | None = None,
        read: PageRead | None = None,
    ) -> None:
        """A source of ids that are given in any order, or of pages that are to be read."""
        self.mark = mark
        self.key = key
        self.read = read
        self.more = key is not None or read is not None
        self.page = 0
        self._ids: Sequence[str] = sorted(set(ids))
        self._at = 0

    @property
    def left(self) -> int:
        """How many ids are in the buffer."""
        return len(self._ids) - self._at

    @property
    def last(self) -> str:
        """The last id in the buffer."""
        return self._ids[-1]

    def fill(self, page: IdPage) -> None:
        """Take a page that follows what is in the buffer."""
        self._ids = [*self._ids[self._at :], *page.ids]
        self._at = 0
        self.more = page.more

    def take(self, horizon: str | None) -> Sequence[str]:
        """The ids up to the horizon; they leave the buffer."""
        start = self._at
        self._at = len(self._ids) if horizon is None else bisect_right(self._ids, horizon, start)
        return self._ids[start : self._at]


class Merge:
    """The ids of many sources, in order, each with what all sources say about it."""

    def __init__(
        self, sources: Iterable[Source], facts: LookupFacts, *, after: str, wanted: int
    ) -> None:
        """Begin behind an id.

        Args:
            sources: where ids come from.
            facts: reads the pages of those with a key.
            after: ids up to this one are left out.
            wanted: about how many ids will be taken.
        """
        self._sources = list(sources)
        self._facts = facts
        count = max(1, sum(source.more for source in self._sources))
        self._page_max = max(_PAGE_MIN, min(_BUFFERED_MAX // count, IDS_PER_PAGE_MAX))
        page = max(_PAGE_MIN, min(_GROWTH * wanted // count, self._page_max))
        for source in self._sources:
            source.page = page
            source.take(after)
        self._after = after

    async def window(self) -> dict[str, list[Mark]] | None:
        """The next ids with their marks, ids in order; None when there are no more.

        A window may hold no id, if pages are empty.
        """
        await self._refill()
        self._sources = [source for source in self._sources if source.more or source.left]
        if not self._sources:
            return None
        # A source that has more holds at least one id, so a window moves on.
        horizon = min((source.last for source in self._sources if source.more), default=None)
        found: dict[str, list[Mark]] = {}
        for source in self._sources:
            for id_ in source.take(horizon):
                found.setdefault(id_, []).append(source.mark)
        if horizon is not None:
            self._after = horizon
        return {id_: found[id_] for id_ in sorted(found)}

    async def _refill(self) -> None:
        """Read on where a source is empty, and then also where it soon will be."""
        if not any(source.more and not source.left for source in self._sources):
            return
        low = [s for s in self._sources if s.more and 2 * s.left < s.page]
        keyed = [(source, source.key) for source in low if source.key is not None]
        if keyed:
            limit = min(source.page for source, _ in keyed)
            keys = [key._replace(after=self._behind(source)) for source, key in keyed]
            pages = await self._facts.entities(keys, limit=limit)
            for (source, _), page in zip(keyed, pages, strict=True):
                source.fill(page)
        for source in low:
            if source.read is not None:
                source.fill(await source.read(self._behind(source), source.page))
        for source in low:
            source.page = min(_GROWTH * source.page, self._page_max)

    def _behind(self, source: Source) -> str:
        """Where a source's next page begins."""
        return source.last if source.left else self._after
