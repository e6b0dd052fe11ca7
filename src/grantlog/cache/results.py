"""The result cache: what checks came to, each with all that it depends on.

An answer is found under everything that the question says. Errors and answers that are still open
are never kept. An answer that was found at a small depth holds at every larger one; a question with
less depth than the answer needed is not answered from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias, cast

from grantlog.cache.clock import Cause, Clock, fact_dependency, kind_dependency
from grantlog.cache.counts import CacheState, Counts
from grantlog.cache.digest import NO_DIGEST, context_digest
from grantlog.cache.relations import FactPlace, name_of
from grantlog.cache.shelf import Entry, Shelf
from grantlog.cache.sizes import size_of_dependencies, size_of_key
from grantlog.engine.conform import plain_subject
from grantlog.engine.question import NO_CONTEXT, CheckQuery, CheckResult
from grantlog.model.ids import Revision, SchemaVersion
from grantlog.ports.facts import FactKey, MemberOfUsersetKey

DEPENDENCIES_MAX: Final = 64
"""A result that read more keys depends on whole relations of whole types instead."""

_VALUE_BYTES: Final = 200
"""Of a `KeptResult` and what it holds."""

ResultKey: TypeAlias = tuple[int, str, str, str, str, str, str, str, tuple[str, ...], bytes]
"""Clock's number, schema version, entity, permission, subject, arguments, digest of the context."""

_BARE_BYTES: Final = _VALUE_BYTES + size_of_key((1 << 40, "0" * 20, *([""] * 6), (), NO_DIGEST))
"""Of an answer beside its dependencies and the texts of its key, which are ASCII."""


class KeptResult(NamedTuple):
    """A check's answer, and the smallest depth that is known to give it."""

    result: CheckResult
    depth: int


@lru_cache(maxsize=4_096)
def kept_result(allowed: bool, count: int, depth: int) -> KeptResult:  # noqa: FBT001 # hot
    """An answer with its depth; equal ones are one, of which a cache holds many."""
    return KeptResult(CheckResult(allowed, count), depth)


def result_key(clock: Clock, version: SchemaVersion, query: CheckQuery) -> ResultKey | None:
    """Where a question's answer is kept; None for one that is never kept."""
    digest = context_digest(query.context)
    return None if digest is None else _key(clock.number, version, query, digest)


def result_keys(
    clock: Clock, version: SchemaVersion, queries: Iterable[CheckQuery]
) -> list[ResultKey | None]:
    """As `result_key`, of many questions, most of which share their context."""
    number = clock.number
    digested, digest = NO_CONTEXT, context_digest(NO_CONTEXT)
    keys: list[ResultKey | None] = []
    for query in queries:
        if query.context is not digested:
            digested, digest = query.context, context_digest(query.context)
        keys.append(None if digest is None else _key(number, version, query, digest))
    return keys


def _key(number: int, version: SchemaVersion, query: CheckQuery, digest: bytes) -> ResultKey:
    """A question's key, once its context is digested."""
    (type_, id_), permission, subject, arguments, _, _ = query
    kind, who, relation = plain_subject(subject)
    return number, version, type_, id_, permission, kind, who, relation, arguments, digest


def dependencies_of(keys: Iterable[FactKey]) -> tuple[int, ...] | None:
    """What an answer that read these keys depends on; None if that is too much to keep.

    A look-up of a subject's own memberships reads tuples of many entities of a type.
    """
    facts: set[int] = set()
    kinds: set[int] = set()
    names: set[tuple[str, str]] = set()
    for key in keys:
        names.add((key[0], key[2]))
        facts.add(fact_dependency(key[0], key[1], key[2]))
        if isinstance(key, MemberOfUsersetKey):
            kinds.add(kind_dependency(key.userset_type, key.userset_relation))
    if len(facts) + len(kinds) <= DEPENDENCIES_MAX:
        return (*facts, *kinds)
    kinds.update(kind_dependency(*name) for name in names)
    return tuple(kinds) if len(kinds) <= DEPENDENCIES_MAX else None


def dependencies_recalled(reads: Sequence[Entry[Any]]) -> tuple[int, ...] | None:
    """As `dependencies_of`, of what an answer from memory rests on."""
    facts = [fact for entry in reads for fact in entry.dependencies]
    if len(facts) > DEPENDENCIES_MAX:
        facts = list(dict.fromkeys(facts))
        if len(facts) > DEPENDENCIES_MAX:
            facts = list({kind_dependency(*name_of(cast("FactPlace", e.key))) for e in reads})
    return tuple(facts) if len(facts) <= DEPENDENCIES_MAX else None


def _is_news(there: Entry[KeptResult], kept: KeptResult, read_at: Revision) -> bool:
    """Whether an answer says more than the one that is there."""
    if there.read_at != read_at:
        return there.read_at < read_at
    return there.value.depth > kept.depth


def _size_of(key: ResultKey, dependencies: tuple[int, ...]) -> int:
    """Bytes of what is kept of an answer."""
    _, _, type_, id_, permission, kind, subject_id, relation, arguments, digest = key
    texts = len(type_) + len(id_) + len(permission) + len(kind) + len(subject_id) + len(relation)
    size = _BARE_BYTES + texts + len(digest) + size_of_dependencies(dependencies)
    return size + size_of_key(arguments) if arguments else size


class ResultCache:
    """Answers of checks, in at most so many bytes; for the event loop's thread alone."""

    def __init__(self, bytes_max: int) -> None:
        self._shelf: Shelf[KeptResult] = Shelf(bytes_max)
        self._counts = Counts()

    def find(self, clock: Clock, key: ResultKey, at: Revision, depth: int) -> CheckResult | Cause:
        """The answer at exactly a revision with that much depth, or what stands against one."""
        entry = self._shelf.find(key)
        if entry is None:
            return Cause.ABSENT
        if entry.value.depth > depth:
            return Cause.DEPTH
        if not clock.may_answer(entry.read_at, at, entry.dependencies):
            return clock.why_not(entry.read_at, at)
        entry.read_at = max(entry.read_at, at)  # the same as if it had been read there
        return entry.value.result

    def find_many(
        self,
        clock: Clock,
        keys: Sequence[ResultKey | None],
        at: Revision,
        queries: Sequence[CheckQuery],
    ) -> list[CheckResult | Cause]:
        """As `find`, for each question; of one without a key there is no answer."""
        entries, absent = self._shelf.entries, Cause.ABSENT
        return [
            absent if key is None or key not in entries else self.find(clock, key, at, query.depth)
            for key, query in zip(keys, queries, strict=True)
        ]

    def count(self, found: CheckResult | Cause) -> None:
        """Count what a question found in the end."""
        if isinstance(found, Cause):
            self._counts.misses[found] += 1
        else:
            self._counts.hits += 1

    def keep(
        self, key: ResultKey, kept: KeptResult, read_at: Revision, keys: Iterable[FactKey]
    ) -> None:
        """Keep an answer.

        Args:
            key: of `result_key`, made before anything was read.
            kept: the answer.
            read_at: the exact revision that everything was read at.
            keys: all that was read, what was found empty included.
        """
        there = self._shelf.peek(key)
        if there is None or _is_news(there, kept, read_at):
            self._put(key, kept, read_at, dependencies_of(keys))

    def keep_recalled(
        self, key: ResultKey, kept: KeptResult, read_at: Revision, reads: Sequence[Entry[Any]]
    ) -> None:
        """Keep an answer that was made of what the relation cache holds at a revision."""
        dependencies = dependencies_recalled(reads)
        if dependencies is None:
            return
        # Most are of questions that nobody asked before: one look into the map tells, and keeps.
        there = self._shelf.offer(key, kept, read_at, dependencies, _size_of(key, dependencies))
        if there is not None and _is_news(there, kept, read_at):
            self._put(key, kept, read_at, dependencies)

    def _put(
        self,
        key: ResultKey,
        kept: KeptResult,
        read_at: Revision,
        dependencies: tuple[int, ...] | None,
    ) -> None:
        if dependencies is not None:
            self._shelf.put(key, kept, read_at, dependencies, _size_of(key, dependencies))

    @property
    def state(self) -> CacheState:
        """What it has done so far and holds now."""
        return CacheState(
            hits=self._counts.hits,
            misses={cause.value: count for cause, count in self._counts.misses.items()},
            evicted=self._shelf.evicted,
            entries=len(self._shelf),
            bytes=self._shelf.bytes,
            bytes_max=self._shelf.bytes_max,
        )
