"""A small world and lookups in it, in string forms."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from grantlog.engine.check import check
from grantlog.engine.expand import ExpandQuery, expand
from grantlog.engine.lookup_entity.lookup import EntityLookup, EntityQuery
from grantlog.engine.lookup_subject.lookup import SubjectLookup, SubjectQuery
from grantlog.engine.many import one_by_one
from grantlog.engine.plan import build_plan
from grantlog.engine.question import CheckQuery, RequestContext
from grantlog.engine.tree import Branch, SubjectsLeaf, Tree, ValueLeaf
from grantlog.model.tuples import parse_entity, parse_subject
from grantlog.schema.compile import compile_schema
from grantlog.testing.lookup_table import LookupTable
from tests.unit.engine.asking import facts_of


class Looking:
    """A schema and facts; `table` remembers what was read."""

    def __init__(self, schema: str, facts: str = "", **pages: int) -> None:
        self.plan = build_plan(compile_schema(schema))
        self.table = LookupTable(*facts_of(facts), **pages)

    def entities(
        self,
        question: str,
        *,
        depth: int = 100,
        context: str = "",
        data: Any = None,
        scope: dict[str, set[str]] | None = None,
        count: int | None = None,
        wanted: int = 1000,
    ) -> str:
        """Ask `doc#view@user:1`; the ids, with blanks between them."""
        place, _, subject = question.partition("@")
        type_, _, permission = place.partition("#")
        query = EntityQuery(
            type_,
            permission,
            parse_subject(subject),
            RequestContext(*facts_of(context), data),
            depth,
            {key: frozenset(ids) for key, ids in (scope or {}).items()},
        )
        return _run(
            one_by_one(EntityLookup(self.plan, query, self.table, wanted=wanted).parts()), count
        )

    def subjects(
        self, question: str, *, depth: int = 100, context: str = "", data: Any = None
    ) -> str:
        """Ask `doc:1#view@user` or `doc:1#view@group#member`; the ids, with blanks between."""
        place, _, kind = question.partition("@")
        entity, _, permission = place.partition("#")
        type_, _, relation = kind.partition("#")
        sent = RequestContext(*facts_of(context), data)
        query = SubjectQuery(parse_entity(entity), permission, type_, relation, (), sent, depth)
        return _run(one_by_one(SubjectLookup(self.plan, query, self.table).parts()), None)

    def allowed(self, question: str, *, depth: int = 100) -> bool:
        """Check `doc:1#view@user:1`."""
        place, _, subject = question.partition("@")
        entity, _, permission = place.partition("#")
        query = CheckQuery(parse_entity(entity), permission, parse_subject(subject), depth=depth)
        return asyncio.run(check(self.plan, query, self.table.fetch)).allowed

    def tree(self, place: str, *, context: str = "", arguments: tuple[str, ...] = ()) -> str:
        """Expand `doc:1#view`; the tree as text."""
        entity, _, permission = place.partition("#")
        sent = RequestContext(*facts_of(context))
        query = ExpandQuery(parse_entity(entity), permission, arguments, sent)
        return text_of(asyncio.run(expand(self.plan, query, self.table.fetch)))

    @property
    def checks(self) -> int:
        """How many facts were asked for by checks."""
        return sum(len(batch) for batch in self.table.table.batches)

    def read(self, kind: str) -> int:
        """How often ids were read in one way."""
        return sum(name == kind for name, _ in self.table.reads)


def _run(ids: AsyncIterator[str], count: int | None) -> str:
    async def run() -> list[str]:
        found: list[str] = []
        async with aclosing(ids) as open_:
            async for id_ in open_:
                found.append(id_)
                if len(found) == count:
                    break
        return found

    return " ".join(asyncio.run(run()))


_SIGNS = {"UNION": "or", "INTERSECTION": "and", "EXCLUSION": "not"}


def text_of(tree: Tree) -> str:
    """`doc:1#view or (doc:1#owner {user:1}, …)`."""
    label = f"{tree.entity}#{tree.permission}"
    content = tree.content
    if isinstance(content, Branch):
        children = ", ".join(map(text_of, content.children))
        return f"{label} {_SIGNS[content.operator.name]} ({children})"
    if isinstance(content, SubjectsLeaf):
        return f"{label} {{{' '.join(map(str, content.subjects))}}}"
    if isinstance(content, ValueLeaf):
        return f"{label} = {content.value.data}"
    values = ", ".join(f"{name}={value.data}" for name, value in content.values.items())
    return f"{label}({', '.join(tree.arguments)}) [{values}]"
