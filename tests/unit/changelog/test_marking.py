"""Marks are gathered, so that one commit does for many batches."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import cast

from grantlog.changelog.kafka.marking import Marker
from grantlog.changelog.postgres.outbox import Acknowledged, Lease, Outbox
from tests.waiting import until

LEASES = {0: Lease(0, 1, -1)}


class Marks:
    """An outbox that notes what is marked."""

    def __init__(self) -> None:
        self.made: list[dict[int, int]] = []

    async def acknowledge(self, leases: Mapping[int, Lease], done: Acknowledged) -> set[int]:
        assert leases == LEASES
        self.made.append(done.offsets)
        return set(done.offsets)


async def test_what_is_sent_behind_a_mark_is_gathered_for_the_next_one() -> None:
    marks = Marks()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        marker = Marker(cast("Outbox", marks), group, pause_s=3600)
        marker.note(LEASES, Acknowledged({0: 1}))
        await until(lambda: marks.made == [{0: 1}])
        for offset in (2, 3, 4):
            marker.note(LEASES, Acknowledged({0: offset}))
            await asyncio.sleep(0)
        assert marks.made == [{0: 1}]
        await marker.flush()
        assert marks.made == [{0: 1}, {0: 4}]
        marker.note(LEASES, Acknowledged({0: 5}))
        await until(lambda: len(marks.made) == 3)
        marker.drop()
    assert marker.lost() == set()


async def test_marks_go_on_by_themselves() -> None:
    marks = Marks()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        marker = Marker(cast("Outbox", marks), group, pause_s=0.01)
        marker.note(LEASES, Acknowledged({0: 1}))
        await until(lambda: marks.made == [{0: 1}])
        marker.note(LEASES, Acknowledged({0: 2}))
        await until(lambda: marks.made == [{0: 1}, {0: 2}])
