"""Many reads as one statement's arrays, and the statement's answer as many reads' answers.

Hot: every fact a check needs passes here. Key tuples are transposed in C rather than taken apart
field by field, and equal keys of one moment are asked once (benchmarks/read_micro.py is the judge).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Final, cast

from grantlog.model.ids import Revision, TenantId
from grantlog.model.tuples import Subject
from grantlog.ports.facts import (
    PAGE_SUBJECTS_MAX,
    AttributeKey,
    DirectKey,
    FactAnswer,
    FactKey,
    MemberOfUsersetKey,
    SubjectPage,
    SubjectsKey,
    UsersetsKey,
)
from grantlog.store.postgres.guard import Guard
from grantlog.store.postgres.values import decode_value

_EMPTY_PAGE: Final = SubjectPage((), more=False)
_BEFORE_SUBJECTS: Final = Subject("", "", "")
# Behind every subject without a relation: "~" sorts behind all letters that a type can have.
_BEFORE_USERSETS: Final = Subject("~", "", "")

_KINDS: Final = (DirectKey, UsersetsKey, SubjectsKey, MemberOfUsersetKey, AttributeKey)
_NOT_FOUND: Final[dict[type, FactAnswer]] = {
    DirectKey: False,
    UsersetsKey: _EMPTY_PAGE,
    SubjectsKey: _EMPTY_PAGE,
    MemberOfUsersetKey: False,
    AttributeKey: None,
}


class _Section:
    """The keys of one kind of lookup: where each is asked, and the number of its answer."""

    __slots__ = ("answers", "keys", "places")

    def __init__(self) -> None:
        self.places: list[int] = []
        self.keys: list[tuple[Any, ...]] = []
        self.answers: list[int] = []

    def columns(self, width: int) -> list[Sequence[Any]]:
        """The keys' first `width` fields as arrays, behind the array of places."""
        if not self.keys:
            return [()] * (width + 1)
        return [self.places, *list(zip(*self.keys, strict=True))[:width]]


class ReadBatch:
    """Collects the keys of many calls, each at its own tenant and revision."""

    def __init__(self) -> None:
        self._contexts: dict[tuple[TenantId, Revision], int] = {}
        self._seen: list[dict[type, dict[FactKey, int]]] = []
        self._found: list[FactAnswer] = []
        self._direct = _Section()
        self._subjects = _Section()
        self._member = _Section()
        self._attribute = _Section()
        self._sections: dict[type, _Section] = {
            DirectKey: self._direct,
            UsersetsKey: self._subjects,
            SubjectsKey: self._subjects,
            MemberOfUsersetKey: self._member,
            AttributeKey: self._attribute,
        }
        self._guards: list[Guard] = []

    def add(
        self, tenant: TenantId, revision: Revision, keys: Sequence[FactKey]
    ) -> tuple[int, list[int]]:
        """Add a call's keys; what is returned finds its answers afterwards."""
        place = self._contexts.setdefault((tenant, revision), len(self._contexts) + 1)
        if place > len(self._seen):
            self._seen.append({kind: {} for kind in _KINDS})
        seen_by_kind = self._seen[place - 1]
        found = self._found
        numbers: list[int] = []
        for key in keys:
            kind = type(key)
            seen = seen_by_kind[kind]
            number = seen.get(key)
            if number is None:
                number = seen[key] = len(found)
                found.append(_NOT_FOUND[kind])
                section = self._sections[kind]
                section.places.append(place)
                section.keys.append(key)
                section.answers.append(number)
            numbers.append(number)
        return place, numbers

    @property
    def has_keys(self) -> bool:
        """Whether more than guards is asked for."""
        return bool(self._found)

    def tenants(self) -> Sequence[TenantId]:
        """The argument of the statement `guards`."""
        return [tenant for tenant, _ in self._contexts]

    def arguments(self) -> list[Sequence[Any]]:
        """The arguments of the statement `read`."""
        tenants, revisions = zip(*self._contexts, strict=True)
        after = [self._after(cast("UsersetsKey | SubjectsKey", k)) for k in self._subjects.keys]
        types, ids, relations = zip(*after, strict=True) if after else ((), (), ())
        return [
            tenants,
            revisions,
            *self._direct.columns(6),
            *self._subjects.columns(3),
            relations,
            types,
            ids,
            *self._member.columns(8),
            *self._attribute.columns(3),
        ]

    @staticmethod
    def _after(key: UsersetsKey | SubjectsKey) -> Subject:
        if key.after is not None:
            return key.after
        return _BEFORE_USERSETS if type(key) is UsersetsKey else _BEFORE_SUBJECTS

    def take(self, row: tuple[Any, ...]) -> None:
        """Take the one row of `read`, or of `guards`."""
        self._guards = [Guard._make(guard) for guard in zip(*row[:4], strict=True)]
        if not self._found:
            return
        direct, subjects, member, attribute = row[4], row[5:9], row[9], row[10:]
        found = self._found
        for slot in direct or ():
            found[self._direct.answers[slot - 1]] = True
        for slot in member or ():
            found[self._member.answers[slot - 1]] = True
        if subjects[0]:
            self._take_pages(*subjects)
        if attribute[0]:
            for slot, number, text in zip(*attribute, strict=True):
                found[self._attribute.answers[slot - 1]] = decode_value(number, text)

    def _take_pages(
        self, slots: list[int], relations: list[str], types: list[str], ids: list[str]
    ) -> None:
        subjects = tuple(map(Subject._make, zip(types, ids, relations, strict=True)))
        start = 0
        while start < len(slots):
            slot = slots[start]
            end = bisect_right(slots, slot, start)
            more = end - start > PAGE_SUBJECTS_MAX
            page = subjects[start : start + PAGE_SUBJECTS_MAX if more else end]
            self._found[self._subjects.answers[slot - 1]] = SubjectPage(page, more)
            start = end

    def guard(self, place: int) -> Guard:
        """The guard of a call, by the place that `add` returned."""
        return self._guards[place - 1]

    def answers(self, numbers: Sequence[int]) -> list[FactAnswer]:
        """The answers of a call, by the numbers that `add` returned."""
        found = self._found
        return [found[number] for number in numbers]
