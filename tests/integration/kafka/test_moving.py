"""`grantlog topic move` while all goes on: who follows is started anew, and nothing is lost or
doubled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from itertools import count

from grantlog.app.watch_hub import WatchLimits
from grantlog.changelog.kafka.log import open_kafka_tenant_log
from grantlog.changelog.kafka.topic import TopicSpec
from grantlog.changelog.postgres.log import open_change_log
from grantlog.cli.topic import move
from grantlog.consumer import follow
from grantlog.model.ids import TenantId
from grantlog.runtime.kafka_settings import KafkaSettings
from grantlog.store.postgres.pool import INDEX_PLANS, open_pool
from grantlog.testing.contracts.places import ACME, OTHER
from tests.contract.watching import Told, place, station
from tests.integration.kafka.conftest import Stage
from tests.integration.kafka.followers import following
from tests.property.consumer_topic import Kept
from tests.waiting import until

BEFORE, AFTER = 30, 60
"""Writes of each tenant that are made before the log is moved, and at least behind that."""

PAUSE_S = 0.01
"""Between two writes of a tenant, so that who follows has a turn in this one process."""


class Load:
    """Writes of two tenants, one behind the other each, until it is told to stop."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.written = {ACME: 0, OTHER: 0}
        self.enough = asyncio.Event()

    async def run(self, tenant: TenantId) -> None:
        for number in count(1):
            if self.enough.is_set():
                return
            done = await self._stage.primary.put(f"doc:{number}#viewer@user:1", tenant=tenant)
            self.written[tenant] = done.revision
            await asyncio.sleep(PAUSE_S)

    async def reaches(self, revision: int) -> None:
        await until(lambda: min(self.written.values()) >= revision, within_s=60)


class Followers:
    """A consumer and a watcher of one topic after the other, and what both met."""

    def __init__(self) -> None:
        self.store = Kept()
        self.told: list[Told] = []

    @asynccontextmanager
    async def on(self, stage: Stage) -> AsyncIterator[None]:
        """Both follow this stage's topic for the block, from where they stand."""
        stop = asyncio.Event()
        async with AsyncExitStack() as stack:
            pool = await stack.enter_async_context(
                open_pool(stage.dsn, size_max=3, application_name="test", settings=INDEX_PLANS)
            )
            archive = await stack.enter_async_context(open_change_log(pool, listen_dsn=stage.dsn))
            log = await stack.enter_async_context(
                open_kafka_tenant_log(stage.options, stage.spec, pool, archive)
            )
            opened = await stack.enter_async_context(station(stage.primary, WatchLimits(), log))
            group = await stack.enter_async_context(asyncio.TaskGroup())
            group.create_task(follow(stage.options, stage.spec.name, self.store, stop=stop))
            watching = group.create_task(self._watch(opened))
            try:
                yield
            finally:
                stop.set()
                watching.cancel()

    async def _watch(self, opened) -> None:
        start = self.told[-1].snap_token if self.told else ""
        async with opened.watcher(start) as watcher:
            async for told in watcher.messages:
                self.told.append(told)

    def revisions_told(self) -> list[int]:
        return [place(told).revision for told in self.told if told.changes]

    def have(self, heads: dict[TenantId, int]) -> bool:
        consumed = all(self.store.of(tenant)[-1:] == [head] for tenant, head in heads.items())
        return consumed and self.revisions_told()[-1:] == [heads[ACME]]


async def test_a_log_that_moves_under_load_loses_and_doubles_nothing(
    stage: Stage, replica_dsn: str, new_topic: Callable[[], str]
) -> None:
    later = replace(stage, spec=TopicSpec(new_topic(), partitions=3))
    settings = KafkaSettings(
        kafka_bootstrap=stage.options.bootstrap,
        kafka_topic=later.spec.name,
        kafka_partitions=later.spec.partitions,
    )
    load, followers, said = Load(stage), Followers(), list[str]()
    async with asyncio.TaskGroup() as group:
        async with (
            stage.publishing("old") as old,
            following(stage, replica_dsn) as replica,
            followers.on(stage),
        ):
            await replica.warm()
            await until(lambda: followers.told)
            writing = [group.create_task(load.run(tenant)) for tenant in load.written]
            await load.reaches(BEFORE)
            await until(lambda: min(len(followers.store.of(t)) for t in load.written) >= BEFORE)
            await move(stage.dsn, settings, said.append)
            moved_at = max(load.written.values())
            await until(lambda: not old.held, within_s=60)  # it was told, and sends nothing more
            await load.reaches(moved_at + AFTER // 2)
        async with (
            later.publishing("new"),
            following(later, replica_dsn) as replica,
            followers.on(later),
        ):
            await load.reaches(moved_at + AFTER)
            await replica.warm()
            load.enough.set()
            await asyncio.wait(writing)  # the last writes are under way
            await until(lambda: followers.have(load.written), within_s=60)
            await replica.reach(*load.written)
            assert replica.projector.status.stopped == {}
            await later.reach({(t, n, 0) for t, head in load.written.items()
                               for n in range(1, head + 1)})  # fmt: skip
    assert "moved to the topic" in said[0]
    for tenant, head in load.written.items():
        assert followers.store.of(tenant) == list(range(1, head + 1)), "each revision once"
    told = followers.revisions_told()
    assert told == list(range(told[0], load.written[ACME] + 1)), "each revision once"
