"""What a cache has done so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from grantlog.cache.clock import Cause


def _none() -> dict[Cause, int]:
    return dict.fromkeys(Cause, 0)


@dataclass(slots=True)
class Counts:
    """Of one cache, since the process began.

    Attributes:
        hits: answers given.
        misses: by what stood against an answer.
    """

    hits: int = 0
    misses: dict[Cause, int] = field(default_factory=_none)


@dataclass(frozen=True, slots=True)
class CacheState:
    """A cache at some moment, for metrics.

    Attributes:
        hits: answers given since the process began.
        misses: answers not given, by `Cause`'s words.
        evicted: entries dropped to make room.
        entries: how many there are,
        bytes: and what they take,
        bytes_max: and may take.
    """

    hits: int
    misses: dict[str, int]
    evicted: int
    entries: int
    bytes: int
    bytes_max: int
