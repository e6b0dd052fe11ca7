"""As of any revision or time, every reading call answers as it would have then."""

from __future__ import annotations

from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from grantlog.model.ids import TenantId
from tests.contract.memory import memory_primary
from tests.property.pasts import SOME, Act, Calls, agree, lived, moments, pasts

_tenants = count(1)


@settings(max_examples=60, deadline=None)
@given(pasts(), SOME, st.data())
async def test_every_reading_call_answers_as_the_oracle_on_what_held_then(
    acts: list[Act], some, data
):
    tenant = TenantId(f"tenant-{next(_tenants)}")
    primary = memory_primary()
    history = await lived(primary, tenant, acts)
    calls = Calls(primary, primary.facts, primary.lister, primary.reverse)
    for terms, stood in moments(data, history):
        await agree(calls, tenant, terms, stood, some)
