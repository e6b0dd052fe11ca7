"""What is decided from memory alone is what the oracle says; the rest is left to the engine."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grantlog.cache.recall import Recall, Recalled
from grantlog.cache.relations import RelationCache, name_of
from grantlog.engine.conform import plain_subject
from grantlog.engine.plan import Plan, build_plan
from grantlog.model.attributes import Attribute
from grantlog.model.ids import Revision
from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.ports.facts import AttributeKey, DirectKey, FactKey, SubjectsKey, UsersetsKey
from grantlog.schema.compile import compile_schema
from grantlog.testing.fact_table import FactTable
from grantlog.testing.oracle import judge, read_language
from grantlog.testing.worlds import (
    ATTRIBUTES,
    IDS,
    RELATIONS,
    TYPES,
    Asked,
    World,
    questions,
    worlds,
)
from tests.property.asking import question_of
from tests.unit.cache.making import clock

AT = Revision(5)
SOME_QUESTIONS = st.lists(questions(), min_size=8, max_size=8)
SEEDS = st.integers(0, 1 << 32)
WORDS = {True: "allowed", False: "denied"}


def keys_about(subjects: list[Subject]) -> list[FactKey]:
    """All that can be asked of a world about these subjects."""
    places = [(type_, id_) for type_ in TYPES for id_ in IDS]
    keys: list[FactKey] = []
    for place in places:
        for name in RELATIONS:
            keys += [SubjectsKey(*place, name), UsersetsKey(*place, name)]
            keys += [DirectKey(*place, name, *subject) for subject in subjects]
        keys += [AttributeKey(*place, name) for name in ATTRIBUTES]
    return keys


def filled(table: FactTable, keys: list[FactKey], whole_max: int) -> RelationCache:
    """A cache that was told the answers to these keys."""
    cache, one = RelationCache(1 << 20, whole_subjects_max=whole_max), CLOCK
    for key in keys:  # one at a time: together, a relation that is read whole keeps others out
        cache.keep(one, AT, [key], [table.answer(key)])
    return cache


CLOCK = clock(AT)


def recalled(cache: RelationCache, plan: Plan, world: World, asked: Asked) -> Recalled | None:
    recall = Recall(cache, CLOCK, AT, plain_subject(asked.subject), world.data)
    step = plan.find(asked.entity.type, asked.name)
    return recall.decide(step, asked.entity.id, asked.depth)


def stored_alone(world: World) -> World:
    return replace(world, context_tuples=(), context_attributes=())


def share(keys: list[FactKey], rng: Random, part: int) -> list[FactKey]:
    return [key for key in keys if rng.randrange(100) < part]


@settings(max_examples=60, deadline=None)
@given(
    worlds() | worlds(layered=True),
    SOME_QUESTIONS,
    SEEDS,
    st.sampled_from((100, 97, 80)),
    st.sampled_from((250, 1)),
)
def test_what_memory_answers_is_what_the_oracle_answers(
    world: World, asked: list[Asked], seed: int, part: int, whole_max: int
):
    world = stored_alone(world)
    plan, language = build_plan(compile_schema(world.schema)), read_language(world.schema)
    table = FactTable(world.tuples, world.attributes)
    subjects = list({plain_subject(one.subject) for one in asked})
    cache = filled(table, share(keys_about(subjects), Random(seed), part), whole_max)
    for question in asked:
        for depth in (question.depth, 0, 2, 4):
            one = replace(question, depth=depth)
            found = recalled(cache, plan, world, one)
            if found is None:
                continue
            assert found.depth <= depth
            for enough in {found.depth, depth, 1_000}:
                expected = judge(language, question_of(world, replace(one, depth=enough)))
                assert WORDS[found.allowed] == expected, (one, enough)


@settings(max_examples=60, deadline=None)
@given(
    worlds() | worlds(layered=True),
    SOME_QUESTIONS,
    SEEDS,
    st.sampled_from((250, 1)),
)
def test_an_answer_rests_on_what_it_says_it_read_and_on_nothing_else(
    world: World, asked: list[Asked], seed: int, whole_max: int
):
    world = stored_alone(world)
    plan, language = build_plan(compile_schema(world.schema)), read_language(world.schema)
    table = FactTable(world.tuples, world.attributes)
    subjects = list({plain_subject(one.subject) for one in asked})
    cache = filled(table, keys_about(subjects), whole_max)
    for one in asked:
        found = recalled(cache, plan, world, one)
        if found is None:
            continue
        read = {place_read(entry.key) for entry in found.reads}
        other = disturbed(world, read, Random(seed))
        assert judge(language, question_of(other, one)) == WORDS[found.allowed], one


def place_read(place: tuple[object, ...]) -> tuple[object, object, object]:
    """Entity type, id and name that an entry is of."""
    type_, name = name_of(place)
    return type_, place[place.index(type_, 1) + 1], name


def disturbed(world: World, read: set[object], rng: Random) -> World:
    """The world with most of what was not read gone, and other facts there."""
    kinds = [(t, r) for t in TYPES for r in ("", *RELATIONS)]

    def anything() -> RelationTuple:
        type_, relation = rng.choice(kinds)
        subject = Subject(type_, rng.choice(IDS), relation)
        return RelationTuple(
            Entity(rng.choice(TYPES), rng.choice(IDS)), rng.choice(RELATIONS), subject
        )

    def stays(fact: RelationTuple | Attribute) -> bool:
        name = fact.relation if isinstance(fact, RelationTuple) else fact.name
        return (*fact.entity, name) in read

    new = [fact for fact in (anything() for _ in range(60)) if not stays(fact)]
    tuples = {*filter(stays, world.tuples), *new}
    return replace(world, tuples=tuple(tuples), attributes=tuple(filter(stays, world.attributes)))


@settings(max_examples=60, deadline=None)
@given(worlds() | worlds(layered=True), SOME_QUESTIONS)
def test_questions_of_one_subject_share_nothing_that_changes_an_answer(
    world: World, asked: list[Asked]
):
    world = stored_alone(world)
    plan = build_plan(compile_schema(world.schema))
    table = FactTable(world.tuples, world.attributes)
    subject = plain_subject(asked[0].subject)
    cache = filled(table, keys_about([subject]), 250)
    together = Recall(cache, CLOCK, AT, subject, world.data)
    for other in asked:
        one = replace(other, subject=subject)
        step = plan.find(one.entity.type, one.name)
        found, alone = (
            together.decide(step, one.entity.id, one.depth),
            recalled(cache, plan, world, one),
        )
        if found is not None and alone is not None:
            assert found.allowed is alone.allowed, one


@pytest.mark.parametrize("layered", [False, True])
def test_memory_that_holds_everything_answers_most(layered: bool):
    answered = whole = 0

    @settings(max_examples=40, deadline=None, derandomize=True, database=None)
    @given(worlds(layered=layered), SOME_QUESTIONS)
    def ask(world: World, asked: list[Asked]) -> None:
        nonlocal answered, whole
        world = stored_alone(world)
        plan, language = build_plan(compile_schema(world.schema)), read_language(world.schema)
        table = FactTable(world.tuples, world.attributes)
        cache = filled(table, keys_about([one.subject for one in asked]), 250)
        for one in asked:
            if judge(language, question_of(world, one)) in WORDS.values():
                whole += 1
                answered += recalled(cache, plan, world, one) is not None

    ask()
    assert answered > whole * (0.9 if layered else 0.5), (answered, whole)
