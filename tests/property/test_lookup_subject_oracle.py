"""LookupSubject is the set of known subjects that a check allows."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from grantlog.engine.lookup_subject.lookup import SubjectLookup, SubjectQuery
from grantlog.engine.many import one_by_one
from grantlog.engine.plan import Plan, build_plan
from grantlog.errors import GrantlogError
from grantlog.model.tuples import Subject
from grantlog.schema.compile import compile_schema
from grantlog.testing.lookup_table import LookupTable
from grantlog.testing.oracle import Language, judge, read_language
from grantlog.testing.worlds import Asked, World, questions, worlds
from tests.property.asking import collected, context_of, in_words, question_of, run_now

ANY_WORLD = worlds() | worlds(layered=True)
SOME = st.lists(questions(), min_size=6, max_size=6)
DEEP = 200


def known_subjects(world: World, asked: Asked) -> list[str]:
    """The ids of tuples' subjects of exactly the asked subject's kind."""
    kind = (asked.subject.type, asked.subject.relation)
    subjects = (fact.subject for fact in (*world.tuples, *world.context_tuples))
    return sorted({s.id for s in subjects if (s.type, s.relation) == kind})


def table_of(world: World, **pages: int) -> LookupTable:
    return LookupTable(world.tuples, world.attributes, **pages)


def looked_up(
    plan: Plan,
    world: World,
    asked: Asked,
    table: LookupTable,
    *,
    after="",
    wanted=1000,
    count: int | None = None,
) -> list[str] | str:
    subject = asked.subject
    query = SubjectQuery(
        asked.entity, asked.name, subject.type, subject.relation, (), context_of(world), asked.depth
    )
    ids = one_by_one(SubjectLookup(plan, query, table, after=after, wanted=wanted).parts())
    try:
        return run_now(collected(ids, count))
    except GrantlogError as error:
        return in_words(error)


def verdicts(language: Language, world: World, asked: Asked) -> dict[str, str]:
    type_, _, relation = asked.subject
    return {
        id_: judge(
            language, question_of(world, replace(asked, subject=Subject(type_, id_, relation)))
        )
        for id_ in known_subjects(world, asked)
    }


@settings(max_examples=300, deadline=None)
@given(ANY_WORLD, SOME)
def test_it_finds_the_known_subjects_that_a_check_allows(world: World, some: list[Asked]):
    plan, language = build_plan(compile_schema(world.schema)), read_language(world.schema)
    for one in some:
        for depth in (one.depth, 3, 5, DEEP):
            asked = replace(one, depth=depth)
            expected = verdicts(language, world, asked)
            errors = [v for v in expected.values() if v not in {"allowed", "denied"}]
            allowed = [id_ for id_, verdict in expected.items() if verdict == "allowed"]
            found = looked_up(plan, world, asked, table_of(world))
            assert found == (errors[0] if errors else allowed), asked


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
