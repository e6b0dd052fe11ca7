"""Checks that are being decided: who asks the same meanwhile waits for the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from grantlog.cache.results import ResultKey
from grantlog.engine.question import CheckResult
from grantlog.model.ids import Revision
from grantlog.ports.standing import Source, note_source, source_noted

Flight: TypeAlias = tuple[ResultKey, Revision, int]
"""A question, the exact revision that it is asked at, and its depth: equal ones have one answer."""

_Landing: TypeAlias = "tuple[CheckResult, Source] | None"
"""What came of it, None if nothing that others could use."""


class UnderWay:
    """The checks of this node that are being decided; for the event loop's thread alone.

    Attributes:
        joined: how many questions were answered by waiting for an equal one.
    """

    def __init__(self) -> None:
        self._flights: dict[Flight, asyncio.Future[_Landing]] = {}
        self.joined = 0

    async def once(
        self, flight: Flight, decide: Callable[[], Awaitable[CheckResult]]
    ) -> CheckResult:
        """The answer, from `decide` unless an equal question is under way.

        A failure is told to nobody else, and whoever gives up takes the answer from nobody else:
        those who waited decide for themselves then. Errors as `decide`.
        """
        running = self._flights.get(flight)
        if running is None:
            return await self._lead(flight, decide)
        landed = await asyncio.shield(running)
        if landed is None:
            return await decide()
        self.joined += 1
        result, source = landed
        note_source(source)
        return result

    async def _lead(
        self, flight: Flight, decide: Callable[[], Awaitable[CheckResult]]
    ) -> CheckResult:
        running = self._flights[flight] = asyncio.get_running_loop().create_future()
        landed: _Landing = None
        try:
            result = await decide()
            landed = (result, source_noted())
        finally:
            del self._flights[flight]
            running.set_result(landed)
        return result
