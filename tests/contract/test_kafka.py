"""The log on Kafka keeps the promises of the port: the suites, the follower, and watching."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from grantlog.changelog.kafka.client import KafkaOptions
from grantlog.changelog.kafka.log import open_kafka_change_log, open_kafka_tenant_log
from grantlog.changelog.kafka.opening import open_agreed_writer
from grantlog.changelog.kafka.publisher import Publisher
from grantlog.changelog.kafka.publishing import PublishLimits
from grantlog.changelog.kafka.topic import TopicSpec
from grantlog.changelog.postgres.log import open_change_log
from grantlog.changelog.postgres.outbox import Outbox
from grantlog.ports.log import ChangeLog, TenantLog
from grantlog.store.postgres.pool import INDEX_PLANS, open_pool
from grantlog.testing.contracts.change_log import ChangeLogContract, TenantLogContract
from grantlog.testing.contracts.places import Copy, Primary
from tests.contract import test_clocks, test_follow, test_watch, test_watch_lost
from tests.contract.postgres import postgres_primary, postgres_replica

NewDatabase = Callable[..., Awaitable[str]]


@pytest.fixture
async def primary(
    kafka: str, new_topic: Callable[[], str], migrated_database: NewDatabase
) -> AsyncIterator[Primary]:
    """A primary whose log goes over a topic; its publisher runs."""
    dsn = await migrated_database()
    options = KafkaOptions(kafka)
    spec = TopicSpec(new_topic(), partitions=2)
    limits = PublishLimits(hold_s=0.2, poll_s=0.05)
    stop = asyncio.Event()
    async with (
        postgres_primary(dsn) as ports,
        open_pool(dsn, size_max=6, application_name="test", settings=INDEX_PLANS) as pool,
        open_change_log(pool, listen_dsn=dsn) as to_publish,
        open_kafka_change_log(options, spec, pool, ports.log) as log,
        open_change_log(pool, listen_dsn=dsn) as behind_hub,
        open_kafka_tenant_log(options, spec, pool, behind_hub) as hub_log,
        open_change_log(pool, listen_dsn=dsn) as archive,
        asyncio.TaskGroup() as group,
    ):
        outbox = Outbox(pool, owner="test")
        publisher = Publisher(
            to_publish,
            outbox,
            lambda: open_agreed_writer(options, spec, outbox),
            spec=spec,
            limits=limits,
        )
        group.create_task(publisher.run(stop))
        yield replace(ports, log=log, hub_log=hub_log, archive=archive)
        stop.set()


@pytest.fixture
async def replica(migrated_database: NewDatabase) -> AsyncIterator[Copy]:
    async with postgres_replica(await migrated_database(seed=False)) as ports:
        yield ports


class TestChangeLog(ChangeLogContract):
    pass


class TestTenantLog(TenantLogContract):
    pass


class TestHubLog(TenantLogContract):
    @pytest.fixture
    async def primary(self, primary: Primary) -> Primary:
        assert primary.hub_log is not None
        assert primary.archive is not None
        return replace(primary, log=HubLog(primary.hub_log, primary.archive))


class HubLog:
    """The hub's log with what the suite also asks of a log."""

    def __init__(self, hub_log: TenantLog, archive: ChangeLog) -> None:
        self.heads_of = hub_log.heads_of
        self.read = hub_log.read
        self.wait = hub_log.wait
        self.heads_moved = archive.heads_moved


test_following = test_follow.test_a_follower_catches_up_and_goes_on
test_fairness = test_follow.test_a_busy_tenant_does_not_starve_the_others
test_retries = test_follow.test_a_lost_connection_is_retried_and_nothing_is_folded_twice
test_a_stop = test_follow.test_a_tenant_whose_log_does_not_fit_stops_alone_and_goes_on_when_rebuilt
test_ahead = test_follow.test_a_replica_that_is_ahead_of_its_log_is_stopped
test_epochs = test_follow.test_a_new_epoch_without_writes_is_adopted
test_watching = test_watch.test_the_first_message_is_the_place_and_then_comes_what_happens
test_unwritten = test_watch.test_a_tenant_that_was_never_written_can_be_watched
test_tokens = test_watch.test_from_every_token_exactly_the_rest_is_told
test_meeting = test_watch.test_history_meets_what_happens_without_a_gap_or_a_duplicate
test_watched_epochs = test_watch_lost.test_a_new_epoch_that_lost_nothing_is_not_noticed
test_clocks_of_caches = test_clocks.test_clocks_hear_of_what_others_write
test_told_clocks = test_clocks.test_clocks_that_were_told_already_go_on_with_what_comes_then
test_ended_clocks = test_clocks.test_a_deletion_ends_the_clock
test_clocks_of_epochs = test_clocks.test_an_epoch_ends_the_clock
