"""Lookups that stay open between two pages, so that the next page goes on where this one ended.

What a page begins with, following facts up to the last hop, may cost far more than the page itself.
An open lookup is a pure function of its request and its revision, so losing one costs time and
changes no answer: another node, or this one later, begins anew behind the last id.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

OPEN_MAX: Final = 1_000
"""Lookups that are kept open."""

HELD_MAX: Final = 500_000
"""Entities, subjects and facts that all of them hold together: about 100 MB."""

IDLE_S_MAX: Final = 60.0
"""How long one is kept for its next page."""


class Ids(Protocol):
    """What lookups of entities and of subjects have in common."""

    @property
    def held(self) -> int:
        """How many entities, subjects and facts it holds."""
        ...

    def parts(self) -> AsyncGenerator[list[str]]:
        """The ids, in order, some at a time."""
        ...


@dataclass(frozen=True, slots=True)
class OpenLookup:
    """A lookup of which some ids were taken.

    Attributes:
        lookup: what it costs to keep.
        parts: the ids that were not taken.
        ahead: those that were taken and not shown.
    """

    lookup: Ids
    parts: AsyncGenerator[list[str]]
    ahead: Sequence[str] = ()


class OpenLookups:
    """Keeps lookups by the page that comes next; the one that waits longest goes first."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        open_max: int = OPEN_MAX,
        held_max: int = HELD_MAX,
        idle_s_max: float = IDLE_S_MAX,
    ) -> None:
        """Keep none.

        Args:
            clock: seconds that never go back.
            open_max: how many are kept.
            held_max: how much they hold together; one that holds more is not kept.
            idle_s_max: how long one is kept.
        """
        self._clock = clock
        self._open_max = open_max
        self._held_max = held_max
        self._idle_s_max = idle_s_max
        self._kept: dict[Hashable, tuple[OpenLookup, int, float]] = {}
        self._held = 0

    def take(self, page: Hashable) -> OpenLookup | None:
        """The lookup that goes on with a page, for the caller alone; None if it is not kept."""
        found = self._kept.pop(page, None)
        if found is None:
            return None
        opened, held, _ = found
        self._held -= held
        return opened

    async def keep(self, page: Hashable, opened: OpenLookup) -> None:
        """Keep a lookup for a page, at the cost of those that wait longest."""
        held = opened.lookup.held + len(opened.ahead)
        now = self._clock()
        before = self.take(page)
        if before is not None:
            await close(before)
        if held > self._held_max:
            await close(opened)
            return
        self._kept[page] = (opened, held, now)
        self._held += held
        for old, (_, _, since) in list(self._kept.items()):
            full = self._held > self._held_max or len(self._kept) > self._open_max
            if not full and now - since <= self._idle_s_max:
                break
            given_up = self.take(old)
            if given_up is not None:
                await close(given_up)


async def close(opened: OpenLookup) -> None:
    """End a lookup that nobody goes on with."""
    await opened.parts.aclose()
