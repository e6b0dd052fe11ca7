"""Whether the log holds what was acknowledged, once, and nothing that nobody wrote."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from grantlog.model.change import Change, Operation, SchemaWritten, TupleChange
from grantlog.model.ids import TenantId
from grantlog.model.tuples import RelationTuple
from grantlog.testing.histories.promises import Floors, Promise, Violation, revision_of
from grantlog.testing.histories.record import Write
from grantlog.testing.histories.truth import Truth


@dataclass(slots=True)
class Authors:
    """Who made each revision, as far as that is known."""

    invoked: dict[int, float] = field(default_factory=dict[int, float])
    """By revision: when the call that made it began. Not there for schemas."""


def check_density(tenant: TenantId, truth: Truth) -> Iterator[Violation]:
    """Revisions without a gap or a repetition, in one epoch, each on its predecessor's digest."""
    previous = None
    for place, entry in enumerate(truth.log, 1):
        if entry.revision != place:
            yield Violation(
                Promise.DENSE_LOG, tenant, f"revision {entry.revision} stands at place {place}"
            )
            return
        if previous is not None and (
            entry.epoch != previous.epoch or entry.previous_digest != previous.digest
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
    unknown = _Unknown(writes)
    for entry in truth.log:
        revision = int(entry.revision)
        claims = acknowledged.pop(revision, [])
        yield from _check_revision(tenant, truth, revision, claims, unknown, floors, authors)
        if not isinstance(entry.body, SchemaWritten) and revision not in authors.invoked:
            yield Violation(
                Promise.WRITTEN_ONCE,
                tenant,
                f"revision {revision} ({_shown(truth.changes(revision))}) is nobody's write, or "
                "one that is in the log already",
            )
    for revision, claims in acknowledged.items():
        yield Violation(
            Promise.WRITTEN_ONCE,
            tenant,
            f"acknowledged at revision {revision}, which the log (up to {truth.head}) does not "
            f"have: {claims[0]}",
        )


def _check_revision(
    tenant: TenantId, truth: Truth, revision: int, claims: list[Write], unknown: _Unknown,
    floors: Floors, authors: Authors,
) -> Iterator[Violation]:  # fmt: skip
    """Who made a revision; the others that were acknowledged at it had nothing to change."""
    changes = Counter(truth.changes(revision))
    made = [w for w in claims if changes and _effect(truth, w, revision - 1) == changes]
    author = min(made, key=lambda w: w.invoked) if made else unknown.take(truth, revision, changes)
    if author is not None:
        authors.invoked[revision] = author.invoked
        if made and floors.before(author.invoked) >= revision:
            yield Violation(
                Promise.REAL_TIME, tenant, f"revision {revision} was told before it was written"
            )
    for write in claims:
        if write not in made and _effect(truth, write, revision):
            yield Violation(
                Promise.WRITTEN_ONCE,
                tenant,
                f"acknowledged at revision {revision} ({_shown(truth.changes(revision))}): {write}",
            )
        if floors.before(write.invoked) > revision:
            yield Violation(
                Promise.REAL_TIME,
                tenant,
                f"acknowledged at revision {revision}, when {floors.before(write.invoked)} had "
                f"been told before it began: {write}",
            )


class _Unknown:
    """The writes of which nobody knows what became, each to be found at most once."""

    def __init__(self, writes: Sequence[Write]) -> None:
        self._by_fact: dict[RelationTuple, list[Write]] = defaultdict(list)
        for write in writes:
            if not write.token:
                for fact in (*write.creates, *write.deletes):
                    self._by_fact[fact].append(write)
        self._found: set[int] = set()

    def take(self, truth: Truth, revision: int, changes: Counter[Change]) -> Write | None:
        """The first one that would have made these changes."""
        for change in changes:
            if not isinstance(change, TupleChange):
                return None
            for write in self._by_fact.get(change.tuple, ()):
                if id(write) not in self._found and (
                    _effect(truth, write, revision - 1) == changes
                ):
                    self._found.add(id(write))
                    return write
            return None
        return None


def _effect(truth: Truth, write: Write, revision: int) -> Counter[Change]:
    """What a write changes, where it comes behind a revision."""
    deletes = [fact for fact in write.deletes if truth.holds(fact, revision)]
    creates = [fact for fact in write.creates if not truth.holds(fact, revision)]
    return Counter(
        [
            *(TupleChange(Operation.DELETE, fact) for fact in deletes),
            *(TupleChange(Operation.CREATE, fact) for fact in creates),
        ]
    )


def _shown(changes: Sequence[Change]) -> str:
    return ", ".join(
        f"{change.operation.name.lower()} {change.tuple}"
        for change in changes
        if isinstance(change, TupleChange)
    )
