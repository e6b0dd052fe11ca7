"""Work that takes longer than the event loop may stand still goes to a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

FACTS_MAX: Final = 1_000
"""So many facts are planned, chained and encoded within about 5 ms."""


async def off_loop(facts: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns; from `FACTS_MAX` facts on, other tasks go on meanwhile.

    Only for pure functions of values that nobody else changes.
    """
    if facts <= FACTS_MAX:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)
