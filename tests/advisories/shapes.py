"""A small world, every question that can be put to it, and every call that can put one.

The oracle says what is right; the engine, and a node through both doors, must say the same by
Check, BulkCheck, SubjectPermission, LookupEntity, LookupSubject and Expand, wherever each fact
lies: stored, or sent along.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import cached_property
from itertools import cycle, product
from typing import Any, TypeVar

from grantlog.engine.check import check
from grantlog.engine.expand import ExpandQuery, expand
from grantlog.engine.lookup_entity.lookup import EntityLookup, EntityQuery
from grantlog.engine.lookup_subject.lookup import SubjectLookup, SubjectQuery
from grantlog.engine.many import FactMemo, check_many, one_by_one
from grantlog.engine.plan import build_plan
from grantlog.engine.question import CheckQuery, RequestContext
from grantlog.engine.tree import Branch, SubjectsLeaf, Tree, ValueLeaf
from grantlog.model.tuples import Entity, Subject
from grantlog.schema.compile import compile_schema
from grantlog.schema.compiled import Operator
from grantlog.testing.lookup_table import LookupTable
from grantlog.testing.oracle import Question, judge, read_language
from tests.advisories.doors import (
    META,
    Door,
    allowed,
    bulk,
    context_json,
    facts_of,
    put,
    put_schema,
)
from tests.advisories.node import new_tenant
from tests.property.asking import run_now

T = TypeVar("T")
DEPTH = 100
BULK_MAX = 100


@dataclass(frozen=True)
class Shape:
    """A schema and facts in string forms.

    Attributes:
        strangers: subjects that are asked about though no fact names them.
        data: `context.data` of every question.
    """

    schema: str
    facts: str
    strangers: str = "user:stranger user:*"
    data: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def words(self) -> list[str]:
        return self.facts.split()

    @cached_property
    def language(self) -> Any:
        return read_language(self.schema)

    @cached_property
    def entities(self) -> list[Entity]:
        """Everything that facts name, on either side."""
        tuples, attributes = facts_of(self.facts)
        found = {fact.entity for fact in tuples} | {a.entity for a in attributes}
        found |= {Entity(fact.subject.type, fact.subject.id) for fact in tuples}
        return sorted(found)

    @cached_property
    def subjects(self) -> list[Subject]:
        """Subjects of facts, and strangers."""
        tuples, _ = facts_of(self.facts)
        strangers = [Subject(*word.partition(":")[::2], "") for word in self.strangers.split()]
        return sorted({fact.subject for fact in tuples} | set(strangers))

    def names(self, type_: str) -> list[str]:
        """What can be asked of a type."""
        words = self.language.types[type_]
        return [*words.relations, *words.permissions]

    @cached_property
    def expected(self) -> dict[tuple[Entity, str, Subject], bool]:
        """The oracle's answer to every question; a shape has no errors."""
        tuples, attributes = facts_of(self.facts)
        found: dict[tuple[Entity, str, Subject], bool] = {}
        for entity, subject in product(self.entities, self.subjects):
            for name in self.names(entity.type):
                question = Question(
                    tuple(entity), name, subject, DEPTH, tuples, attributes, data=self.data
                )
                verdict = judge(self.language, question)
                found[entity, name, subject] = {"allowed": True, "denied": False}[verdict]
        return found

    def places(self) -> Iterator[tuple[Entity, str]]:
        """Every name of every entity."""
        return ((e, name) for e in self.entities for name in self.names(e.type))

    def entity_ids(self, type_: str, name: str, subject: Subject) -> list[str]:
        """What LookupEntity must find."""
        own = {subject.id} if subject.type == type_ else set()
        ids = {e.id for e in self.entities if e.type == type_} | own
        return sorted(
            id_ for id_ in ids if self.expected.get((Entity(type_, id_), name, subject), False)
        )

    def subject_ids(self, entity: Entity, name: str, kind: tuple[str, str]) -> list[str]:
        """What LookupSubject must find: known subjects alone."""
        tuples, _ = facts_of(self.facts)
        known = {f.subject for f in tuples if (f.subject.type, f.subject.relation) == kind}
        return sorted(s.id for s in known if self.expected[entity, name, s])

    def kinds(self) -> list[tuple[str, str]]:
        """Kinds of subjects that facts name."""
        return sorted({(s.type, s.relation) for s in self.subjects})

    def splits(self, most: int = 32) -> list[tuple[list[str], list[str]]]:
        """Ways to divide the facts between the store and the request; all of them if few."""
        count = 2 ** len(self.words)
        step = max(1, (count - 1) / (most - 1))
        masks = {round(n * step) for n in range(most)} if count > most else set(range(count))
        masks = {min(mask, count - 1) for mask in masks}
        return [
            (
                [word for n, word in enumerate(self.words) if not mask >> n & 1],
                [word for n, word in enumerate(self.words) if mask >> n & 1],
            )
            for mask in sorted(masks)
        ]


# ---------------------------------------------------------------------------------------------
# The engine


def assert_engine_agrees(shape: Shape, *, splits_max: int = 32) -> None:
    """Every call of the engine answers as the oracle, wherever facts lie."""
    assert any(shape.expected.values())
    for stored, sent in shape.splits(splits_max):
        _assert_split_agrees(shape, stored, sent)


def _assert_split_agrees(shape: Shape, stored: list[str], sent: list[str]) -> None:
    plan = build_plan(compile_schema(shape.schema))
    table = LookupTable(*facts_of(stored), page_max=2, ids_max=2)
    tuples, attributes = facts_of(sent)
    context = RequestContext(tuple(tuples), tuple(attributes), shape.data)
    queries = {key: CheckQuery(*key, context=context, depth=DEPTH) for key in shape.expected}
    alone = {key: run_now(check(plan, q, table.fetch)).allowed for key, q in queries.items()}
    assert alone == shape.expected, f"sent along: {sent}"
    together = run_now(check_many(plan, list(queries.values()), FactMemo(table.fetch)))
    assert [verdict.allowed for verdict in together] == list(shape.expected.values())
    for type_ in shape.language.types:
        for name, subject in product(shape.names(type_), shape.subjects):
            query = EntityQuery(type_, name, subject, context, DEPTH)
            found = run_now(_collected(one_by_one(EntityLookup(plan, query, table).parts())))
            expected = shape.entity_ids(type_, name, subject)
            assert found == expected, f"{type_}#{name}@{subject}, sent along: {sent}"
    for entity, name in shape.places():
        for kind in shape.kinds():
            query = SubjectQuery(entity, name, *kind, (), context, DEPTH)
            found = run_now(_collected(one_by_one(SubjectLookup(plan, query, table).parts())))
            expected = shape.subject_ids(entity, name, kind)
            assert found == expected, f"{entity}#{name}@{kind}, sent along: {sent}"
        tree = run_now(expand(plan, ExpandQuery(entity, name, context=context), table.fetch))
        for subject in shape.subjects:
            if shape.expected[entity, name, subject] and not subject.relation:
                assert _may_allow(tree, subject), f"{entity}#{name}@{subject}"


async def _collected(ids: AsyncIterator[T]) -> list[T]:
    async with aclosing(ids) as found:  # type: ignore[type-var]
        return [id_ async for id_ in found]


def _may_allow(tree: Tree, subject: Subject) -> bool:
    """Whether a tree can allow a subject."""
    content = tree.content
    if isinstance(content, Branch):
        if content.operator is Operator.UNION:
            return any(_may_allow(child, subject) for child in content.children)
        if content.operator is Operator.INTERSECTION:
            return all(_may_allow(child, subject) for child in content.children)
        return _may_allow(content.children[0], subject)
    if isinstance(content, SubjectsLeaf):
        return subject in content.subjects
    return content.value.data is True if isinstance(content, ValueLeaf) else True


# ---------------------------------------------------------------------------------------------
# A node


async def assert_served_alike(shape: Shape, doors: Sequence[Door]) -> None:
    """A served tenant answers as the oracle by every call, its questions dealt out to the doors.

    Once with all facts stored, once with every other one sent along.
    """
    for stored, sent in ((shape.words, []), (shape.words[::2], shape.words[1::2])):
        tenant = new_tenant("shape")
        await put_schema(doors[0], tenant, shape.schema)
        await put(doors[0], tenant, stored)
        await _Served(shape, doors, tenant, context_json(sent, shape.data)).assert_agrees()


class _Served:
    """A shape's questions to a tenant, each to the next door."""

    def __init__(self, shape: Shape, doors: Sequence[Door], tenant: str, context: dict) -> None:
        self.shape = shape
        self.doors = doors
        self.next_door = cycle(doors)
        self.tenant = tenant
        self.common = {"metadata": META, "context": context}

    async def call(self, name: str, body: dict) -> dict:
        return await next(self.next_door).call(f"Permission/{name}", self.tenant, body)

    async def assert_agrees(self) -> None:
        await self.checks()
        for number, (type_, subject) in enumerate(
            product(self.shape.language.types, self.shape.subjects)
        ):
            for name in self.shape.names(type_):
                await self.entities(type_, name, subject, streamed=number % 2 == 0)
        for (entity, name), kind in product(self.shape.places(), self.shape.kinds()):
            await self.subjects(entity, name, *kind)
        for entity, subject in product(self.shape.entities, self.shape.subjects):
            await self.permissions(entity, subject)

    async def checks(self) -> None:
        """All checks, in bulk, through every door."""
        expected = self.shape.expected
        questions = [f"{entity}#{name}@{subject}" for entity, name, subject in expected]
        for door in self.doors:
            answers: list[bool] = []
            for start in range(0, len(questions), BULK_MAX):
                part = questions[start : start + BULK_MAX]
                answers += await bulk(door, self.tenant, part, context=self.common["context"])
            assert dict(zip(expected, answers, strict=True)) == expected, door.name

    async def entities(self, type_: str, name: str, subject: Subject, *, streamed: bool) -> None:
        asked = {"entity_type": type_, "permission": name, "subject": subject._asdict()}
        expected = self.shape.entity_ids(type_, name, subject)
        answer = await self.call("LookupEntity", self.common | asked)
        assert answer["entity_ids"] == expected, asked
        if streamed:
            door = next(self.next_door)
            told = await door.stream(
                "Permission/LookupEntityStream", self.tenant, self.common | asked
            )
            assert [item["entity_id"] for item in told] == expected, asked

    async def subjects(self, entity: Entity, name: str, type_: str, relation: str) -> None:
        asked = {
            "entity": entity._asdict(), "permission": name,
            "subject_reference": {"type": type_, "relation": relation},
        }  # fmt: skip
        answer = await self.call("LookupSubject", self.common | asked)
        expected = self.shape.subject_ids(entity, name, (type_, relation))
        assert answer["subject_ids"] == expected, asked

    async def permissions(self, entity: Entity, subject: Subject) -> None:
        asked = {"entity": entity._asdict(), "subject": subject._asdict()}
        answer = await self.call("SubjectPermission", self.common | asked)
        found = {name: allowed(can) for name, can in answer["results"].items()}
        names = self.shape.names(entity.type)
        assert found == {name: self.shape.expected[entity, name, subject] for name in names}
