"""Checks decided from memory alone: plain recursion over what the relation cache holds.

Most checks of a warm node need nothing but a few look-ups in a map. They are decided here, without
the graph, the batches and the event loop of the engine's own evaluation, which is for what must be
fetched. A recall answers only what is sure to be the engine's answer; whatever is doubtful (a fact
that is not known, a circle, a chain that may be too long, a rule that fails, much to look at) it
leaves to the engine. Hot: benchmarks/engine_pieces.py is the judge.

An answer's cost is a budget that is enough for it, as in `engine.bounds`: n >= 0 for an allow,
~n for a denial. So answers about a node do not hang on the chain that led to it, and questions of
one subject share them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias

from grantlog.cache.clock import Clock
from grantlog.cache.relations import RelationCache, Whole, holds, place_of
from grantlog.cache.shelf import USES_MAX, Entry
from grantlog.engine.bounds import Value, spent, value_of
from grantlog.engine.rules import RuleData, context_data
from grantlog.engine.steps import (
    ArrowStep,
    AttributeStep,
    ExpressionStep,
    Kind,
    RelationStep,
    RuleStep,
    Step,
    UnionStep,
)
from grantlog.errors import InvalidInputError
from grantlog.model.attributes import AttributeValue
from grantlog.model.ids import Revision
from grantlog.model.tuples import Subject
from grantlog.ports.facts import AttributeKey, DirectKey, FactKey, SubjectsKey, UsersetsKey

LOOKS_MAX: Final = 2_000
"""Steps looked at for one answer, about 2 ms: a longer evaluation lets others have their turn."""

RULE_LOOKS: Final = 500
"""What a rule that is run counts for: one that is not heavy takes up to 1 ms."""

LEVELS_MAX: Final = 60
"""Steps of one chain: each is up to three calls on the interpreter's stack."""

READS_MAX: Final = 512
"""Entries that one answer may rest on."""

Reads: TypeAlias = "tuple[Entry[Any], ...]"
_Known: TypeAlias = "tuple[int, Reads] | None"
"""An answer's cost and what it rests on; None is for the engine to decide."""

_ALLOWED: Final[tuple[int, Reads]] = (0, ())
_DENIED: Final[tuple[int, Reads]] = (~0, ())
_UNSEEN: Final[Any] = object()


class Recalled(NamedTuple):
    """An answer from memory.

    Attributes:
        allowed: what it is.
        depth: a question that may go so deep, or deeper, has the same answer.
        reads: the entries that it rests on, at the revision that was asked.
        looked: how many distinct steps were looked at for it, counted as the engine counts;
            those that an earlier question looked at are none of them, yet it is 1 at least.
    """

    allowed: bool
    depth: int
    reads: Reads
    looked: int


class Recall:
    """The questions of one subject at one revision, as far as memory answers them.

    Attributes:
        is_behind: whether an entry could not be used because the clock has not seen the revision.
    """

    __slots__ = (
        "_at",
        "_clock",
        "_data",
        "_entries",
        "_kind",
        "_known",
        "_looks",
        "_number",
        "_raw",
        "_relation",
        "_subject",
        "_uncounted",
        "is_behind",
    )

    def __init__(
        self, relations: RelationCache, clock: Clock, at: Revision, subject: Subject, data: object
    ) -> None:
        """Ask for a subject.

        Args:
            relations: what is known.
            clock: says what may be used.
            at: the exact revision to answer at.
            subject: who; normalised.
            data: the questions' `context.data`, for rules; there are no contextual facts.
        """
        self._entries = relations.shelf.entries
        self._clock = clock
        self._number = clock.number
        self._at = at
        self._subject = subject
        self._kind = (subject.type, subject.relation)
        self._relation = subject.relation
        self._raw = data
        self._data: RuleData | None = None
        self._known: dict[tuple[int, str], _Known] = {}
        self._looks = self._uncounted = 0
        self.is_behind = False

    def decide(self, step: Step, id_: str, depth: int) -> Recalled | None:
        """The answer to a question of that depth; None if the engine must be asked."""
        self._looks = LOOKS_MAX
        self._uncounted = 0
        known = self._decide(step, id_, min(depth, LEVELS_MAX))
        if known is None:
            return None
        value, reads = known
        taken = value if value >= 0 else ~value
        if taken > depth:
            return None
        looked = LOOKS_MAX - self._looks - self._uncounted
        return Recalled(value >= 0, taken, reads, looked or 1)

    @property
    def spent(self) -> int:
        """What the last question took of `LOOKS_MAX`, whether it was answered or not."""
        return LOOKS_MAX - self._looks

    def _decide(self, step: Step, id_: str, left: int) -> _Known:
        """The answer of a step on an entity, from which a chain may go `left` steps further."""
        if left < 0 or self._looks <= 0:
            return None
        self._looks -= 1
        if self._relation and step.name == self._relation and (step.type, id_) == self._subject[:2]:
            return _ALLOWED
        if not step.leads:
            return self._ways[type(step)](self, step, id_, left)
        place = (step.number, id_)
        known = self._known.get(place, _UNSEEN)
        if known is not _UNSEEN:
            self._uncounted += 1
            return known  # None: still open, which is a circle, or given up before
        self._known[place] = None
        known = self._known[place] = self._ways[type(step)](self, step, id_, left)
        return known

    def _in_relation(self, step: RelationStep, id_: str, left: int) -> _Known:
        """Whether the subject is in a relation, directly or through a userset."""
        usersets = step.usersets
        admits = self._kind in step.kinds
        if not (admits or usersets):
            return _DENIED
        entry: Entry[Any] | None = self._entries.get((self._number, step.type, id_, step.name))
        if entry is None or not self._may_use(entry):
            return self._in_large_relation(step, id_, left, admits=admits)
        whole: Whole = entry.value
        if admits and self._subject in whole.members:
            return (0, (entry,))
        if not usersets:
            return (~0, (entry,))
        return self._among(usersets, whole.usersets.subjects, left, (entry,))

    def _in_large_relation(
        self, step: RelationStep, id_: str, left: int, *, admits: bool
    ) -> _Known:
        """As `_in_relation`, of one that is not known whole."""
        reads: Reads = ()
        if admits:
            entry = self._answer(DirectKey(step.type, id_, step.name, *self._subject))
            if entry is None:
                return None
            reads = (entry,)
            if entry.value is True:
                return (0, reads)
        if not step.usersets:
            return (~0, reads)
        entry = self._answer(UsersetsKey(step.type, id_, step.name))
        if entry is None or entry.value.more:
            return None
        return self._among(step.usersets, entry.value.subjects, left, (*reads, entry))

    def _behind_arrow(self, step: ArrowStep, id_: str, left: int) -> _Known:
        """Whether the subject holds what the arrow names on a subject of its relation."""
        self._uncounted += 1
        if not step.targets:
            return _DENIED
        name = step.relation.name
        entry: Entry[Any] | None = self._entries.get((self._number, step.type, id_, name))
        if entry is not None and self._may_use(entry):
            return self._among(step.followed, entry.value.subjects.subjects, left, (entry,))
        entry = self._answer(SubjectsKey(step.type, id_, name))
        if entry is None or entry.value.more:
            return None
        return self._among(step.followed, entry.value.subjects, left, (entry,))

    def _among(
        self,
        targets: Mapping[Kind, Step],
        subjects: Iterable[Subject],
        left: int,
        reads: Reads,
    ) -> _Known:
        """The union of the steps that subjects of a relation lead to."""
        worst = 0
        gathered: list[Entry[Any]] = [*reads]
        for type_, id_, relation in subjects:
            target = targets.get((type_, relation))
            if target is None:
                continue
            known = self._decide(target, id_, left - 1)
            if known is None:
                return None
            cost, more = known
            if cost >= 0:
                return (cost + 1, (*reads, *more))
            worst = max(worst, ~cost + 1)
            gathered += more
        return _within_bound(~worst, tuple(gathered))

    def _in_union(self, step: UnionStep, id_: str, left: int) -> _Known:
        worst = 0
        reads: Reads = ()
        for operand in step.operands:
            price = operand.cost
            known = self._decide(operand, id_, left - price)
            if known is None:
                return None
            cost, more = known
            if cost >= 0:
                return (cost + price, more)
            worst = max(worst, ~cost + price)
            reads += more
        return _within_bound(~worst, reads)

    def _in_expression(self, step: ExpressionStep, id_: str, left: int) -> _Known:
        values: list[Value] = [None] * len(step.operands)
        reads: Reads = ()
        for place, operand in enumerate(step.operands):
            known = self._decide(operand, id_, left - operand.cost)
            if known is None:
                return None
            cost, more = known
            values[place] = spent(cost, operand.cost)
            reads += more
            value = value_of(step, values)
            if value is not None:  # the other operands cannot change it
                return _within_bound(value, reads)
        return None

    def _attribute(self, step: AttributeStep, id_: str, left: int) -> _Known:
        del left
        entry = self._answer(AttributeKey(step.type, id_, step.name))
        if entry is None:
            return None
        value = entry.value
        is_true = isinstance(value, AttributeValue) and value.data is True
        return (0 if is_true else ~0, (entry,))

    def _rule(self, step: RuleStep, id_: str, left: int) -> _Known:
        """A rule's outcome; None if it is an error, or may take long."""
        del left
        program = step.program
        values: dict[str, AttributeValue] = {}
        gathered: list[Entry[Any]] = []
        for name in step.arguments:
            entry = self._answer(AttributeKey(step.type, id_, name))
            if entry is None:
                return None
            gathered.append(entry)
            value = entry.value
            if isinstance(value, AttributeValue) and value.type is program.parameters[name]:
                values[name] = value
        try:
            data = self._data = self._data or context_data(self._raw)
        except InvalidInputError:
            return None
        self._looks -= RULE_LOOKS
        self._uncounted += RULE_LOOKS
        if program.is_heavy(program.weight(values, data)):
            return None
        outcome = program.run(values, data)
        if not isinstance(outcome, bool):
            return None
        return (0 if outcome else ~0, tuple(gathered))

    def _answer(self, key: FactKey) -> Entry[Any] | None:
        """The single answer to a key."""
        entry: Entry[Any] | None = self._entries.get(place_of(self._clock, key))
        return entry if entry is not None and self._may_use(entry) else None

    def _may_use(self, entry: Entry[Any]) -> bool:
        """Whether an entry holds at the revision."""
        if entry.uses < USES_MAX:
            entry.uses += 1
        if entry.read_at == self._at or holds(self._clock, entry, self._at):
            return True
        self.is_behind |= self._at > self._clock.seen
        return False

    _ways: ClassVar[Mapping[type, Callable[..., _Known]]] = {
        RelationStep: _in_relation,
        ArrowStep: _behind_arrow,
        UnionStep: _in_union,
        ExpressionStep: _in_expression,
        AttributeStep: _attribute,
        RuleStep: _rule,
    }


def _within_bound(cost: int, reads: Reads) -> _Known:
    """An answer, if it does not rest on too much: what many chains share must not add up."""
    if len(reads) > READS_MAX:
        reads = tuple(dict.fromkeys(reads))
    return (cost, reads) if len(reads) <= READS_MAX else None
