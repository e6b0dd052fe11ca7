"""A small world and questions to it in string forms."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from grantlog.engine.check import check
from grantlog.engine.plan import Plan, build_plan
from grantlog.engine.question import DEFAULT_LIMITS, CheckQuery, CheckResult, Limits, RequestContext
from grantlog.model.attributes import Attribute, parse_attribute
from grantlog.model.tuples import RelationTuple, parse_entity, parse_subject, parse_tuple
from grantlog.schema.compile import compile_schema
from grantlog.testing.fact_table import FactTable


def facts_of(text: str) -> tuple[tuple[RelationTuple, ...], tuple[Attribute, ...]]:
    """Tuples and attributes of a text with one string form per word."""
    words = text.split()
    tuples = tuple(parse_tuple(word) for word in words if "|" not in word)
    return tuples, tuple(parse_attribute(word) for word in words if "|" in word)


@dataclass
class Asking:
    """A schema and facts; `table` remembers what was fetched."""

    schema: str
    facts: str = ""
    page_max: int = 1000
    limits: Limits = DEFAULT_LIMITS
    table: FactTable = field(init=False)
    plan: Plan = field(init=False)

    def __post_init__(self) -> None:
        self.plan = build_plan(compile_schema(self.schema))
        self.table = FactTable(*facts_of(self.facts), page_max=self.page_max)

    def check(
        self,
        question: str,
        *,
        depth: int = 100,
        arguments: tuple[str, ...] = (),
        context: str = "",
        data: Any = None,
    ) -> CheckResult:
        """Ask `doc:1#view@user:1`; `context` is facts in string forms."""
        entity, _, rest = question.partition("#")
        permission, _, subject = rest.partition("@")
        query = CheckQuery(
            parse_entity(entity),
            permission,
            parse_subject(subject),
            arguments,
            RequestContext(*facts_of(context), data),
            depth,
        )
        return asyncio.run(check(self.plan, query, self.table.fetch, limits=self.limits))

    def allowed(self, question: str, **kwargs: Any) -> bool:
        return self.check(question, **kwargs).allowed

    @property
    def keys_fetched(self) -> int:
        return sum(len(batch) for batch in self.table.batches)
