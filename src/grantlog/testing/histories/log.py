"""Whether the log holds what was acknowledged, once, and nothing that nobody wrote."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from grantlog.model.attributes import Attribute
from grantlog.model.change import (
    AttributeChange,
    Change,
    DataWritten,
    Operation,
    SchemaWritten,
    TenantCreated,
    TenantDeleted,
    TupleChange,
)
from grantlog.model.ids import TenantId
from grantlog.testing.histories.promises import (
    Floors,
    Promise,
    Violation,
    place_of_token,
    revision_of,
)
from grantlog.testing.histories.record import Act, Fact, Write
from grantlog.testing.histories.truth import Truth, place_of

_ACTS = {
    Act.FACTS: DataWritten,
    Act.SCHEMA: SchemaWritten,
    Act.CREATION: TenantCreated,
    Act.DELETION: TenantDeleted,
}


@dataclass(slots=True)
class Authors:
    """Who made each revision, as far as that is known."""

    invoked: dict[int, float] = field(default_factory=dict[int, float])
    """By revision: when the call that made it began, at the earliest. Not there for schemas that
    nobody noted."""
    deleted: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    """When a deletion was acknowledged, and the revision that it is."""


def check_density(tenant: TenantId, truth: Truth) -> Iterator[Violation]:
    """Revisions without a gap or a repetition, each on its predecessor's digest; epochs rise."""
    previous = None
    for place, entry in enumerate(truth.log, 1):
        if entry.revision != place:
            yield Violation(
                Promise.DENSE_LOG, tenant, f"revision {entry.revision} stands at place {place}"
            )
            return
        if previous is not None and (
            entry.epoch < previous.epoch or entry.previous_digest != previous.digest
        ):
            yield Violation(
                Promise.DENSE_LOG, tenant, f"revision {place} does not stand on the one before"
            )
        previous = entry


def check_writes(
    tenant: TenantId, truth: Truth, writes: Sequence[Write], floors: Floors, authors: Authors
) -> Iterator[Violation]:
    """Every acknowledged write at its token; every revision by one write; in real time."""
    acknowledged: dict[int, list[Write]] = defaultdict(list)
    for write in writes:
        if write.token:
            acknowledged[revision_of(tenant, write.token)].append(write)
    orphans: list[int] = []
    for entry in truth.log:
        revision = int(entry.revision)
        claims = acknowledged.pop(revision, [])
        yield from _check_claims(tenant, truth, revision, claims, floors, authors)
        if revision not in authors.invoked:
            orphans.append(revision)
    yield from _check_orphans(tenant, truth, orphans, writes, floors, authors)
    for revision, claims in acknowledged.items():
        yield Violation(
            Promise.WRITTEN_ONCE,
            tenant,
            f"acknowledged at revision {revision}, which the log (up to {truth.head}) does not "
            f"have: {claims[0]}",
        )


def _check_claims(
    tenant: TenantId, truth: Truth, revision: int, claims: list[Write],
    floors: Floors, authors: Authors,
) -> Iterator[Violation]:  # fmt: skip
    """Who made a revision; the others that were acknowledged at it had nothing to change."""
    made = [write for write in claims if _makes(truth, write, revision)]
    if made:
        authors.invoked[revision] = min(write.invoked for write in made)
        if floors.before(authors.invoked[revision]) >= revision:
            yield Violation(
                Promise.REAL_TIME, tenant, f"revision {revision} was told before it was written"
            )
    for write in claims:
        epoch = place_of_token(tenant, write.token)[0]
        if truth.epoch(revision) > epoch or (
            write not in made and (write.act is not Act.FACTS or _effect(truth, write, revision))
        ):
            yield Violation(
                Promise.WRITTEN_ONCE,
                tenant,
                f"acknowledged at revision {revision} of epoch {epoch} "
                f"({_shown(truth, revision)}): {write}",
            )
        if floors.before(write.invoked) > revision:
            yield Violation(
                Promise.REAL_TIME,
                tenant,
                f"acknowledged at revision {revision}, when {floors.before(write.invoked)} had "
                f"been told before it began: {write}",
            )


def _check_orphans(
    tenant: TenantId, truth: Truth, orphans: list[int], writes: Sequence[Write],
    floors: Floors, authors: Authors,
) -> Iterator[Violation]:  # fmt: skip
    """Each revision that no token names is the work of a write of which no place is known.

    Of those a deletion that was acknowledged must be found, the others may be; none twice.
    """
    unknown = sorted(
        (write for write in writes if not write.token), key=lambda w: (w.returned, w.invoked)
    )
    possible = {
        revision: [
            number
            for number, write in enumerate(unknown)
            if revision in _window(truth, write, floors, authors) and _makes(truth, write, revision)
        ]
        for revision in orphans
    }
    allowed = {
        revision: [number for number in numbers if not unknown[number].denied]
        for revision, numbers in possible.items()
    }
    found = _paired(allowed)
    for revision in orphans:
        if revision in found:
            authors.invoked[revision] = min(unknown[n].invoked for n in allowed[revision])
            if unknown[found[revision]].act is Act.DELETION:
                authors.deleted.append((unknown[found[revision]].returned, revision))
        elif possible[revision] and not allowed[revision]:
            told = unknown[possible[revision][0]]
            yield Violation(
                Promise.WRITTEN_ONCE,
                tenant,
                f"revision {revision} is a write that was told that nothing was committed: {told}",
            )
        elif not isinstance(getattr(truth.at(revision), "body", None), SchemaWritten):
            yield Violation(
                Promise.WRITTEN_ONCE,
                tenant,
                f"revision {revision} ({_shown(truth, revision)}) is nobody's write, or one that "
                "is in the log already",
            )
    placed = set(found.values())
    for number, write in enumerate(unknown):
        if write.act is not Act.DELETION or write.returned == math.inf or number in placed:
            continue
        behind = floors.before(write.invoked)
        window = _window(truth, write, floors, authors)
        if all(truth.has_schema(at) for at in (behind, *window)):  # there was something to delete
            text = f"acknowledged, and in the log nowhere: {write}"
            yield Violation(Promise.WRITTEN_ONCE, tenant, text)


def _window(truth: Truth, write: Write, floors: Floors, authors: Authors) -> range:
    """Where a write may stand: behind what was told before it began, before what began later."""
    later = (at for at, begun in authors.invoked.items() if begun > write.returned)
    ends = min(later, default=truth.head + 1) if write.returned < math.inf else truth.head + 1
    return range(floors.before(write.invoked) + 1, ends)


def _paired(possible: dict[int, list[int]]) -> dict[int, int]:
    """For as many revisions as can be a write of its own, the earlier ones of its list first."""
    owner: dict[int, int] = {}

    def place(revision: int, seen: set[int]) -> bool:
        for write in possible[revision]:
            if write not in seen:
                seen.add(write)
                if write not in owner or place(owner[write], seen):
                    owner[write] = revision
                    return True
        return False

    for revision in possible:
        place(revision, set())
    return {revision: write for write, revision in owner.items()}


def _makes(truth: Truth, write: Write, revision: int) -> bool:
    """Whether a revision is what the write would have done there."""
    entry = truth.at(revision)
    if entry is None or not isinstance(entry.body, _ACTS[write.act]):
        return False
    if write.act is not Act.FACTS:
        return True
    return _effect(truth, write, revision - 1) == Counter(truth.changes(revision))


def _effect(truth: Truth, write: Write, revision: int) -> Counter[Change]:
    """What a write of facts changes, where it comes behind a revision."""
    gone: dict[object, Fact] = {
        fact: fact for fact in write.deletes if truth.held(fact, revision) is not None
    }
    for condition in write.where:
        gone |= {place_of(fact): fact for fact in truth.matching(condition, revision)}
    created: list[Fact] = []
    for fact in write.creates:
        held = truth.held(place_of(fact), revision)
        if held != fact:
            created.append(fact)
            if held is not None:
                gone[place_of(fact)] = held
    return Counter(
        [
            *(change_of(Operation.DELETE, fact) for fact in gone.values()),
            *(change_of(Operation.CREATE, fact) for fact in created),
        ]
    )


def change_of(operation: Operation, fact: Fact) -> Change:
    """The change that makes a fact hold, or cease."""
    if isinstance(fact, Attribute):
        return AttributeChange(operation, fact)
    return TupleChange(operation, fact)


def _shown(truth: Truth, revision: int) -> str:
    """What a revision of the log is, for people."""
    entry = truth.at(revision)
    if entry is not None and not isinstance(entry.body, DataWritten):
        return type(entry.body).__name__
    return ", ".join(
        f"{change.operation.name.lower()} "
        f"{change.tuple if isinstance(change, TupleChange) else change.attribute}"
        for change in truth.changes(revision)
    )
