"""Equal questions under way are decided once; whoever fails or leaves takes nothing from others."""

from __future__ import annotations

import asyncio

import pytest

from grantlog.app.under_way import Flight, UnderWay
from grantlog.engine.question import CheckResult
from grantlog.errors import GrantlogError, UnavailableError
from grantlog.model.ids import Revision, SchemaVersion
from grantlog.ports.standing import Source, follow_standing, note_source

KEY = (1, SchemaVersion("v"), "doc", "1", "view", "user", "1", "", (), b"")
FLIGHT: Flight = (KEY, Revision(7), 20)
YES = CheckResult(allowed=True, check_count=1)


class Engine:
    """Decides when it is told to; counts how often it was asked."""

    def __init__(self, failure: GrantlogError | None = None) -> None:
        self.asked = 0
        self.may_answer = asyncio.Event()
        self._failure = failure

    async def decide(self) -> CheckResult:
        self.asked += 1
        first = self.asked == 1
        await self.may_answer.wait()
        if first and self._failure is not None:
            raise self._failure
        note_source(Source.REPLICA)
        return YES


async def test_equal_questions_are_decided_once_and_tell_the_same_source():
    under_way, engine = UnderWay(), Engine()

    async def ask() -> tuple[CheckResult, Source]:
        standing = follow_standing()
        return await under_way.once(FLIGHT, engine.decide), standing.source

    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(ask()) for _ in range(5)]
        await asyncio.sleep(0)
        engine.may_answer.set()
    assert {task.result() for task in asked} == {(YES, Source.REPLICA)}
    assert (engine.asked, under_way.joined) == (1, 4)
    await under_way.once(FLIGHT, engine.decide)
    assert engine.asked == 2, "nothing is kept"


@pytest.mark.parametrize(
    "other", [(KEY, Revision(8), 20), (KEY, Revision(7), 19), ((2, *KEY[1:]), Revision(7), 20)]
)
async def test_another_revision_depth_or_life_is_another_question(other: Flight):
    under_way, engine = UnderWay(), Engine()
    async with asyncio.TaskGroup() as group:
        group.create_task(under_way.once(FLIGHT, engine.decide))
        group.create_task(under_way.once(other, engine.decide))
        await asyncio.sleep(0)
        engine.may_answer.set()
    assert (engine.asked, under_way.joined) == (2, 0)


async def test_who_waited_for_one_that_fails_decides_for_itself():
    under_way, engine = UnderWay(), Engine(UnavailableError("gone"))

    async def told() -> CheckResult | str:
        try:
            return await under_way.once(FLIGHT, engine.decide)
        except UnavailableError as error:
            return error.explanation

    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(told()) for _ in range(2)]
        await asyncio.sleep(0)
        engine.may_answer.set()
    assert [task.result() for task in asked] == ["gone", YES]
    assert (engine.asked, under_way.joined) == (2, 0)


@pytest.mark.parametrize("leaves", [0, 1])
async def test_who_leaves_takes_the_answer_from_nobody(leaves: int):
    under_way, engine = UnderWay(), Engine()
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(under_way.once(FLIGHT, engine.decide)) for _ in range(3)]
        await asyncio.sleep(0)
        asked[leaves].cancel()
        await asyncio.sleep(0)
        engine.may_answer.set()
    assert asked.pop(leaves).cancelled()
    assert [task.result() for task in asked] == [YES, YES]
