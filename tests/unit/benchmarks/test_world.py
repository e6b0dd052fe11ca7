"""Generated worlds: what the questions claim is what the oracle, and the engine, say."""

from itertools import islice

import pytest
from questions import question_about, questions
from world import SCHEMA, Huge, Wide, World, world_of

from grantlog.engine.check import check
from grantlog.engine.plan import build_plan
from grantlog.engine.question import CheckQuery
from grantlog.model.attributes import Attribute, AttributeType, AttributeValue
from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.schema.compile import compile_schema
from grantlog.testing.fact_table import FactTable
from grantlog.testing.oracle import Question, judge, read_language

KINDS = ("direct", "3-level", "6-level", "denied", "attribute", "rule", "mixed")
CORNERS = (("wide", 40), ("huge", 300))


def facts_of(world):
    """A world as the model's values."""
    tuples = [
        RelationTuple(Entity(f[0], f[1]), f[2], Subject(f[3], f[4], f[5]))
        for f in world.all_facts()
    ]
    attributes = [
        Attribute(Entity("doc", t.doc), t.name, value_of(t.value)) for t in world.traits()
    ]
    return tuples, attributes


def value_of(value):
    kind = AttributeType.BOOLEAN if isinstance(value, bool) else AttributeType.INTEGER
    return AttributeValue(kind, value)


@pytest.mark.parametrize("size", [100, 1_000, 10_000])
def test_a_world_has_as_many_different_tuples_as_it_says(size):
    facts = list(World(size).facts())
    assert len(set(facts)) == len(facts) == size


@pytest.mark.parametrize("shape", ["regular", "wide", "huge"])
def test_no_tuple_stands_twice_in_a_world(shape):
    facts = list(world_of(shape, 3_000).all_facts())
    assert len(set(facts)) == len(facts)


@pytest.mark.parametrize(
    ("shape", "size", "kind"),
    [*(("regular", 200, kind) for kind in KINDS), *((s, n, s) for s, n in CORNERS)],
)
def test_the_oracle_gives_the_answers_that_questions_expect(shape, size, kind):
    world = world_of(shape, size)
    language = read_language(SCHEMA)
    tuples, attributes = facts_of(world)
    for asked in islice(questions(world, kind, seed=1), 6):
        question = Question(
            (asked.entity_type, asked.entity_id), asked.permission, Subject("user", asked.user),
            depth=20, tuples=tuples, attributes=attributes,
        )  # fmt: skip
        assert judge(language, question) == ("allowed" if asked.allowed else "denied"), asked


@pytest.mark.parametrize("kind", KINDS)
async def test_the_engine_gives_the_answers_that_questions_expect(kind):
    world = World(4_000)
    facts = FactTable(*facts_of(world))
    plan = build_plan(compile_schema(SCHEMA))
    answers = set()
    for asked in islice(questions(world, kind, seed=1), 100):
        entity, user = Entity(asked.entity_type, asked.entity_id), Subject("user", asked.user)
        result = await check(plan, CheckQuery(entity, asked.permission, user), facts.fetch)
        assert result.allowed is asked.allowed, asked
        answers.add(asked.allowed)
    both = kind in ("rule", "attribute", "direct", "mixed")
    assert answers == ({True, False} if both else {kind != "denied"})


def test_the_two_kinds_of_mixed_questions_take_turns():
    answers = [q.allowed for q in islice(questions(World(10_000), "mixed", 2), 100)]
    assert answers == [True, False] * 50


def test_the_same_seed_asks_the_same_questions():
    world = World(1_000)
    asked = [list(islice(questions(world, "3-level", 7), 50)) for _ in range(2)]
    assert asked[0] == asked[1]


@pytest.mark.parametrize("kind", ["3-level", "direct", "6-level"])
def test_no_question_is_asked_twice_while_there_are_others(kind):
    asked = list(islice(questions(World(10_000), kind, 1, docs=4_000), 20_000))
    assert len(set(asked)) == len(asked)


def test_questions_keep_to_the_documents_that_are_named():
    asked = islice(questions(World(1_000_000), "3-level", 1, docs=30), 200)
    assert {q.entity_id for q in asked} == {f"d{n}" for n in range(30)}


def test_a_question_for_warming_is_about_its_document_and_reads_every_group():
    world = World(1_000)
    question = question_about(world, "3-level", 17, seed=3)
    assert (question.entity_id, question.allowed) == ("d17", False)
    assert question == question_about(world, "3-level", 17, seed=3)


def test_wide_users_are_in_all_groups_and_the_huge_group_has_all_users():
    wide = [f for f in Wide(40).all_facts() if f.relation == "member" and f.subject_id == "u3"]
    huge = [f for f in Huge(500).all_facts() if f.relation == "member"]
    assert (len(wide), len(huge)) == (40, 500)


def test_a_size_that_is_no_multiple_of_100_is_refused():
    with pytest.raises(ValueError, match="multiple of 100"):
        World(150)
