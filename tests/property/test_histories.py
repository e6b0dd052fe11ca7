"""Histories of right nodes are accepted; each planted fault is caught, by its name."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.ports.facts import AttributeKey, FactAnswer, FactKey, FactReader, SubjectPage
from grantlog.testing.histories import Promise, Violation
from tests.history_world import Plant, World

SEEDS = 50
FIRST = Revision(1)
"""The schema's revision: no facts yet."""


def run(seed: int, plant: Plant | None = None) -> list[Violation]:
    return asyncio.run(World(seed, plant).run())


@settings(max_examples=8)
@given(st.integers(0, 2**32))
def test_right_nodes_keep_every_promise(seed: int):
    assert run(seed) == []


@dataclass
class TwoStates:
    """A node that has some of its facts from a while ago."""

    reader: FactReader
    rng: Random

    async def read(
        self, tenant: TenantId, revision: Revision, keys: Sequence[FactKey], *, epoch: Epoch
    ) -> Sequence[FactAnswer]:
        before = Revision(max(FIRST, revision - self.rng.randrange(12)))
        now = await self.reader.read(tenant, revision, keys, epoch=epoch)
        then = await self.reader.read(tenant, before, keys, epoch=epoch)
        return [self.rng.choice(pair) for pair in zip(now, then, strict=True)]


@dataclass
class Behind:
    """An owner that answers a forwarded question where it stands itself, below the sender."""

    reader: FactReader
    rng: Random

    async def read(
        self, tenant: TenantId, revision: Revision, keys: Sequence[FactKey], *, epoch: Epoch
    ) -> Sequence[FactAnswer]:
        return await self.reader.read(tenant, Revision(max(FIRST, revision - 8)), keys, epoch=epoch)


@dataclass
class Outliving:
    """A cache that no event ever makes forget."""

    reader: FactReader
    rng: Random
    kept: dict[object, FactAnswer] = field(default_factory=dict)

    async def read(
        self, tenant: TenantId, revision: Revision, keys: Sequence[FactKey], *, epoch: Epoch
    ) -> Sequence[FactAnswer]:
        read = await self.reader.read(tenant, revision, keys, epoch=epoch)
        return [
            self.kept.setdefault((tenant, type(key), key), answer)
            for key, answer in zip(keys, read, strict=True)
        ]


@dataclass
class OldAttributes(Outliving):
    """A cache that hears of tuples, and not of attributes."""

    async def read(
        self, tenant: TenantId, revision: Revision, keys: Sequence[FactKey], *, epoch: Epoch
    ) -> Sequence[FactAnswer]:
        old = await super().read(tenant, revision, keys, epoch=epoch)
        read = await self.reader.read(tenant, revision, keys, epoch=epoch)
        return [
            kept if isinstance(key, AttributeKey) else answer
            for key, kept, answer in zip(keys, old, read, strict=True)
        ]


@dataclass
class Undead:
    """A cache that never hears of an end: neither of a fact's, nor of a whole life's."""

    reader: FactReader
    rng: Random
    kept: dict[object, FactAnswer] = field(default_factory=dict)

    async def read(
        self, tenant: TenantId, revision: Revision, keys: Sequence[FactKey], *, epoch: Epoch
    ) -> Sequence[FactAnswer]:
        answers: list[FactAnswer] = []
        for key, answer in zip(
            keys, await self.reader.read(tenant, revision, keys, epoch=epoch), strict=True
        ):
            place = (tenant, type(key), key)
            if answer not in (False, None, SubjectPage((), more=False)):
                self.kept[place] = answer
            answers.append(self.kept.get(place, answer))
        return answers


@pytest.mark.parametrize("plant", [TwoStates, Behind, Outliving, OldAttributes, Undead])
def test_a_planted_fault_is_caught(plant: Plant):
    found = Counter(violation.promise for seed in range(4) for violation in run(seed, plant))
    assert any(each.promise is Promise.ONE_REVISION for each in violations_of(plant)), found
    told_as = {Promise.ONE_REVISION, Promise.NEW_ENEMY, Promise.READ_YOUR_TOKEN, Promise.ALIVE}
    assert set(found) <= told_as


def violations_of(plant: Plant) -> Iterator[Violation]:
    """What the worlds of many seeds break, one world after the other.

    Schemas are compiled beside the loop, so that a seed does not name one history: a fault that
    most worlds show may be missing in some.
    """
    return (violation for seed in range(SEEDS) for violation in run(seed, plant))


def test_two_states_in_one_answer_are_told_as_such():
    told = map(str, violations_of(TwoStates))
    assert any("two states in one answer: no revision ever said so" in text for text in told)


def test_an_owner_below_its_sender_is_told_as_an_answer_from_before_the_token():
    told = violations_of(Behind)
    assert any(violation.promise is Promise.READ_YOUR_TOKEN for violation in told)


def test_an_entry_that_outlives_its_event_lets_the_new_enemy_in():
    told = violations_of(Outliving)
    assert any(violation.promise is Promise.NEW_ENEMY for violation in told)


@pytest.mark.parametrize("plant", [OldAttributes, Undead])
def test_an_attribute_or_a_life_that_is_outlived_lets_the_new_enemy_in(plant: Plant):
    told = violations_of(plant)
    assert any(violation.promise is Promise.NEW_ENEMY for violation in told)
