"""The promises of design §5 that a history can break, and how a breach is told."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate
from typing import Final

from grantlog.errors import InvalidTokenError
from grantlog.model.ids import TenantId
from grantlog.model.token import decode_token

GARBLED: Final = 2**63
"""A revision that no log has."""


class Promise(Enum):
    """What may not be broken."""

    DENSE_LOG = "revisions are 1, 2, 3 …, in epochs that only rise"
    WRITTEN_ONCE = "an acknowledged write is in the log once, at its token, and nothing else is"
    REAL_TIME = "what returned before a call is before it, and what began after it is not in it"
    READ_YOUR_TOKEN = "an answer to a token is never from before it"  # noqa: S105 - no password
    HEAD = "an answer without a token has every write that returned before the call"
    MONOTONIC = "a client that passes tokens on never goes back"
    ONE_REVISION = "an answer is the right one at the revision that its token names"
    NEW_ENEMY = "an answer never judges new content by an access list from before it"
    ALIVE = "a tenant that is there is never told to be gone"
    WATCHED_ONCE = "a watcher is told each change once, in order, with its token"


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise."""

    promise: Promise
    tenant: TenantId
    text: str

    def __str__(self) -> str:
        return f"{self.promise.name}, tenant {self.tenant}: {self.text}"


class Floors:
    """The newest revision that somebody had been told at a time.

    Args:
        told: (when a call returned, the revision that it told).
    """

    def __init__(self, told: Iterable[tuple[float, int]]) -> None:
        ordered = sorted(told)
        self._times = [when for when, _ in ordered]
        self._most = list(accumulate((revision for _, revision in ordered), max, initial=0))

    def before(self, when: float) -> int:
        """The newest revision told strictly before; 0 if none was."""
        return self._most[bisect_left(self._times, when)]


def revision_of(tenant: TenantId, token: str) -> int:
    """The revision of a snap token; 0 for none, infinity's stand-in for one that is garbled."""
    return place_of_token(tenant, token)[1]


def place_of_token(tenant: TenantId, token: str) -> tuple[int, int]:
    """The epoch and the revision of a snap token, as `revision_of`."""
    if not token:
        return 0, 0
    try:
        place = decode_token(tenant, token)
    except InvalidTokenError:
        return 0, GARBLED
    return int(place.epoch), int(place.revision)
