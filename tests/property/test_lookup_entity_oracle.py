"""LookupEntity is the set of entities that a check allows."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from grantlog.engine.lookup_entity.lookup import EntityLookup, EntityQuery
from grantlog.engine.many import one_by_one
from grantlog.engine.plan import Plan, build_plan
from grantlog.errors import GrantlogError
from grantlog.model.tuples import Entity
from grantlog.schema.compile import compile_schema
from grantlog.testing.lookup_table import LookupTable
from grantlog.testing.oracle import Language, judge, read_language
from grantlog.testing.worlds import Asked, World, questions, worlds
from tests.property.asking import collected, context_of, in_words, question_of, run_now

ANY_WORLD = worlds() | worlds(layered=True)
SOME = st.lists(questions(), min_size=6, max_size=6)
DEEP = 200


def known_ids(world: World, asked: Asked) -> list[str]:
    """The ids of the asked entity's type in any fact, and the subject's own."""
    tuples = (*world.tuples, *world.context_tuples)
    sides = [side for fact in tuples for side in (fact.entity, fact.subject)]
    sides += [a.entity for a in (*world.attributes, *world.context_attributes)]
    sides.append(asked.subject)
    return sorted({side.id for side in sides if side.type == asked.entity.type})


def table_of(world: World, **pages: int) -> LookupTable:
    return LookupTable(world.tuples, world.attributes, **pages)


def looked_up(
    plan: Plan,
    world: World,
    asked: Asked,
    table: LookupTable,
    *,
    scope=(),
    after="",
    wanted=1000,
    count: int | None = None,
) -> list[str] | str:
    narrowed = {asked.entity.type: frozenset(scope)} if scope else {}
    query = EntityQuery(
        asked.entity.type, asked.name, asked.subject, context_of(world), asked.depth, narrowed
    )
    return outcome(plan, query, table, after=after, wanted=wanted, count=count)


def outcome(
    plan: Plan,
    query: EntityQuery,
    table: LookupTable,
    *,
    after="",
    wanted=1000,
    count: int | None = None,
) -> list[str] | str:
    ids = one_by_one(EntityLookup(plan, query, table, after=after, wanted=wanted).parts())
    try:
        return run_now(collected(ids, count))
    except GrantlogError as error:
        return in_words(error)


def verdicts(language: Language, world: World, asked: Asked) -> dict[str, str]:
    type_ = asked.entity.type
    return {
        id_: judge(language, question_of(world, replace(asked, entity=Entity(type_, id_))))
        for id_ in known_ids(world, asked)
    }


@settings(max_examples=300, deadline=None)
@given(ANY_WORLD, SOME)
def test_it_finds_the_known_entities_that_a_check_allows(world: World, some: list[Asked]):
    plan, language = build_plan(compile_schema(world.schema)), read_language(world.schema)
    for one in some:
        for depth in (one.depth, 3, 5, DEEP):
            asked = replace(one, depth=depth)
            expected = verdicts(language, world, asked)
            allowed = [id_ for id_, verdict in expected.items() if verdict == "allowed"]
            errors = {v for v in expected.values() if v not in {"allowed", "denied", "missing"}}
            found = looked_up(plan, world, asked, table_of(world))
            if isinstance(found, str):
                assert found in errors, asked
            else:
                assert found == allowed, asked


@settings(max_examples=200, deadline=None)
@given(worlds(layered=True), SOME)
def test_where_no_chain_is_too_long_an_entity_without_an_answer_fails_it(
    world: World, some: list[Asked]
):
    plan, language = build_plan(compile_schema(world.schema)), read_language(world.schema)
    for one in some:
        asked = replace(one, depth=DEEP)
        expected = verdicts(language, world, asked)
        allowed = [id_ for id_, verdict in expected.items() if verdict == "allowed"]
        errors = [v for v in expected.values() if v not in {"allowed", "denied", "missing"}]
        assert looked_up(plan, world, asked, table_of(world)) == (errors[0] if errors else allowed)


@settings(max_examples=100, deadline=None)
@given(ANY_WORLD, SOME)
def test_what_it_leaves_out_though_a_check_has_no_answer_is_denied_by_nature(
    world: World, some: list[Asked]
):
    """An entity that a lookup passes over in silence is not allowed at any depth."""
    plan, language = build_plan(compile_schema(world.schema)), read_language(world.schema)
    for one in some:
        found = looked_up(plan, world, one, table_of(world))
        if isinstance(found, list):
            deep = verdicts(language, world, replace(one, depth=DEEP))
            allowed = [id_ for id_, verdict in deep.items() if verdict == "allowed"]
            assert found == allowed, one


@settings(max_examples=100, deadline=None)
@given(ANY_WORLD, SOME, st.integers(1, 3), st.integers(1, 4))
def test_pages_of_any_size_make_up_the_whole(
    world: World, some: list[Asked], page: int, ids_max: int
):
    plan = build_plan(compile_schema(world.schema))
    for one in some:
        whole = looked_up(plan, world, one, table_of(world))
        if isinstance(whole, str):
            continue
        found: list[str] = []
        while True:
            table = table_of(world, page_max=page, ids_max=ids_max)
            part = looked_up(
                plan, world, one, table,
                after=found[-1] if found else "", wanted=page, count=page,
            )  # fmt: skip
            assert isinstance(part, list)
            found += part
            if len(part) < page:
                break
        assert found == whole, one


@settings(max_examples=100, deadline=None)
@given(ANY_WORLD, SOME, st.sets(st.sampled_from(("a", "b", "c", "zz")), min_size=1))
def test_a_scope_narrows_the_answer_and_nothing_else(
    world: World, some: list[Asked], scope: set[str]
):
    plan, language = build_plan(compile_schema(world.schema)), read_language(world.schema)
    for one in some:
        expected = {k: v for k, v in verdicts(language, world, one).items() if k in scope}
        allowed = [id_ for id_, verdict in expected.items() if verdict == "allowed"]
        errors = [v for v in expected.values() if v not in {"allowed", "denied", "missing"}]
        found = looked_up(plan, world, one, table_of(world), scope=scope)
        assert found == (errors[0] if errors else allowed), one


@settings(max_examples=100, deadline=None)
@given(
    ANY_WORLD,
    SOME,
    st.dictionaries(
        st.sampled_from(("user", "team", "doc")),
        st.frozensets(st.sampled_from(("a", "b", "c")), min_size=1),
        min_size=1,
    ),
)
def test_a_scope_of_types_in_between_narrows_and_one_that_names_all_does_not(
    world: World, some: list[Asked], scope: dict[str, frozenset[str]]
):
    plan, language = build_plan(compile_schema(world.schema)), read_language(world.schema)
    for one in some:
        query = EntityQuery(one.entity.type, one.name, one.subject, context_of(world), DEEP, scope)
        deep = replace(one, depth=DEEP)
        expected = verdicts(language, world, deep)
        found = outcome(plan, query, table_of(world))
        if isinstance(found, str):
            assert found in expected.values()
            continue
        allowed = [id_ for id_, verdict in expected.items() if verdict == "allowed"]
        own = scope.get(one.entity.type, set(allowed))
        assert set(found) <= set(allowed) & own, one
        if all(len(ids) == 3 for ids in scope.values()):
            assert found == allowed, one
