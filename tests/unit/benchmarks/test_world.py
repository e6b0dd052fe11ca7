"""Generated worlds: what the questions claim follows from the facts."""

from itertools import islice

import pytest
from world import World


@pytest.mark.parametrize("size", [100, 1_000, 10_000])
def test_a_world_has_as_many_different_tuples_as_it_says(size):
    facts = list(World(size).facts())
    assert len(set(facts)) == len(facts) == size


def test_the_right_answers_follow_from_the_facts():
    world = World(1_000)
    facts = set(world.facts())
    folder_of = {f.entity_id: f.subject_id for f in facts if f.entity_type == "doc"}
    viewers = {(f.entity_id, f.subject_id) for f in facts if f.entity_type == "folder"}
    members = {(f.entity_id, f.subject_id) for f in facts if f.entity_type == "group"}
    for question in islice(world.questions(seed=1), 200):
        folder = folder_of[question.doc]
        groups = {group for f, group in viewers if f == folder}
        assert any((group, question.user) in members for group in groups) is question.allowed


def test_every_second_question_is_denied():
    answers = [q.allowed for q in islice(World(10_000).questions(seed=2), 100)]
    assert answers == [True, False] * 50


def test_the_same_seed_asks_the_same_questions():
    world = World(1_000)
    assert list(islice(world.questions(7), 50)) == list(islice(world.questions(7), 50))


def test_a_size_that_is_no_multiple_of_100_is_refused():
    with pytest.raises(ValueError, match="multiple of 100"):
        World(150)
