"""Answers of other nodes never change an answer, whoever goes on at which await."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grantlog.app.answering import AnswerFacts
from grantlog.app.cached import CachedFacts
from grantlog.model.ids import ANY_EPOCH
from grantlog.ports.facts import FactAnswer, FactKey
from grantlog.ports.ring import FactQuestion, FactReply
from tests.property.cached_node import small_bounds
from tests.property.ring_node import ring_lived

STEPS = 300
LIVES_MAX = 1_000

Patch = Callable[[pytest.MonkeyPatch], None]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 32))
def test_a_node_that_asks_another_answers_as_the_oracle_at_the_revision_it_says(seed: int):
    with small_bounds():
        node = ring_lived(Random(seed), STEPS)
    assert not node.wrong
    assert node.back.keys_asked == 0, "what was forwarded is never forwarded again"


def test_lives_are_such_that_much_is_asked_answered_and_refused():
    told = fallbacks = 0
    with small_bounds():
        for seed in range(10):
            node = ring_lived(Random(seed), STEPS)
            told += node.counts.keys_told
            fallbacks += sum(node.counts.fallbacks.values())
    assert told > 100
    assert fallbacks > 10


def _answers_where_it_stands(patch: pytest.MonkeyPatch) -> None:
    """The other node answers at what its clock has seen, not at the revision asked."""
    call = AnswerFacts.__call__

    async def behind(self: AnswerFacts, question: FactQuestion) -> FactReply:
        clock = self._caches.clocks.find(question.tenant)
        if clock is None or clock.seen >= question.head.revision or clock.seen <= clock.begins:
            return await call(self, question)
        head = replace(question.head, revision=clock.seen)
        return await call(self, replace(question, head=head))

    patch.setattr(AnswerFacts, "__call__", behind)


def _answers_from_its_own_life(patch: pytest.MonkeyPatch) -> None:
    """The other node takes the life that it knows, whatever the asker's is."""
    call, read = AnswerFacts.__call__, CachedFacts._read

    async def own(self: AnswerFacts, question: FactQuestion) -> FactReply:
        clock = self._caches.clocks.find(question.tenant)
        if clock is None:
            return await call(self, question)
        head = replace(question.head, epoch=clock.epoch, begins=clock.begins)
        return await call(self, replace(question, head=head))

    async def read_any(self: CachedFacts, keys: Sequence[FactKey]) -> Sequence[FactAnswer]:
        if self._shared is None:
            self._epoch = ANY_EPOCH
        return await read(self, keys)

    patch.setattr(AnswerFacts, "__call__", own)
    patch.setattr(CachedFacts, "_read", read_any)


def _forwards_what_was_forwarded(patch: pytest.MonkeyPatch) -> None:
    def init(self: AnswerFacts, facts: object, caches: object) -> None:
        self._facts, self._caches = facts, caches  # type: ignore[assignment]

    patch.setattr(AnswerFacts, "__init__", init)


MISTAKES: dict[str, Patch] = {
    "the owner answers below the asker's revision": _answers_where_it_stands,
    "the owner answers from its own life": _answers_from_its_own_life,
    "the owner asks the next one": _forwards_what_was_forwarded,
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_of_the_owner_is_found(mistake: Patch):
    with small_bounds() as patch:
        mistake(patch)
        for seed in range(LIVES_MAX):
            node = ring_lived(Random(seed), STEPS)
            if node.wrong or node.back.keys_asked:
                return
    pytest.fail("no life shows it")
