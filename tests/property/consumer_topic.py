"""A topic of one partition and a consumer's store, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from grantlog.changelog.kafka.message import Fence, event_message
from grantlog.changelog.parts import Part
from grantlog.consumer.follow import ConsumerLimits, _Following
from grantlog.consumer.sequence import Sequencer
from grantlog.consumer.values import (
    Entry,
    Positions,
    RebuildNeededError,
    TenantPosition,
)
from grantlog.model.chain import GENESIS
from grantlog.model.change import BundleDeleted, Change, DataWritten, Transaction
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.wire.event import encode_transaction
from tests.kafka_world import Record
from tests.property.test_wire_event import sample, tuple_changes

T1, T2 = TenantId("t1"), TenantId("t2")


@dataclass
class Kept:
    """A store in memory."""

    entries: list[Entry] = field(default_factory=list)
    state: Positions = field(default_factory=Positions)

    async def positions(self) -> Positions:
        return self.state

    async def apply(self, batch: Sequence[Entry], positions: Positions) -> None:
        self.entries += batch
        self.state = Positions(
            positions.topic,
            {**self.state.tenants, **positions.tenants},
            {**self.state.partitions, **positions.partitions},
        )

    def of(self, tenant: TenantId) -> list[int]:
        return [entry.revision for entry in self.entries if entry.tenant == tenant]


def entry_of(
    tenant: TenantId, revision: int, *, epoch: int = 1, before: bytes | None = None, **other
) -> Transaction:
    digest = f"{tenant}-{epoch}-{revision}".encode().ljust(16, b".")
    previous = f"{tenant}-{epoch}-{revision - 1}".encode().ljust(16, b".")
    return replace(
        sample(BundleDeleted("b")),
        tenant=tenant, revision=Revision(revision), epoch=Epoch(epoch), digest=digest,
        previous_digest=before or (GENESIS if revision == 1 else previous), **other,
    )  # fmt: skip


@dataclass
class Topic:
    """One partition, and the consumers that read it one behind the other."""

    store: Kept = field(default_factory=Kept)
    records: list[Record] = field(default_factory=list)
    told: list[RebuildNeededError] | None = None
    rebuilt: TenantPosition | None = None
    kept_before: list[int] | None = None
    """What had been applied of the tenant when a rebuild was asked for."""

    def send(self, *entries: Transaction, publisher: int = 1, cut: int | None = None) -> None:
        """Put transactions on it, each in as many parts as it has; of the last one only `cut`."""
        for entry in entries:
            payloads = encode_transaction(entry)
            for number, payload in enumerate(payloads):
                if cut is not None and entry is entries[-1] and number >= cut:
                    return
                part = Part(entry.tenant, entry.revision, number, len(payloads), entry.epoch,
                            payload)  # fmt: skip
                sent = event_message(part, partition=0, fence=Fence(Epoch(1), publisher))
                self.put(sent.key, sent.value, sent.headers)

    def put(self, key, value, headers) -> None:
        self.records.append(Record("t", 0, len(self.records), key, value, headers))

    async def consume(self, count: int | None = None, *, keep: bool = True) -> None:
        """Read on from where the store stands; `keep=False` is killed before it keeps the end."""
        sequence = Sequencer("t", self.store.state)
        handler = self.rebuild if self.told is not None else None
        following = _Following(sequence, self.store, None, handler, ConsumerLimits())
        start = sequence.place(0).offset
        for record in self.records[start:][:count]:
            try:
                await following._take(record)
            except RebuildNeededError:
                await following._keep()
                raise
        if keep:
            await following._keep()

    async def rebuild(self, error: RebuildNeededError) -> TenantPosition | None:
        assert self.told is not None
        self.told.append(error)
        self.kept_before = self.store.of(error.tenant)
        return self.rebuilt


def large(tenant: TenantId, revision: int) -> Transaction:
    entry = entry_of(tenant, revision)
    return replace(entry, body=DataWritten(_MANY, SchemaVersion("v")))


_MANY: tuple[Change, ...] = tuple_changes(5)
