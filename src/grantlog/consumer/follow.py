"""The loop of a consumer: read, put in order, refill, hand over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import structlog
from aiokafka import ConsumerRecord

from grantlog.changelog.kafka.client import KafkaOptions
from grantlog.changelog.kafka.message import EventMessage, read_message
from grantlog.changelog.parts import assembled
from grantlog.consumer.reader import Reader, open_reader
from grantlog.consumer.refill import Api, refill
from grantlog.consumer.sequence import Sequencer
from grantlog.consumer.silence import Silence
from grantlog.consumer.values import Entry, RebuildNeededError, Store, TenantPosition
from grantlog.errors import CorruptionError, UnavailableError
from grantlog.model.change import DataWritten, Transaction
from grantlog.model.ids import NOTHING, Revision, TenantId
from grantlog.waiting import Reminders, set_within

_LOG: Final = structlog.get_logger("grantlog.consumer")

OnRebuild = Callable[[RebuildNeededError], Awaitable[TenantPosition | None]]
"""Reads a tenant anew, keeps that and where it stands in one transaction, and returns the position;
or returns None, and the tenant is stopped."""


@dataclass(frozen=True, slots=True)
class ConsumerLimits:
    """The bounds of a consumer."""

    batch_changes_max: int = 10_000
    """Handed over at once; a single revision may have more."""
    place_s: float = 5.0
    """Without entries, how far the topic was read is kept so often."""
    silence_s: float = 60.0
    """A topic that says nothing for so long, no heartbeat either, is told in the log."""
    backoff_s_min: float = 0.1
    backoff_s_max: float = 5.0


async def follow(
    options: KafkaOptions,
    topic: str,
    store: Store,
    *,
    stop: asyncio.Event,
    api: Api | None = None,
    on_rebuild: OnRebuild | None = None,
    limits: ConsumerLimits | None = None,
) -> None:
    """Follow the topic until `stop` is set, through losses of Kafka and of the API node.

    Args:
        options: how Kafka is reached.
        topic: its name.
        store: where entries and positions go; one consumer at a time may use it.
        stop: ends it behind the present batch.
        api: who is asked for what the topic lacks; without one a gap needs a rebuild.
        on_rebuild: told of a tenant that cannot be continued, and of those that are stopped, at
            the start; the others go on. Without it the first such tenant ends the consumer.
        limits: its bounds.

    Raises:
        RebuildNeededError: of a tenant, where there is no `on_rebuild`; all before it is applied.
        CorruptionError: a message of a kind that this version does not know, of no tenant.
        PreconditionError: Kafka or the API node refuses us, or there is no such topic.
        Exception: what the store raised.
    """
    limits = limits or ConsumerLimits()
    backoff_s = limits.backoff_s_min
    is_first = True
    told = Reminders()
    while not stop.is_set():
        sequence = Sequencer(topic, await store.positions())
        following = _Following(sequence, store, api, on_rebuild, limits)
        if is_first:
            await following.tell_stopped()
            is_first = False
        try:
            async with open_reader(options, topic, sequence) as reader:
                backoff_s = limits.backoff_s_min
                told.end()
                await following.run(reader, stop)
        except UnavailableError as error:
            if told.due(error.reason, asyncio.get_running_loop().time()):
                _LOG.warning(
                    "following interrupted", kafka=options.bootstrap, because=error.explanation
                )
            await set_within(stop, backoff_s)
            backoff_s = min(2 * backoff_s, limits.backoff_s_max)


class _Following:
    """One connection to the topic, from where the store stands."""

    def __init__(
        self,
        sequence: Sequencer,
        store: Store,
        api: Api | None,
        on_rebuild: OnRebuild | None,
        limits: ConsumerLimits,
    ) -> None:
        self._sequence = sequence
        self._store = store
        self._api = api
        self._on_rebuild = on_rebuild
        self._limits = limits
        self._batch: list[Entry] = []
        self._changes = 0
        self._kept_at = self._now()
        self._silence = Silence(sequence.topic, limits.silence_s, self._now())

    async def tell_stopped(self) -> None:
        """Tell of the tenants that were stopped before."""
        for tenant, why in self._sequence.stopped().items():
            await self._stop_tenant(RebuildNeededError(tenant, why))

    async def run(self, reader: Reader, stop: asyncio.Event) -> None:
        while not stop.is_set():
            records = await reader.read()
            self._silence.note(len(records), self._now())
            for record in records:
                try:
                    await self._take(record)
                except RebuildNeededError:
                    await self._keep()
                    raise
                if self._changes >= self._limits.batch_changes_max:
                    await self._keep()
            if self._batch or self._now() - self._kept_at >= self._limits.place_s:
                await self._keep()
        await self._keep()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _take(self, record: ConsumerRecord) -> None:
        """Deal with one message; only then the place moves behind it."""
        partition, closes, revision = record.partition, None, NOTHING
        try:
            message = read_message(record.key, record.value, record.headers)
            if self._sequence.admits(partition, message.fence) and isinstance(
                message, EventMessage
            ):
                parts = self._sequence.collect(partition, message)
                if parts is not None:
                    closes, revision = message.tenant, message.revision
                    await self._deliver(message.tenant, message.revision, parts)
        except CorruptionError as error:
            closes = _tenant_of(record)
            where = f"the message at offset {record.offset} of partition {partition}"
            if closes is None:
                raise CorruptionError(f"{where}: {error.explanation}") from error
            why = f"{where} cannot be applied: {error.explanation}"
            if not self._sequence.tenant(closes).stopped:
                await self._stop_tenant(RebuildNeededError(closes, why), revision)
        except RebuildNeededError as error:
            closes = error.tenant
            await self._stop_tenant(error, revision)
        self._sequence.advance(
            partition, offset=record.offset, time_ms=record.timestamp, closes=closes
        )

    async def _stop_tenant(self, error: RebuildNeededError, revision: Revision = NOTHING) -> None:
        """Have a tenant rebuilt, at `revision` or behind it, or stop it."""
        if self._on_rebuild is None:
            raise error
        await self._keep()  # nothing older may be applied behind a rebuild
        _LOG.error("tenant cannot be continued", tenant=error.tenant, because=error.why)
        position = await self._on_rebuild(error)
        if position is None:
            self._sequence.stop(error.tenant, error.why)
        elif position.revision < revision:
            why = f"the rebuild stands at revision {position.revision}, {revision} was on the topic"
            self._sequence.rebuilt(error.tenant, position)
            self._sequence.stop(error.tenant, why)
        else:
            self._sequence.rebuilt(error.tenant, position)

    async def _deliver(
        self, tenant: TenantId, revision: Revision, parts: tuple[bytes, ...]
    ) -> None:
        if self._sequence.tenant(tenant).stopped:
            return
        transaction = await assembled(tenant, revision, parts)
        verdict = self._sequence.judge(transaction)
        if verdict == "gap":
            await self._refill(transaction)
            verdict = self._sequence.judge(transaction, was_refilled=True)
        if verdict == "next":
            self._add(
                Entry(
                    transaction.tenant, transaction.epoch, transaction.revision, transaction.body,
                    transaction.commit_time, transaction.actor, transaction.metadata,
                ),
                transaction.digest,
            )  # fmt: skip

    async def _refill(self, behind: Transaction) -> None:
        """Read what lies before a transaction from the API node."""
        tenant, through = behind.tenant, Revision(behind.revision - 1)
        at = self._sequence.tenant(tenant)
        if self._api is None:
            raise RebuildNeededError(
                tenant,
                f"the topic has revision {behind.revision} behind {at.revision} and no API node "
                "was named to read what lies between",
            )
        _LOG.info("gap", tenant=tenant, after=at.revision, through=through)
        told = refill(self._api, tenant, at, epoch=behind.epoch, through=through)
        async with aclosing(told) as entries:
            async for entry in entries:
                self._add(entry, b"")
                if self._changes >= self._limits.batch_changes_max:
                    await self._keep()
        at = self._sequence.tenant(tenant)
        if at.revision < through:  # the last ones changed no facts
            self._sequence.applied(
                tenant, epoch=at.epoch or behind.epoch, revision=through, digest=b""
            )

    def _add(self, entry: Entry, digest: bytes) -> None:
        self._batch.append(entry)
        self._changes += len(entry.body.changes) if isinstance(entry.body, DataWritten) else 1
        self._sequence.applied(
            entry.tenant, epoch=entry.epoch, revision=entry.revision, digest=digest
        )

    async def _keep(self) -> None:
        """Hand over what was collected, with where it leads."""
        moved = self._sequence.take_moved()
        batch, self._batch, self._changes = self._batch, [], 0
        self._kept_at = self._now()
        if batch or moved.tenants or moved.partitions:
            await self._store.apply(batch, moved)


def _tenant_of(record: ConsumerRecord) -> TenantId | None:
    try:
        return TenantId(record.key.decode()) if record.key else None
    except UnicodeDecodeError:
        return None
