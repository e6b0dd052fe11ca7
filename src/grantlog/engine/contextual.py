"""The facts that came with a request, arranged for reading."""

from __future__ import annotations

from typing import Final

from grantlog.engine.conform import plain_subject
from grantlog.engine.plan import Plan
from grantlog.engine.question import RequestContext
from grantlog.engine.steps import AttributeStep, RelationStep
from grantlog.model.attributes import AttributeValue
from grantlog.model.tuples import Subject

Place = tuple[str, str, str]
"""Entity type, entity id, name of a relation or attribute."""


class ContextFacts:
    """Contextual facts that the schema version admits; the others count for nothing.

    A tuple of a request is treated as a stored one that an older schema version admitted: it is
    not an error, and it grants nothing.

    Attributes:
        subjects: the subjects of a relation, sorted, without duplicates.
        attributes: the value of an attribute.
    """

    __slots__ = ("attributes", "subjects")

    def __init__(self) -> None:
        self.subjects: dict[Place, list[Subject]] = {}
        self.attributes: dict[Place, AttributeValue] = {}


NO_FACTS: Final = ContextFacts()


def arrange(plan: Plan, context: RequestContext) -> ContextFacts:
    """The facts of a request's context that count under the plan's schema version."""
    if not context.tuples and not context.attributes:
        return NO_FACTS
    facts = ContextFacts()
    gathered: dict[Place, set[Subject]] = {}
    for (type_, id_), relation, subject in context.tuples:
        step = plan.steps.get(type_, {}).get(relation)
        related = plain_subject(subject)
        if isinstance(step, RelationStep) and (related.type, related.relation) in step.kinds:
            gathered.setdefault((type_, id_, relation), set()).add(related)
    facts.subjects = {place: sorted(subjects) for place, subjects in gathered.items()}
    for (type_, id_), name, value in context.attributes:
        step = plan.steps.get(type_, {}).get(name)
        if isinstance(step, AttributeStep) and step.value_type is value.type:
            facts.attributes.setdefault((type_, id_, name), value)
    return facts
