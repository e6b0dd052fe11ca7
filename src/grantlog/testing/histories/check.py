"""Whether a history kept the promises of design §5: exact, and linear in the history.

Real time counts: a call that returned before another one was invoked came before it. Every answer
names its revision, and the log says what is right there, so nothing is searched; only to explain a
wrong answer other revisions are looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from grantlog.model.change import Transaction
from grantlog.model.ids import TenantId
from grantlog.testing.histories.log import Authors, check_density, check_writes
from grantlog.testing.histories.promises import (
    Floors,
    Promise,
    Violation,
    place_of_token,
    revision_of,
)
from grantlog.testing.histories.record import (
    Answered,
    Attributes,
    Checks,
    Entities,
    History,
    Refused,
    Tuples,
    Watched,
    Why,
    Write,
)
from grantlog.testing.histories.truth import Truth

EXPLAINED_MAX: Final = 20
"""Wrong answers of a tenant that are told with an explanation, which looks at all revisions."""


def violations(history: History, logs: Mapping[TenantId, Sequence[Transaction]]) -> list[Violation]:
    """The broken promises of a history, none if it kept all.

    Args:
        history: what clients noted; writes that never returned included.
        logs: each tenant's whole log, ended lives included, read after the last call returned.
            Epochs may have opened; that one lost writes, as a restored primary does, is a
            violation of its own.
    """
    found: list[Violation] = []
    for tenant, log in logs.items():
        found += _Tenant(tenant, log, history).check()
    return found


class _Tenant:
    """One tenant's part of a history; tenants have no order among each other."""

    def __init__(self, tenant: TenantId, log: Sequence[Transaction], history: History) -> None:
        self._tenant = tenant
        self._log = log
        self._writes = [w for w in history.writes if w.tenant == tenant]
        self._answers = [a for a in history.answers if a.tenant == tenant]
        self._refused = [r for r in history.refused if r.tenant == tenant]
        self._watched = [w for w in history.watched if w.tenant == tenant]
        told: list[Write | Answered] = [*self._writes, *self._answers]
        self._told = [(one.returned, revision_of(tenant, one.token)) for one in told if one.token]
        self._floors = Floors(self._told)
        self._authors = Authors()
        self._explained = 0

    def check(self) -> Iterator[Violation]:
        truth = Truth(self._log)
        dense = list(check_density(self._tenant, truth))
        yield from dense
        if dense:  # whatever else would be said of it follows from that
            return
        yield from check_writes(self._tenant, truth, self._writes, self._floors, self._authors)
        # Deletions are told without a token: only now is it known which revisions they are.
        self._floors = Floors([*self._told, *self._authors.deleted])
        for refused in self._refused:
            yield from self._check_refused(truth, refused)
        for answer in self._answers:
            yield from self._check_place(answer)
            yield from self._check_answer(truth, answer)
        yield from self._check_monotonic()
        for watched in self._watched:
            yield from self._check_watched(truth, watched)

    def _tell(self, promise: Promise, text: str) -> Violation:
        return Violation(promise, self._tenant, text)

    def _check_place(self, answer: Answered) -> Iterator[Violation]:
        """Where an answer stands, by its own words."""
        revision = revision_of(self._tenant, answer.token)
        sent = revision_of(self._tenant, answer.sent)
        if sent > revision:
            yield self._tell(
                Promise.READ_YOUR_TOKEN, f"stands at {revision}, the token at {sent}: {answer}"
            )
        floor = self._floors.before(answer.invoked)
        if not answer.sent and floor > revision:
            yield self._tell(Promise.HEAD, f"stands at {revision}, {floor} had been told: {answer}")
        if self._authors.invoked.get(revision, answer.returned) > answer.returned:
            yield self._tell(
                Promise.REAL_TIME, f"stands at {revision}, whose write began later: {answer}"
            )

    def _check_monotonic(self) -> Iterator[Violation]:
        by_client: dict[str, list[Answered]] = defaultdict(list)
        for answer in self._answers:
            by_client[answer.client].append(answer)
        for answers in by_client.values():
            own = Floors((a.returned, revision_of(self._tenant, a.token)) for a in answers)
            for answer in answers:
                before = own.before(answer.invoked)
                if answer.sent and before > revision_of(self._tenant, answer.token):
                    yield self._tell(Promise.MONOTONIC, f"had been at {before}: {answer}")

    def _check_answer(self, truth: Truth, answer: Answered) -> Iterator[Violation]:
        """What an answer says, at the revision that it names."""
        epoch, revision = place_of_token(self._tenant, answer.token)
        if not 1 <= revision <= truth.head or truth.epoch(revision) > epoch:
            yield self._tell(
                Promise.ONE_REVISION,
                f"the log has no revision {revision} of epoch {epoch}: {answer}",
            )
            return
        if not (truth.has_schema(revision) or isinstance(answer.question, Tuples | Attributes)):
            yield self._tell(
                Promise.ONE_REVISION, f"no schema is in force at revision {revision}: {answer}"
            )
            return
        right = truth.answer(answer.question, revision)
        if answer.answer == right:
            return
        self._explained += 1
        text = f"at revision {revision} {right} is right: {answer}"
        if self._explained > EXPLAINED_MAX:
            yield self._tell(Promise.ONE_REVISION, text)
            return
        if _grants_the_new_on_old_facts(truth, answer, revision):
            yield self._tell(Promise.NEW_ENEMY, f"never granted in this life; {text}")
        agreeing = [
            at
            for at in range(1, truth.head + 1)
            if truth.has_schema(at) and truth.answer(answer.question, at) == answer.answer
        ]
        sent = revision_of(self._tenant, answer.sent)
        if not agreeing:
            text = f"two states in one answer: no revision ever said so; {text}"
        else:
            near = min(agreeing, key=lambda at: abs(at - revision))
            text = f"it is the answer of revision {near}; {text}"
            if agreeing[-1] < sent:
                yield self._tell(Promise.READ_YOUR_TOKEN, f"{text} (the token is {sent})")
        yield self._tell(Promise.ONE_REVISION, text)

    def _check_refused(self, truth: Truth, refused: Refused) -> Iterator[Violation]:
        """A tenant may be told to be gone where, for all that its caller knew, it was."""
        floor = revision_of(self._tenant, refused.sent) or self._floors.before(refused.invoked)
        begun = self._authors.invoked
        match refused.why:
            case Why.NO_SCHEMA:
                places = (at for at in range(floor, truth.head + 1) if not truth.has_schema(at))
            case Why.LIFE_ENDED:
                places = (at for at in truth.deletions if at > floor)
        if not any(begun.get(at, refused.returned) <= refused.returned for at in places):
            yield self._tell(Promise.ALIVE, f"from revision {floor} on it was there: {refused}")

    def _check_watched(self, truth: Truth, watched: Watched) -> Iterator[Violation]:
        """Told were exactly the changes between start and end, each with its token."""
        start = revision_of(self._tenant, watched.start)
        place = start
        who = f"watcher {watched.watcher}"
        for message in watched.told:
            at = revision_of(self._tenant, message.token)
            if at > truth.head:
                yield self._tell(Promise.WATCHED_ONCE, f"{who}: there is no revision {at}")
                return
            if at < place or (at == place and (message.changes or message.deleted)):
                yield self._tell(Promise.WATCHED_ONCE, f"{who}: at {place}, told of {at} again")
                return
            if message.deleted:  # what it had not been told of the ended life is gone
                if at not in truth.deletions:
                    yield self._tell(Promise.WATCHED_ONCE, f"{who}: {at} is no deletion")
                place = at
                continue
            behind = range(place + 1, at + (not message.changes))
            missed = [r for r in behind if truth.changes(r) or r in truth.deletions]
            if missed:
                yield self._tell(Promise.WATCHED_ONCE, f"{who}: at {at}, never told of {missed}")
            if message.changes and message.changes != truth.changes(at):
                yield self._tell(
                    Promise.WATCHED_ONCE,
                    f"{who}: told {message.changes} for {truth.changes(at)} at {at}",
                )
            place = at


def _grants_the_new_on_old_facts(truth: Truth, answer: Answered, revision: int) -> bool:
    """Whether something is granted that no revision of this life of the tenant ever granted.

    Its content came when the access had been taken away: only old facts beside new ones grant it.
    """
    given: list[Checks] = []
    match answer.question:
        case Checks(asked) if isinstance(answer.answer, tuple):
            given = [
                Checks((one,)) for one, allowed in zip(asked, answer.answer, strict=True) if allowed
            ]
        case Entities() as asked:
            given = [Checks((asked.about(str(id_)),)) for id_ in answer.answer]
        case _:
            pass
    return any(
        all(truth.answer(one, at) == (False,) for at in truth.life(revision)) for one in given
    )
