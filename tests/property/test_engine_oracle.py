"""The engine and the oracle agree on every question of every world."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from grantlog.engine.check import FactFetch, check, decide
from grantlog.engine.plan import Plan, build_plan
from grantlog.engine.question import CheckQuery, RequestContext
from grantlog.errors import DepthExceededError, GrantlogError, NotFoundError, RuleFailedError
from grantlog.schema.compile import compile_schema
from grantlog.testing.fact_table import FactTable
from grantlog.testing.oracle import Question, judge, judge_unshared, read_language
from grantlog.testing.worlds import ATTRIBUTES, Asked, World, questions, worlds

T = TypeVar("T")

SOME_QUESTIONS = st.lists(questions(), min_size=12, max_size=12)


def run_now(answer: Coroutine[Any, Any, T]) -> T:
    """Run what never waits for anything but its turn; a hundred times faster than a loop."""
    while True:
        try:
            answer.send(None)
        except StopIteration as done:
            return done.value


def verdict(plan: Plan, query: CheckQuery, fetch: FactFetch) -> str:
    """The engine's answer in the oracle's words."""
    try:
        result = run_now(check(plan, query, fetch))
    except DepthExceededError:
        return "depth"
    except RuleFailedError as error:
        return error.explanation.partition(":")[0]
    except NotFoundError:
        return "missing"
    assert result.check_count >= 1
    return "allowed" if result.allowed else "denied"


def query_of(world: World, asked: Asked) -> CheckQuery:
    context = RequestContext(world.context_tuples, world.context_attributes, world.data)
    return CheckQuery(asked.entity, asked.name, asked.subject, context=context, depth=asked.depth)


def question_of(world: World, asked: Asked) -> Question:
    return Question(
        entity=(asked.entity.type, asked.entity.id),
        name=asked.name,
        subject=asked.subject,
        depth=asked.depth,
        tuples=world.tuples,
        attributes=world.attributes,
        context_tuples=world.context_tuples,
        context_attributes=world.context_attributes,
        data=world.data,
    )


@settings(max_examples=300, deadline=None)
@given(worlds(), SOME_QUESTIONS)
def test_the_engine_answers_what_the_oracle_answers(world: World, asked: list[Asked]):
    plan, language = build_plan(compile_schema(world.schema)), read_language(world.schema)
    facts = FactTable(world.tuples, world.attributes)
    for question in asked:
        for depth in (question.depth, 1, 2, 3, 4, 5, 6):
            one = replace(question, depth=depth)
            expected = judge(language, question_of(world, one))
            assert verdict(plan, query_of(world, one), facts.fetch) == expected, one


@settings(max_examples=50, deadline=None)
@given(worlds(), SOME_QUESTIONS, st.integers(1, 3))
def test_answers_do_not_depend_on_the_size_of_pages(
    world: World, asked: list[Asked], page_max: int
):
    plan = build_plan(compile_schema(world.schema))
    whole = FactTable(world.tuples, world.attributes)
    pages = FactTable(world.tuples, world.attributes, page_max=page_max)
    for one in asked:
        query = query_of(world, one)
        assert verdict(plan, query, pages.fetch) == verdict(plan, query, whole.fetch), one


@settings(max_examples=50, deadline=None)
@given(worlds(), SOME_QUESTIONS)
def test_facts_sent_along_count_as_if_they_were_stored(world: World, asked: list[Asked]):
    plan = build_plan(compile_schema(world.schema))
    apart = FactTable(world.tuples, world.attributes)
    stored = {(a.entity, a.name): a for a in world.attributes}
    for attribute in reversed(world.context_attributes):
        if ATTRIBUTES[attribute.name] is attribute.value.type:
            stored[attribute.entity, attribute.name] = attribute
    together = FactTable((*world.tuples, *world.context_tuples), stored.values())
    moved = replace(world, context_tuples=(), context_attributes=())
    for one in asked:
        expected = verdict(plan, query_of(world, one), apart.fetch)
        assert verdict(plan, query_of(moved, one), together.fetch) == expected, one


@settings(max_examples=50, deadline=None)
@given(worlds(), SOME_QUESTIONS)
def test_facts_are_fetched_once_and_in_one_batch_for_each_level(world: World, asked: list[Asked]):
    plan = build_plan(compile_schema(world.schema))
    for one in asked:
        facts = FactTable(world.tuples, world.attributes)
        verdict(plan, query_of(world, one), facts.fetch)
        keys = [(type(key), key) for batch in facts.batches for key in batch]
        assert len(keys) == len(set(keys))
        # An error that hangs on depth may look at what it skipped, level by level.
        assert len(facts.batches) <= 2 * (one.depth + 1)


@settings(max_examples=50, deadline=None)
@given(worlds(), SOME_QUESTIONS)
def test_what_is_decided_without_sharing_is_decided_alike(world: World, asked: list[Asked]):
    language = read_language(world.schema)
    for one in asked:
        question = replace(question_of(world, one), depth=min(one.depth, 12))
        alone = judge_unshared(language, question)
        if alone in {"allowed", "denied"}:
            assert judge(language, question) == alone, one


@settings(max_examples=50, deadline=None)
@given(worlds(), SOME_QUESTIONS)
def test_two_depths_never_contradict_each_other(world: World, asked: list[Asked]):
    plan = build_plan(compile_schema(world.schema))
    facts = FactTable(world.tuples, world.attributes)
    for one in asked:
        query = query_of(world, one)
        answers = {verdict(plan, query._replace(depth=d), facts.fetch) for d in (1, 3, 5, 8, 1000)}
        assert not answers >= {"allowed", "denied"}, one


@settings(max_examples=100, deadline=None)
@given(worlds() | worlds(layered=True), SOME_QUESTIONS, st.sampled_from((1_000, 1, 2)))
def test_a_decision_says_a_depth_that_gives_it_and_all_that_it_read(
    world: World, asked: list[Asked], page_max: int
):
    plan = build_plan(compile_schema(world.schema))
    for one in asked:
        facts = FactTable(world.tuples, world.attributes, page_max=page_max)
        query = query_of(world, one)
        try:
            decision = run_now(decide(plan, query, facts.fetch))
        except GrantlogError:
            continue
        assert decision.depth <= one.depth
        for depth in (decision.depth, one.depth, 1_000):
            again = verdict(plan, query._replace(depth=depth), facts.fetch)
            assert again == ("allowed" if decision.result.allowed else "denied"), one
        facts = FactTable(world.tuples, world.attributes, page_max=page_max)
        run_now(decide(plan, query, facts.fetch))
        read = {(type(key), key) for batch in facts.batches for key in batch}
        assert {(type(key), key) for key in decision.reads} == read
