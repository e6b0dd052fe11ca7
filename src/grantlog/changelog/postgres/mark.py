"""The mark of `heads_moved`: where the last call stood, and what it could not promise yet. Pure.

The promise of a time T is that every transaction with a commit time up to T is in the heads read.
A writer takes its commit time while it holds a lock on the table of heads and keeps that lock until
its transaction has ended. So a call reads, in statements of their own and in this order, the clock
(T), who holds such locks (L), and the heads (S):

- a writer with a commit time up to T held its lock at T: it is in L, or it ended before L and is in
  S;
- if L is empty, T is promised at once. If not, T is kept until a later call's L holds none of this
  one's writers any more: they have ended, and that call's S has them.

All of it by the primary's clock. A clock that is set back may give a later transaction a time
before T; it is in the heads of a later call all the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, cast

from grantlog.errors import InvalidInputError

LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""The time promised before anything can be."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What one call of `heads_moved` hands to the next."""

    life: str
    """Of the server: a mark of another one says nothing."""
    xmin: str
    """Every transaction below it had ended; a decimal number."""
    through: datetime
    pending: datetime | None
    """A T that was not promised yet,"""
    writers: tuple[str, ...]
    """because of these."""

    def encode(self) -> str:
        """The opaque text."""
        pending = self.pending.isoformat() if self.pending else None
        through = self.through.isoformat()
        return json.dumps([self.life, self.xmin, through, pending, self.writers])


def decode_mark(text: str) -> Mark:
    """The mark of a text.

    Raises:
        InvalidInputError: it is none.
    """
    try:
        parts = cast("tuple[str, str, str, str | None, list[str]]", json.loads(text))
        life, xmin, through, pending, writers = parts
        return Mark(
            life=life,
            xmin=str(int(xmin)),
            through=datetime.fromisoformat(through),
            pending=datetime.fromisoformat(pending) if pending else None,
            writers=tuple(writers),
        )
    except (TypeError, ValueError) as error:
        raise InvalidInputError("this is not a mark of the change log") from error


def next_mark(
    last: Mark | None, *, life: str, xmin: str, now: datetime, writers: Sequence[str]
) -> Mark:
    """The mark of a call that read the clock, then the writers, then the heads."""
    through = last.through if last else LONG_AGO
    if not writers:
        return Mark(life, xmin, max(through, now), None, ())
    if last is None or last.pending is None:
        return Mark(life, xmin, through, now, tuple(writers))
    if set(last.writers).isdisjoint(writers):
        return Mark(life, xmin, max(through, last.pending), now, tuple(writers))
    return Mark(life, xmin, through, last.pending, last.writers)
