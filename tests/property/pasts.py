"""Random pasts of a tenant, and every reading call as of each of their revisions."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from hypothesis import strategies as st

from grantlog.app.ask_many import BulkCheck, PermissionsQuery, SubjectPermissions
from grantlog.app.check import Check
from grantlog.app.continuation import Continuations
from grantlog.app.expand import Expand
from grantlog.app.known import KnownHeads
from grantlog.app.listing import ListFacts
from grantlog.app.lookup import Lookup, Window
from grantlog.app.places import Places
from grantlog.app.resolve import Resolver
from grantlog.app.schema_cache import SchemaCache
from grantlog.app.schemas import Schemas
from grantlog.app.terms import Consistency, Terms
from grantlog.engine.expand import ExpandQuery, expand
from grantlog.engine.lookup_entity.lookup import EntityQuery
from grantlog.engine.lookup_subject.lookup import SubjectQuery
from grantlog.engine.plan import build_plan
from grantlog.engine.question import NO_CONTEXT
from grantlog.errors import GrantlogError, LimitError
from grantlog.model.attributes import Attribute
from grantlog.model.ids import Revision, TenantId
from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.ports.facts import AttributeFilter, FactReader, TupleFilter
from grantlog.ports.listing import FactLister
from grantlog.ports.reverse import ReverseReader
from grantlog.ports.writer import PutFacts, RemoveFacts
from grantlog.schema.compile import compile_schema
from grantlog.schema.compiled import CompiledSchema
from grantlog.testing.contracts.places import Primary
from grantlog.testing.fact_table import FactTable
from grantlog.testing.oracle import judge, read_language
from grantlog.testing.worlds import Asked, World, questions, worlds
from tests.property.asking import in_words, query_of, question_of

BARE = {"context_tuples": (), "context_attributes": (), "data": {}}
PAGE = 5_000


@dataclass(frozen=True)
class NewSchema:
    """Put the schema of a world in force."""

    text: str


Act = NewSchema | PutFacts | RemoveFacts


@dataclass(frozen=True)
class Stood:
    """What held at a revision; without a schema the text is ""."""

    revision: Revision
    time: datetime | None
    world: World


@st.composite
def pasts(draw: st.DrawFn) -> list[Act]:
    """Schemas, facts put and facts removed, in any order, of two or three worlds."""
    acts: list[Act] = []
    for world in draw(st.lists(worlds(), min_size=2, max_size=3)):
        tuples, attributes = world.tuples, world.attributes
        some = st.lists(st.sampled_from(tuples), max_size=8) if tuples else st.just([])
        gone = tuple(draw(some))
        named = tuple((a.entity, a.name) for a in attributes[::2])
        acts += draw(
            st.permutations(
                [
                    NewSchema(world.schema),
                    PutFacts(tuples[::2], attributes),
                    PutFacts(tuples[1::2], ()),
                    RemoveFacts(gone, named),
                ]
            )
        )
    return acts


SOME = st.lists(questions(), min_size=2, max_size=3)
MOMENTS_MAX = 5


def moments(data: st.DataObject, history: Sequence[Stood]) -> list[tuple[Terms, Stood]]:
    """A few of a past's revisions, each with terms that name it: by number or by time."""
    choice = st.lists(st.sampled_from(history), min_size=1, max_size=MOMENTS_MAX, unique_by=id)
    found: list[tuple[Terms, Stood]] = []
    for stood in data.draw(choice, label="moments"):
        by_time = stood.time is not None and data.draw(st.booleans(), label="by time")
        found.append((Terms(as_of=stood.time if by_time else stood.revision), stood))
    return found


async def lived(primary: Primary, tenant: TenantId, acts: Sequence[Act]) -> list[Stood]:
    """Live a past; what held at every revision, the one before the first included."""
    world = World("", (), (), **BARE)
    stood = [Stood(Revision(0), None, world)]
    tuples: set[RelationTuple] = set()
    attributes: dict[tuple[Entity, str], Attribute] = {}
    for act in acts:
        if isinstance(act, NewSchema):
            world = replace(world, schema=act.text)
            done = await primary.writer.write_schema(
                tenant, act.text, based_on=None, write_id=primary.new_id()
            )
        else:
            if isinstance(act, PutFacts):
                tuples |= set(act.tuples)
                attributes |= {(a.entity, a.name): a for a in act.attributes}
            else:
                tuples -= set(act.tuples)
                attributes = {k: a for k, a in attributes.items() if k not in act.attributes}
            world = replace(world, tuples=tuple(tuples), attributes=tuple(attributes.values()))
            done = await primary.apply(act, tenant=tenant)
        if done.revision > stood[-1].revision:
            stood.append(Stood(done.revision, done.commit_time, world))
    return stood


class Calls:
    """The reading calls over a primary, with facts from wherever."""

    def __init__(
        self, primary: Primary, facts: FactReader, lister: FactLister, reverse: ReverseReader
    ) -> None:
        known = KnownHeads()
        resolver = Resolver(primary.heads, primary.past, known, Consistency.HEAD)
        cache = SchemaCache(primary.schemas)
        places = Places(resolver, cache, facts, reverse)
        pages = Continuations(b"k" * 32)
        self.check = Check(resolver, cache, facts)
        self.bulk, self.permissions = BulkCheck(places), SubjectPermissions(places)
        self.expand, self.lookup = Expand(places), Lookup(places, pages, lambda: 0.0)
        self.lists = ListFacts(resolver, lister, pages)
        self.schemas = Schemas(
            writer=primary.writer, reader=primary.schemas, resolver=resolver, known=known,
            cache=cache, new_id=primary.new_id,
        )  # fmt: skip


async def told(answer: Awaitable[Any]) -> Any:
    """An answer, or the oracle's word for an error."""
    try:
        return await answer
    except LimitError:
        return "limit"
    except GrantlogError as error:
        return in_words(error)


async def agree(
    calls: Calls, tenant: TenantId, terms: Terms, stood: Stood, some: list[Asked]
) -> None:
    """Every reading call answers as the oracle does on the facts and the schema of then."""
    world = stood.world
    await _agree_on_data(calls, tenant, terms, world)
    schema = await told(calls.schemas.read(tenant, terms))
    if not world.schema:
        assert schema == "missing"
        assert await told(calls.check(tenant, query_of(world, some[0]), terms)) == "missing"
        return
    assert isinstance(schema, CompiledSchema)
    assert schema.text == world.schema
    for asked in some:
        await _agree_on_checks(calls, tenant, terms, world, asked)
        await _agree_on_lookups(calls, tenant, terms, world, asked)
    await _agree_on_a_tree(calls, tenant, terms, world, some[0])


async def _agree_on_a_tree(
    calls: Calls, tenant: TenantId, terms: Terms, world: World, asked: Asked
) -> None:
    query = ExpandQuery(asked.entity, asked.name)
    shown = await told(calls.expand(tenant, query, terms))
    table = FactTable(world.tuples, world.attributes)
    plan = build_plan(compile_schema(world.schema))
    assert getattr(shown, "tree", shown) == await told(expand(plan, query, table.fetch)), asked


async def _agree_on_data(calls: Calls, tenant: TenantId, terms: Terms, world: World) -> None:
    how: dict[str, Any] = {"terms": terms, "page_size": PAGE, "continuation": ""}
    tuples, _ = await calls.lists.tuples(tenant, TupleFilter(), **how)
    assert set(tuples) == set(world.tuples)
    attributes, _ = await calls.lists.attributes(tenant, AttributeFilter(), **how)
    assert sorted(map(str, attributes)) == sorted(map(str, world.attributes))


_language = lru_cache(8)(read_language)


def _verdict(world: World, asked: Asked) -> str:
    return judge(_language(world.schema), question_of(world, asked))


async def _agree_on_checks(
    calls: Calls, tenant: TenantId, terms: Terms, world: World, asked: Asked
) -> None:
    verdict = _verdict(world, asked)
    answer = await told(calls.check(tenant, query_of(world, asked), terms))
    said = answer if isinstance(answer, str) else _word(answer.result.allowed)
    assert said == verdict, asked
    bulk = await calls.bulk(tenant, [query_of(world, asked)] * 2, terms)
    for item in bulk.items:
        assert (in_words(item) if isinstance(item, Exception) else _word(item.allowed)) == verdict
    query = PermissionsQuery(asked.entity, asked.subject, NO_CONTEXT, asked.depth, False)
    answer = await told(calls.permissions(tenant, query, terms))
    language = _language(world.schema).types[asked.entity.type]
    verdicts = {
        name: _verdict(world, replace(asked, name=name))
        for name in (*language.permissions, *language.relations)
    }
    errors = {verdict for verdict in verdicts.values() if verdict not in {"allowed", "denied"}}
    if isinstance(answer, str):
        assert answer in errors
    else:
        assert {name: _word(yes) for name, yes in answer.allowed.items()} == verdicts


def _word(allowed: bool) -> str:
    return "allowed" if allowed else "denied"


async def _agree_on_lookups(
    calls: Calls, tenant: TenantId, terms: Terms, world: World, asked: Asked
) -> None:
    window = Window(terms)
    type_, _, relation = asked.subject
    sides = [side for fact in world.tuples for side in (fact.entity, fact.subject)]
    sides += [attribute.entity for attribute in world.attributes]
    sides.append(asked.subject)
    entities = {side.id for side in sides if side.type == asked.entity.type}
    verdicts = {
        id_: _verdict(world, replace(asked, entity=Entity(asked.entity.type, id_)))
        for id_ in sorted(entities)
    }
    query = EntityQuery(asked.entity.type, asked.name, asked.subject, NO_CONTEXT, asked.depth)
    answer = await told(calls.lookup.entities(tenant, query, window))
    _same(getattr(answer, "ids", answer), verdicts)
    streamed = await told(_streamed(calls, tenant, query, window))
    assert streamed == getattr(answer, "ids", answer)
    kinds = ((fact.subject, (fact.subject.type, fact.subject.relation)) for fact in world.tuples)
    subjects = {subject.id for subject, kind in kinds if kind == (type_, relation)}
    verdicts = {
        id_: _verdict(world, replace(asked, subject=Subject(type_, id_, relation)))
        for id_ in sorted(subjects)
    }
    question = SubjectQuery(asked.entity, asked.name, type_, relation, (), NO_CONTEXT, asked.depth)
    answer = await told(calls.lookup.subjects(tenant, question, window))
    _same(getattr(answer, "ids", answer), verdicts)


async def _streamed(
    calls: Calls, tenant: TenantId, query: EntityQuery, window: Window
) -> list[str]:
    return [id_ async for id_, _ in calls.lookup.stream_entities(tenant, query, window)]


def _same(found: list[str] | str, verdicts: dict[str, str]) -> None:
    if isinstance(found, str):
        assert found in verdicts.values()
    else:
        assert found == [id_ for id_, verdict in verdicts.items() if verdict == "allowed"]
