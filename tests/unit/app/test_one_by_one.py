"""One at a time for each key, also for those who come while others wait."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from grantlog.app.one_by_one import OneByOne
from grantlog.app.schema_cache import SchemaCache
from grantlog.errors import UnavailableError
from grantlog.model.ids import Revision, SchemaVersion, TenantId
from grantlog.ports.heads import SchemaRecord
from tests.waiting import until

VERSION = SchemaVersion("0" * 20)
T1 = TenantId("t1")


class Worker:
    """Works on a key until it may go."""

    def __init__(self, lines: OneByOne[str], key: str) -> None:
        self.works = False
        self.may_go = asyncio.Event()
        self._lines, self._key = lines, key

    async def run(self) -> None:
        async with self._lines.turn(self._key):
            self.works = True
            await self.may_go.wait()
            self.works = False


async def test_who_comes_after_the_first_has_left_waits_for_those_who_waited():
    lines = OneByOne[str]()
    first, second, third, other = [Worker(lines, key) for key in ("a", "a", "a", "b")]
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(first.run())
        group.create_task(second.run())
        group.create_task(other.run())
        await until(lambda: first.works and other.works)
        assert not second.works
        first.may_go.set()
        await until(lambda: second.works)
        group.create_task(third.run())
        await asyncio.sleep(0)
        assert not third.works
        second.may_go.set()
        await until(lambda: third.works)
        third.may_go.set()
        other.may_go.set()
    assert not len(lines), "nothing is kept"


class Reader:
    """Schemas of a database that fails the first time; counts who asks at a time."""

    def __init__(self) -> None:
        self.asking = self.most = self.asked = 0
        self.go_on = asyncio.Semaphore(0)

    async def schema(self, tenant: TenantId, version: SchemaVersion) -> SchemaRecord | None:
        self.asked += 1
        self.asking += 1
        self.most = max(self.most, self.asking)
        fails = self.asked == 1
        await self.go_on.acquire()
        self.asking -= 1
        if fails:
            raise UnavailableError("not now")
        return SchemaRecord(
            version, Revision(1), datetime(2026, 1, 1, tzinfo=UTC), "entity user {}"
        )

    async def schemas(
        self, tenant: TenantId, *, limit: int, before: SchemaVersion | None = None
    ) -> list[SchemaRecord]:
        raise NotImplementedError


async def test_a_version_is_read_once_at_a_time_also_where_the_first_read_failed():
    reader = Reader()
    cache = SchemaCache(reader)

    async def refused() -> None:
        with pytest.raises(UnavailableError):
            await cache.load(T1, VERSION)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(refused())
        second = group.create_task(cache.load(T1, VERSION))
        await until(lambda: reader.asking == 1)
        reader.go_on.release()
        await until(lambda: reader.asked == 2)
        third = group.create_task(cache.load(T1, VERSION))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for _ in range(2):
            reader.go_on.release()
    assert second.result() is third.result()
    assert reader.most == 1
