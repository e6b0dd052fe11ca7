"""What an expansion knows of facts, and what it must ask for: read level by level, each once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from grantlog.engine.contextual import ContextFacts
from grantlog.engine.steps import ArrowStep, AttributeStep, RelationStep, RuleStep, Step
from grantlog.errors import CorruptionError, LimitError
from grantlog.model.attributes import AttributeType, AttributeValue
from grantlog.model.tuples import Subject
from grantlog.ports.facts import AttributeKey, FactAnswer, FactKey, SubjectPage, SubjectsKey

SUBJECTS_MAX: Final = 10_000
"""Subjects that a tree may name: it is one message, made and read in one go."""

Need: TypeAlias = SubjectsKey | AttributeKey
"""A fact without which a step cannot be expanded; of a relation, the key of its first page."""


def needs_of(step: Step, id_: str) -> list[Need]:
    """What must be known to expand a step on an entity."""
    match step:
        case RelationStep():
            return [SubjectsKey(step.type, id_, step.name)]
        case ArrowStep():
            return [SubjectsKey(step.type, id_, step.relation.name)]
        case AttributeStep():
            return [AttributeKey(step.type, id_, step.name)]
        case RuleStep():
            return [AttributeKey(step.type, id_, name) for name in step.arguments]
        case _:
            return []


class ExpandFacts:
    """The facts of one expansion, those of its request beside the stored ones."""

    def __init__(self, context: ContextFacts) -> None:
        self._context = context
        self._subjects: dict[SubjectsKey, list[Subject]] = {}
        """Subjects read so far, by the key of the first page."""
        self._reading: dict[SubjectsKey, SubjectsKey] = {}
        """The next page's key of what is not read to the end."""
        self._values: dict[AttributeKey, AttributeValue | None] = {}
        self._named = 0

    def is_known(self, key: Need) -> bool:
        """Whether there is nothing left to read of it."""
        if isinstance(key, AttributeKey):
            return key in self._values or tuple(key) in self._context.attributes
        return key in self._subjects and key not in self._reading

    def wanted(self, needs: Iterable[Need]) -> list[FactKey]:
        """The keys to read next, each once."""
        return [
            self._reading.get(key, key) if isinstance(key, SubjectsKey) else key
            for key in dict.fromkeys(needs)
            if not self.is_known(key)
        ]

    def learn(self, keys: Sequence[FactKey], answers: Sequence[FactAnswer]) -> None:
        """Take the answers to what was wanted.

        Raises:
            LimitError: the subjects are more than a tree may name.
            CorruptionError: an answer does not fit its key.
        """
        for key, answer in zip(keys, answers, strict=True):
            if isinstance(key, AttributeKey):
                self._values[key] = answer if isinstance(answer, AttributeValue) else None
            elif isinstance(key, SubjectsKey) and isinstance(answer, SubjectPage):
                first = key._replace(after=None)
                self._subjects.setdefault(first, []).extend(answer.subjects)
                self._reading.pop(first, None)
                if answer.more:
                    self._reading[first] = key._replace(after=answer.subjects[-1])
                self._name(len(answer.subjects))
            else:
                raise CorruptionError("an answer does not fit its key")

    def subjects(self, type_: str, id_: str, relation: RelationStep) -> list[Subject]:
        """The subjects that the schema version admits: entities first, then usersets."""
        stored = self._subjects[SubjectsKey(type_, id_, relation.name)]
        sent = self._context.subjects.get((type_, id_, relation.name), ())
        found = dict.fromkeys(s for s in (*stored, *sent) if (s.type, s.relation) in relation.kinds)
        # Both parts come nearly in order, which makes sorting cheap.
        plain = sorted(subject for subject in found if not subject.relation)
        return [*plain, *sorted(subject for subject in found if subject.relation)]

    def value(self, type_: str, id_: str, name: str, kind: AttributeType) -> AttributeValue:
        """An attribute's value; its type's zero where it is not set, or of another type."""
        value = self._context.attributes.get((type_, id_, name))
        if value is None:
            value = self._values[AttributeKey(type_, id_, name)]
        return (
            value if value is not None and value.type is kind else AttributeValue(kind, kind.zero)
        )

    def _name(self, more: int) -> None:
        self._named += more
        if self._named > SUBJECTS_MAX:
            raise LimitError(
                f"the tree names more than subjects_max = {SUBJECTS_MAX} subjects: LookupSubject "
                "lists them in pages"
            )
