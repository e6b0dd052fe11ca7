"""Where the answer that is being made stands, and which copy of the facts it was read from.

Who knows it notes it here for the request of the current task; the door tells it. No port carries
it, since no decision depends on it.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum


class Source(Enum):
    """A copy of the facts."""

    PRIMARY = "primary"
    REPLICA = "replica"
    CACHE = "cache"
    """Memory of this node, and no store besides."""


@dataclass(slots=True)
class Standing:
    """What is known so far about where an answer stands.

    Attributes:
        snap_token: of the revision that it stands at, "" while none is resolved.
        complete_at: by the node's clock, in seconds: every write committed by then is in it; None
            where the request itself named the revision.
        source: the copy furthest from the writes that was read; if none was, the node's memory
            where it knew the answer, else the primary, which resolves revisions.
        copy: which replica answers the request, as its adapter knows it: it stays with one.
    """

    snap_token: str = ""
    complete_at: float | None = None
    source: Source = Source.PRIMARY
    copy: object = None


_CURRENT: ContextVar[Standing | None] = ContextVar("standing of the answer", default=None)


def follow_standing() -> Standing:
    """What will be noted in this task, and in those it starts, from now on."""
    standing = Standing()
    _CURRENT.set(standing)
    return standing


def stand_at(snap_token: str, complete_at: float | None = None) -> None:
    """Note the revision that is answered at; what was read for another one does not count."""
    standing = _CURRENT.get()
    if standing is not None:
        standing.snap_token = snap_token
        standing.complete_at = complete_at
        standing.source = Source.PRIMARY


def read_from_replica(copy: object = None) -> None:
    """Note that a replica's facts are in the answer, and which one's."""
    standing = _CURRENT.get()
    if standing is not None:
        standing.source = Source.REPLICA
        standing.copy = copy


def note_source(source: Source) -> None:
    """Note where the whole answer came from; CACHE where no store was read for it."""
    standing = _CURRENT.get()
    if standing is not None:
        standing.source = source


def source_noted() -> Source:
    """Where the answer comes from, as far as is known; the primary if nobody follows that."""
    standing = _CURRENT.get()
    return standing.source if standing is not None else Source.PRIMARY


def replica_stayed_with() -> object:
    """The replica that answered this request's last read, None if none did."""
    standing = _CURRENT.get()
    return standing.copy if standing is not None else None
