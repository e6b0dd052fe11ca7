"""The facts that came with a request, for reading backwards."""

from __future__ import annotations

from collections.abc import Iterable

from grantlog.engine.contextual import ContextFacts
from grantlog.engine.question import RequestContext
from grantlog.engine.steps import AttributeStep
from grantlog.ports.reverse import EntitiesKey

Related = tuple[str, str, str, str, str]
"""The fields of an EntitiesKey without the place of a page."""


class ContextBackwards:
    """Contextual facts by subject, and the ids that they make known.

    Attributes:
        related: the entities of a type that a subject is related to, by a relation.
    """

    def __init__(self, facts: ContextFacts, context: RequestContext) -> None:
        self._facts = facts
        self._context = context
        self.related: dict[Related, list[str]] = {}
        for (type_, id_, relation), subjects in facts.subjects.items():
            for subject in subjects:
                key = (subject.type, subject.id, subject.relation, type_, relation)
                self.related.setdefault(key, []).append(id_)

    def entities(self, key: EntitiesKey) -> list[str]:
        """The entities that contextual tuples relate to the key's subject."""
        return self.related.get(key[:5], [])

    def true(self, step: AttributeStep) -> list[str]:
        """The entities for which a contextual attribute is true."""
        return [id_ for id_, value in self._values(step) if value is True]

    def given(self, step: AttributeStep) -> set[str]:
        """The entities for which the attribute is contextual: the stored value does not count."""
        return {id_ for id_, _ in self._values(step)}

    def _values(self, step: AttributeStep) -> Iterable[tuple[str, object]]:
        for (type_, id_, name), value in self._facts.attributes.items():
            if (type_, name) == (step.type, step.name):
                yield id_, value.data

    def known(self, entity_type: str) -> set[str]:
        """Ids of a type in any contextual fact, whether the schema admits it or not."""
        ids = {fact.entity.id for fact in self._context.tuples if fact.entity.type == entity_type}
        ids |= {f.subject.id for f in self._context.tuples if f.subject.type == entity_type}
        found = (a.entity for a in self._context.attributes)
        return ids | {entity.id for entity in found if entity.type == entity_type}
