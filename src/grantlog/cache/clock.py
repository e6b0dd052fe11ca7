"""The validity clock of a tenant: which cached values may answer at which revision. Design §6.

Of each tenant that is asked about, a clock knows an interval of its log, (base, seen], and for
every key that a value can depend on the newest revision in it that touched the key. A value that
was read at r holds at t if nothing touched what it depends on in between. Events move clocks and
never touch a value, so a value that is loaded while an event passes needs no care: what it says
about r stays true, and the clock is asked when it is used.

Keys are hashed to slots, and a slot knows the newest touch of all its keys: a collision can make a
good value useless, never a wrong one usable.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from enum import Enum
from typing import Final

from grantlog.model.change import DataWritten, Transaction, TupleChange
from grantlog.model.ids import NOTHING, Epoch, Revision
from grantlog.ports.heads import Head

SLOTS_MIN: Final = 256
KIND_SLOTS: Final = 256
"""Of (type, relation) alone: few keys, which every write touches, so they have slots apart."""

SLOT_BYTES: Final = 8

_ROOMY: Final = 6
"""A clock grows when a 64th of its slots may have been touched since it grew last.

A write loses the values whose slots it touches, whatever their keys: with 5,000 relations kept, the
first 400 writes of a tenant lose one or two others each, which checks must read again. (With
growth at a 16th it was four, and they made the p99 of checks beside writes.)
"""

CHANGES_TOUCHED_MAX: Final = 2_000
"""A transaction with more changes touches everything: noting each would stop the event loop."""

_HASH_BITS: Final = (1 << 62) - 1


def fact_dependency(type_: str, id_: str, name: str) -> int:
    """What reading `type:id#name` or `type:id$name` depends on: a number from 0 on."""
    return hash((type_, id_, name)) & _HASH_BITS


def kind_dependency(type_: str, name: str) -> int:
    """What reading `name` of many entities of a type depends on: a number below 0."""
    return ~(hash((type_, name)) & _HASH_BITS)


class Cause(Enum):
    """Why a cache did not answer."""

    ABSENT = "absent"
    """It has no value."""
    MOVED = "moved"
    """Something that the value depends on was touched, or shares its slot with what was."""
    AHEAD = "ahead"
    """The clock has not seen the log up to there."""
    BEFORE = "before"
    """The clock does not know the log from there on."""
    DEPTH = "depth"
    """The question may not go as deep as the one that was answered."""


class Clock:
    """What is known of one life of a tenant: the time from a deletion or a new epoch to the next.

    Attributes:
        number: tells clocks of this process apart; cached values are kept under it.
        epoch: the log's epoch,
        begins: and the deletion that began the life.
        base: the interval's open beginning.
        seen: its end: all of (base, seen] is in the slots.
    """

    __slots__ = (
        "_digest",
        "_kinds",
        "_last",
        "_mask",
        "_touched",
        "_touches",
        "base",
        "begins",
        "epoch",
        "number",
        "seen",
    )

    def __init__(self, number: int, head: Head, *, slots: int = SLOTS_MIN) -> None:
        """Begin at a head: nothing is known but that it was reached.

        Args:
            number: of no other clock.
            head: where the tenant stands, or stood.
            slots: how many to begin with, a power of two.
        """
        self.number = number
        self.epoch: Epoch = head.epoch
        self.begins: Revision = head.begins
        self.base: Revision = head.revision
        self.seen: Revision = head.revision
        self._digest = head.digest
        self._last = array("q", bytes(SLOT_BYTES * slots))
        self._mask = slots - 1
        self._kinds = array("q", bytes(SLOT_BYTES * KIND_SLOTS))
        self._touched: Revision = NOTHING
        self._touches = 0

    @property
    def place(self) -> tuple[Epoch, Revision, bytes | None]:
        """The end of the interval: its epoch, its revision and, where it is known, its digest."""
        return self.epoch, self.seen, self._digest

    @property
    def slots(self) -> int:
        """How many there are."""
        return self._mask + 1

    @property
    def wants_slots(self) -> bool:
        """Whether so many keys were touched that values are lost to collisions."""
        return self._touches > self._mask >> _ROOMY

    def may_answer(self, read_at: Revision, at: Revision, dependencies: Iterable[int]) -> bool:
        """Whether a value read at one revision is known to be the one at another.

        Args:
            read_at: the exact revision that the value was read at.
            at: the exact revision that is asked for.
            dependencies: of `fact_dependency` and `kind_dependency`: all that was read, what was
                found empty included.
        """
        if read_at == at:
            return True
        low, high = (read_at, at) if read_at < at else (at, read_at)
        if low < self.base or high > self.seen:
            return False
        if self._touched <= low:
            return True
        last, mask, kinds = self._last, self._mask, self._kinds
        for each in dependencies:
            if (last[each & mask] if each >= 0 else kinds[~each % KIND_SLOTS]) > low:
                return False
        return True

    def why_not(self, read_at: Revision, at: Revision) -> Cause:
        """What stands against a value that may not answer."""
        if max(read_at, at) > self.seen:
            return Cause.AHEAD
        return Cause.BEFORE if min(read_at, at) < self.base else Cause.MOVED

    def follow(self, transaction: Transaction) -> bool:
        """Take the next transaction of this life in; False if it is another one.

        What was taken in already is passed over.
        """
        revision = transaction.revision
        if revision <= self.seen:
            return True
        fits = self._digest is None or transaction.previous_digest == self._digest
        if revision != self.seen + 1 or not fits:
            return False
        body = transaction.body
        if isinstance(body, DataWritten):
            if len(body.changes) > CHANGES_TOUCHED_MAX:
                self.base = revision
            else:
                self._touch(body, revision)
        # Last of all: until here the clock says nothing about the revision.
        self.seen = revision
        self._digest = transaction.digest
        return True

    def _touch(self, body: DataWritten, revision: Revision) -> None:
        last, mask, kinds = self._last, self._mask, self._kinds
        for change in body.changes:
            if isinstance(change, TupleChange):
                (type_, id_), name, _ = change.tuple
            else:
                (type_, id_), name, _ = change.attribute
            last[fact_dependency(type_, id_, name) & mask] = revision
            kinds[~kind_dependency(type_, name) % KIND_SLOTS] = revision
        self._touches += len(body.changes)
        self._touched = revision

    def restart(self, at: Revision, digest: bytes | None = None) -> None:
        """Know nothing of the log but that it reached a revision, in this very life."""
        self.base = self.seen = at
        self._digest = digest

    def grow(self) -> None:
        """Double the slots; a key's new slot knows what its old one knew."""
        self._last += self._last
        self._mask = len(self._last) - 1
        self._touches = 0
