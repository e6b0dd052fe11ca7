"""Kafka as services use it. Loaded only where it is configured: its client takes time to load."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from grantlog.changelog.counts import TopicCounts
from grantlog.changelog.kafka.client import KafkaOptions
from grantlog.changelog.kafka.feed import GATHER_S
from grantlog.changelog.kafka.log import (
    KafkaChangeLog,
    KafkaTenantLog,
    open_kafka_change_log,
    open_kafka_tenant_log,
)
from grantlog.changelog.kafka.opening import open_agreed_writer, own_source
from grantlog.changelog.kafka.publisher import Publisher
from grantlog.changelog.kafka.sharing import open_share
from grantlog.changelog.kafka.tail import TopicTail
from grantlog.changelog.kafka.topic import TopicSpec
from grantlog.changelog.postgres.log import THROUGH_EVERY_S, PostgresChangeLog, open_change_log
from grantlog.changelog.postgres.outbox import Outbox
from grantlog.model.ids import Epoch, TenantId
from grantlog.ports.log import Position
from grantlog.runtime.kafka_settings import KafkaSettings
from grantlog.store.postgres.connecting import THE_PRIMARY
from grantlog.store.postgres.epoch import Seen, open_if_set_back
from grantlog.store.postgres.pool import INDEX_PLANS, Pool, acquired, open_pool
from grantlog.store.postgres.proof import Proof

REPLICA_GATHER_S: Final = 0.02
"""As of `Feed`, of a replica: a transaction of it takes five statements, whatever it folds."""


def options_of(settings: KafkaSettings) -> KafkaOptions:
    """How Kafka is reached."""
    password = settings.kafka_sasl_password
    return KafkaOptions(
        bootstrap=settings.kafka_bootstrap,
        security_protocol=settings.kafka_security_protocol,
        sasl_mechanism=settings.kafka_sasl_mechanism,
        sasl_username=settings.kafka_sasl_username,
        sasl_password=password.get_secret_value() if password else None,
        tls_ca_file=settings.kafka_tls_ca_file,
        tls_cert_file=settings.kafka_tls_cert_file,
        tls_key_file=settings.kafka_tls_key_file,
    )


def spec_of(settings: KafkaSettings) -> TopicSpec:
    """The topic as it is to be."""
    return TopicSpec(
        name=settings.kafka_topic,
        partitions=settings.kafka_partitions,
        replication=settings.kafka_replication,
        retention=timedelta(hours=settings.kafka_retention_hours),
        form=settings.kafka_format,
    )


async def publish(dsn: str, settings: KafkaSettings, stop: asyncio.Event) -> None:
    """Publish the log whenever nobody else does, until `stop`.

    Args:
        dsn: the primary, reached directly.
        settings: where Kafka is.
        stop: ends it.

    Raises:
        UnavailableError: the primary does not answer at the beginning.
        PreconditionError: at the first attempt, Kafka or the primary refuses to work with us.
    """
    options, spec = options_of(settings), spec_of(settings)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            open_pool(
                dsn,
                size_max=3,  # to read, to mark and to renew at the same time
                application_name="grantlog publisher",
                settings=INDEX_PLANS,
                on_connect=Proof().prove,
                whose=THE_PRIMARY,
            )
        )
        log = await stack.enter_async_context(
            open_change_log(pool, listen_dsn=dsn, through_every_s=THROUGH_EVERY_S)
        )
        outbox = Outbox(pool, owner=f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}")

        async def hold(places: Mapping[TenantId, Position]) -> Epoch | None:
            seen = {tenant: Seen(at.epoch, at.revision, at.digest) for tenant, at in places.items()}
            async with acquired(pool, doing="comparing the log with its topic") as connection:
                return await open_if_set_back(connection, seen, who="the topic")

        publisher = Publisher(
            log,
            outbox,
            lambda: open_agreed_writer(options, spec, outbox),
            spec=spec,
            look_back=TopicTail(options, spec, hold).look_back,
            kafka=options.bootstrap,
        )
        await publisher.run(stop)


@asynccontextmanager
async def open_log(
    settings: KafkaSettings, pool: Pool, primary: PostgresChangeLog
) -> AsyncGenerator[KafkaChangeLog]:
    """The log of all tenants, for one follower of a replica; see `open_kafka_change_log`."""
    options, spec = options_of(settings), spec_of(settings)
    async with open_kafka_change_log(
        options, spec, pool, primary, gather_s=REPLICA_GATHER_S
    ) as log:
        yield log


@asynccontextmanager
async def open_tenant_log(
    settings: KafkaSettings,
    pool: Pool,
    primary: PostgresChangeLog,
    *,
    gather_s: float = GATHER_S,
    counts: TopicCounts | None = None,
) -> AsyncGenerator[KafkaTenantLog]:
    """The log of some tenants, for one follower of them; see `open_kafka_tenant_log`."""
    shared = settings.kafka_reader_socket
    async with open_kafka_tenant_log(
        options_of(settings),
        spec_of(settings),
        pool,
        primary,
        gather_s=gather_s,
        shared=Path(shared) if shared else None,
        counts=counts,
    ) as log:
        yield log


@asynccontextmanager
async def share_topic(dsn: str, settings: KafkaSettings) -> AsyncGenerator[Path]:
    """Read the topic for other processes of this node, for the block; the socket they follow at.

    Args:
        dsn: the primary. It is asked which topic is the log's, whenever reading begins.
        settings: where Kafka is.

    Raises:
        PreconditionError: the primary records another topic, this one is not safe, or no socket
            can be made.
    """
    async with open_pool(
        dsn,
        size_max=1,
        application_name="grantlog topic reader",
        on_connect=Proof().prove,
        lazy=True,
        whose=THE_PRIMARY,
    ) as pool:
        source = await own_source(options_of(settings), spec_of(settings), Outbox(pool, owner=""))
        async with open_share(source, clock=time.monotonic) as path:
            yield path
