"""Sets of subject ids that may hold everyone but some."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class SubjectSet:
    """Some ids, or everyone but some ids.

    Attributes:
        ids: those inside; of an open set those outside.
        is_open: whether everyone else is inside.
    """

    ids: frozenset[str] = frozenset()
    is_open: bool = False

    def __contains__(self, id_: object) -> bool:
        return (id_ in self.ids) is not self.is_open

    def __or__(self, other: SubjectSet) -> SubjectSet:
        if not self.is_open and not other.is_open:
            return _kept(self.ids | other.ids, self, other)
        return ~(~self & ~other)

    def __and__(self, other: SubjectSet) -> SubjectSet:
        if self.is_open and other.is_open:
            return SubjectSet(self.ids | other.ids, is_open=True)
        if self.is_open:
            return SubjectSet(other.ids - self.ids)
        if other.is_open:
            return SubjectSet(self.ids - other.ids)
        return SubjectSet(self.ids & other.ids)

    def __sub__(self, other: SubjectSet) -> SubjectSet:
        return self & ~other

    def __invert__(self) -> SubjectSet:
        return SubjectSet(self.ids, not self.is_open)


NOBODY: Final = SubjectSet()
EVERYONE: Final = SubjectSet(is_open=True)


def _kept(ids: frozenset[str], one: SubjectSet, other: SubjectSet) -> SubjectSet:
    """The set of these ids; a set that was there already where it is the same, to save room."""
    if len(ids) == len(one.ids):
        return one
    return other if len(ids) == len(other.ids) else SubjectSet(ids)


def union(sets: Iterable[SubjectSet]) -> SubjectSet:
    """All of several sets, in one go."""
    finite: list[frozenset[str]] = []
    whole = NOBODY
    for one in sets:
        if one.is_open:
            whole = one | whole
        elif one.ids:
            finite.append(one.ids)
    if not finite:
        return whole
    ids = finite[0] if len(finite) == 1 else finite[0].union(*finite[1:])
    return SubjectSet(ids) | whole if whole.is_open else SubjectSet(ids)
