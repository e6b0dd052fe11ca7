"""The relation cache: what is stored of relations and attributes, between the engine and the store.

The subjects of one relation of one entity are kept whole where they are few: then every question
about them is answered from memory, also about subjects that nobody asked for before, also that
there are none. Of others the single answers are kept. A relation is read whole when it is asked for
a second time, so that what is asked once costs no more than its answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from sys import getsizeof, intern
from typing import Final, NamedTuple, TypeAlias, cast

from grantlog.cache.clock import Cause, Clock, fact_dependency, kind_dependency
from grantlog.cache.counts import CacheState, Counts
from grantlog.cache.shelf import Entry, Shelf
from grantlog.cache.sizes import size_of_dependencies, size_of_key, size_of_subjects, size_of_value
from grantlog.errors import CorruptionError
from grantlog.model.attributes import AttributeValue
from grantlog.model.ids import Revision
from grantlog.model.tuples import Subject
from grantlog.ports.facts import (
    AttributeKey,
    DirectKey,
    FactAnswer,
    FactKey,
    MemberOfUsersetKey,
    SubjectPage,
    SubjectsKey,
    UsersetsKey,
)

WHOLE_SUBJECTS_MAX: Final = 250
"""A relation of more subjects is not kept whole."""

FEW_SUBJECTS: Final = 8
"""So many are looked through faster than hashed."""

RELATIONS_REMEMBERED_MAX: Final = 65_536
"""Relations of which it is remembered that they were asked for, or are large."""

_PAGED: Final = (UsersetsKey, SubjectsKey)

FactPlace: TypeAlias = tuple[object, ...]
"""Where an answer is kept: the clock's number and the key; shapes differ by the key's class."""


class Whole:
    """All subjects of a relation of an entity.

    Attributes:
        members: for "is this one among them".
        subjects: all, as a page,
        usersets: and the usersets among them.
    """

    __slots__ = ("members", "subjects", "usersets")

    def __init__(self, subjects: tuple[Subject, ...]) -> None:
        self.subjects = SubjectPage(subjects, more=False)
        usersets = tuple(subject for subject in subjects if subject.relation)
        self.usersets = (
            self.subjects if len(usersets) == len(subjects) else SubjectPage(usersets, more=False)
        )
        few = len(subjects) <= FEW_SUBJECTS
        self.members: tuple[Subject, ...] | frozenset[Subject] = (
            subjects if few else frozenset(subjects)
        )

    @property
    def size(self) -> int:
        """Bytes."""
        size = getsizeof(self) + getsizeof(self.subjects) + size_of_subjects(self.subjects.subjects)
        if self.members is not self.subjects.subjects:
            size += getsizeof(self.members)
        if self.usersets is not self.subjects:
            size += getsizeof(self.usersets) + getsizeof(self.usersets.subjects)
        return size


Kept: TypeAlias = "Whole | FactAnswer"


class Found(NamedTuple):
    """What a cache has of some keys.

    Attributes:
        answers: by key, in order; None also where it has none.
        missing: what stands against an answer, by the places of those that it has not.
    """

    answers: list[FactAnswer]
    missing: dict[int, Cause]

    @property
    def is_ahead(self) -> bool:
        """Whether one of the missing may be there once the clock has seen more of the log."""
        return Cause.AHEAD in self.missing.values()


class _Remembered:
    """A set that forgets what was added longest ago, half at a time."""

    def __init__(self, half: int) -> None:
        self._half = half
        self._new: set[int] = set()
        self._old: set[int] = set()

    def __contains__(self, item: int) -> bool:
        return item in self._new or item in self._old

    def add(self, item: int) -> None:
        self._new.add(item)
        if len(self._new) > self._half:
            self._old, self._new = self._new, set()


class RelationCache:
    """Answers of `FactReader`, in at most so many bytes; for the event loop's thread alone.

    Attributes:
        shelf: all that it holds, by `place_of`; relations that are known whole under four parts.

    Args:
        bytes_max: of all that it holds.
        whole_subjects_max: a relation of more subjects is not kept whole.
    """

    def __init__(self, bytes_max: int, *, whole_subjects_max: int = WHOLE_SUBJECTS_MAX) -> None:
        self.shelf: Shelf[Kept] = Shelf(bytes_max)
        self._whole_max = whole_subjects_max
        self._asked = _Remembered(RELATIONS_REMEMBERED_MAX // 2)
        self._large = _Remembered(RELATIONS_REMEMBERED_MAX // 2)
        self._counts = Counts()

    def find(self, clock: Clock, at: Revision, keys: Sequence[FactKey]) -> Found:
        """What is known to hold at exactly a revision."""
        answers: list[FactAnswer] = []
        missing: dict[int, Cause] = {}
        for place, key in enumerate(keys):
            answer = self._find(clock, at, key)
            if isinstance(answer, Cause):
                missing[place] = answer
                answer = None
            answers.append(answer)
        return Found(answers, missing)

    def _find(self, clock: Clock, at: Revision, key: FactKey) -> FactAnswer | Cause:
        shelf, cause = self.shelf, Cause.ABSENT
        kind = type(key)
        if kind is DirectKey or (isinstance(key, _PAGED) and key.after is None):
            entry = shelf.find((clock.number, key[0], key[1], key[2]))
            if entry is not None:
                if entry.read_at == at or holds(clock, entry, at):
                    whole = entry.value
                    if not isinstance(whole, Whole):
                        raise CorruptionError("another answer stands in the place of a relation")
                    if kind is DirectKey:
                        return key[3:] in whole.members
                    return whole.usersets if kind is UsersetsKey else whole.subjects
                cause = clock.why_not(entry.read_at, at)
        entry = shelf.find(place_of(clock, key))
        if entry is None:
            return cause
        if entry.read_at == at or holds(clock, entry, at):
            answer = entry.value
            if isinstance(answer, Whole):
                raise CorruptionError("a relation stands in the place of another answer")
            return answer
        return clock.why_not(entry.read_at, at)

    def count(self, found: Found) -> None:
        """Count what a batch of keys found in the end."""
        counts = self._counts
        counts.hits += len(found.answers) - len(found.missing)
        for cause in found.missing.values():
            counts.misses[cause] += 1

    def count_hits(self, hits: int) -> None:
        """Count answers that were found without `find`."""
        self._counts.hits += hits

    def worth_reading(self, clock: Clock, missing: Sequence[FactKey]) -> list[FactKey]:
        """What to read along with missing keys: relations that are to be known whole."""
        more: dict[FactPlace, FactKey] = {}
        whole: set[FactPlace] = set()
        for key in missing:
            if isinstance(key, SubjectsKey) and key.after is None:
                whole.add(_whole_place(clock, key))
            elif isinstance(key, DirectKey | UsersetsKey):
                place = _whole_place(clock, key)
                number = hash(place)
                if number in self._asked and number not in self._large:
                    more[place] = SubjectsKey(*key[:3])
                elif place not in more:
                    self._asked.add(number)
        return [key for place, key in more.items() if place not in whole]

    def keep(
        self,
        clock: Clock,
        read_at: Revision,
        keys: Sequence[FactKey],
        answers: Sequence[FactAnswer],
    ) -> None:
        """Keep what was read, all at exactly one revision."""
        whole: set[FactPlace] = set()
        for key, answer in zip(keys, answers, strict=True):
            if isinstance(key, SubjectsKey) and isinstance(answer, SubjectPage):
                place = _whole_place(clock, key)
                if answer.more or key.after is not None or len(answer.subjects) > self._whole_max:
                    self._large.add(hash(place))
                    self._put(place_of(clock, key), _shared(answer), read_at, _reads(key))
                else:
                    whole.add(place)
                    self._put(place, Whole(_shared(answer).subjects), read_at, _reads(key))
        for key, answer in zip(keys, answers, strict=True):
            if isinstance(key, SubjectsKey) or (whole and _whole_place(clock, key) in whole):
                continue
            kept = _shared(answer) if isinstance(answer, SubjectPage) else answer
            self._put(place_of(clock, key), kept, read_at, _reads(key))

    def _put(
        self, place: FactPlace, kept: Kept, read_at: Revision, dependencies: tuple[int, ...]
    ) -> None:
        there = self.shelf.peek(place)
        if there is None or there.read_at < read_at:
            size = size_of_key(place) + size_of_dependencies(dependencies) + _size_of(kept)
            if isinstance(place[-1], tuple):
                size += size_of_key(cast("tuple[str, ...]", place[-1]))  # where a page begins
            self.shelf.put(place, kept, read_at, dependencies, size)

    @property
    def state(self) -> CacheState:
        """What it has done so far and holds now."""
        return CacheState(
            hits=self._counts.hits,
            misses={cause.value: count for cause, count in self._counts.misses.items()},
            evicted=self.shelf.evicted,
            entries=len(self.shelf),
            bytes=self.shelf.bytes,
            bytes_max=self.shelf.bytes_max,
        )


def holds(clock: Clock, entry: Entry[Kept], at: Revision) -> bool:
    """Whether an entry answers at a revision; it is as if read there then, if that is newer."""
    if not clock.may_answer(entry.read_at, at, entry.dependencies):
        return False
    entry.read_at = max(entry.read_at, at)
    return True


def _whole_place(clock: Clock, key: FactKey) -> FactPlace:
    return (clock.number, key[0], key[1], key[2])


def place_of(clock: Clock, key: FactKey) -> FactPlace:
    """The place of a single answer; keys of different classes may be equal, places are not."""
    if isinstance(key, DirectKey | MemberOfUsersetKey):  # seven and nine parts
        return (clock.number, *key)
    if isinstance(key, AttributeKey):
        return (clock.number, "$", *key)
    kind = "usersets" if isinstance(key, UsersetsKey) else "subjects"
    return (clock.number, kind, *key)


def name_of(place: FactPlace) -> tuple[str, str]:
    """The entity type and the relation, or attribute, that a place is of."""
    kind, name = (2, 4) if len(place) in {5, 6} else (1, 3)
    return cast("tuple[str, str]", (place[kind], place[name]))


def _reads(key: FactKey) -> tuple[int, ...]:
    """What the answer to a key depends on."""
    own = fact_dependency(key[0], key[1], key[2])
    if isinstance(key, MemberOfUsersetKey):
        return (own, kind_dependency(key.userset_type, key.userset_relation))
    return (own,)


def _shared(page: SubjectPage) -> SubjectPage:
    """The page with its few types and relations shared among all that is kept."""
    subjects = tuple(Subject(intern(s.type), s.id, intern(s.relation)) for s in page.subjects)
    return SubjectPage(subjects, page.more)


def _size_of(kept: Kept) -> int:
    if isinstance(kept, Whole):
        return kept.size
    if isinstance(kept, SubjectPage):
        return getsizeof(kept) + size_of_subjects(kept.subjects)
    return size_of_value(kept) if isinstance(kept, AttributeValue) else 0
