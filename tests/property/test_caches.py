"""Caches never change an answer, whoever goes on at which await; each planted mistake is found."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.cache_mistakes import MISTAKES, Patch
from tests.property.cached_node import Node, Setting, lived, settings_of, small_bounds

STEPS = 300
LIVES_MAX = 3_000
"""A mistake that shows in none of so many is not found; most show in the first ten."""


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32))
def test_a_node_with_caches_answers_as_the_oracle_at_the_revision_it_says(seed: int):
    chance = Random(seed)
    with small_bounds():
        node = lived(chance, settings_of(chance), STEPS)
    assert not node.wrong


def test_lives_are_such_that_caches_have_something_to_answer():
    answered = hits = 0
    with small_bounds():
        for seed in range(10):
            node = lived(Random(seed), Setting(), STEPS)
            answered += node.answered
            hits += node.hits
    assert answered > 200
    assert hits > 100


def lives(mistake: Patch) -> Iterator[Node]:
    """Lives of nodes with a mistake."""
    with small_bounds() as patch:
        mistake(patch)
        for seed in count():
            chance = Random(seed)
            yield lived(chance, settings_of(chance), STEPS)


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_the_rule_is_found(mistake: Patch):
    found = (node.wrong for _, node in zip(range(LIVES_MAX), lives(mistake), strict=False))
    assert any(found), "no life shows it"
