"""A copy is what the fold gives, whatever happens while it is made."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from grantlog.model.ids import TenantId
from tests.contract.memory import memory_primary, memory_replica
from tests.property.copy_play import STEPS, play


@settings(max_examples=150)
@given(STEPS, st.sampled_from([1, 2, 4]))
def test_whatever_happens_a_copied_replica_ends_as_a_folded_one(steps, rows_max) -> None:
    asyncio.run(play(memory_primary(), memory_replica(), TenantId("acme"), rows_max, steps))
