"""What each message of the topic means for a consumer that stands somewhere. Pure.

Parts are put together, publishers that were succeeded are ignored, and of each transaction it is
decided whether it is next, known, or lies behind a gap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from grantlog.changelog.kafka.message import EventMessage, Fence
from grantlog.consumer.values import (
    PartitionPlace,
    Positions,
    RebuildNeededError,
    TenantPosition,
)
from grantlog.errors import LimitError
from grantlog.model.chain import GENESIS
from grantlog.model.change import TenantDeleted, Transaction
from grantlog.model.ids import Epoch, TenantId

OPEN_BYTES_MAX: Final = 512 * 1024 * 1024
"""Payloads of transactions of which parts are still missing."""

_START: Final = TenantPosition(0, 0, GENESIS)

Verdict = Literal["next", "known", "gap"]
"""Apply it; ignore it; read what lies between first."""


@dataclass(slots=True)
class _Open:
    """A transaction of which parts are there, and where reading it again begins."""

    place: PartitionPlace
    revision: int
    parts: int
    payloads: list[bytes]


class Sequencer:
    """Where a consumer stands, tenant by tenant and partition by partition.

    Args:
        topic: the name of the topic that is read.
        positions: what the store kept.
        open_bytes_max: see OPEN_BYTES_MAX.
    """

    def __init__(
        self, topic: str, positions: Positions, *, open_bytes_max: int = OPEN_BYTES_MAX
    ) -> None:
        same = positions.topic == topic
        self.topic = topic
        self._tenants = dict(positions.tenants)
        self._places = dict(positions.partitions) if same else {}
        self._open: dict[int, dict[TenantId, _Open]] = {}
        self._open_bytes = 0
        self._open_bytes_max = open_bytes_max
        self._moved_tenants: set[TenantId] = set()
        self._moved_partitions: set[int] = set()

    def tenant(self, tenant: TenantId) -> TenantPosition:
        """Where a tenant stands; before its first revision if nothing of it was applied."""
        return self._tenants.get(tenant, _START)

    def place(self, partition: int) -> PartitionPlace:
        """Where the next message of a partition is."""
        return self._places.get(partition, PartitionPlace(0))

    def restart(self, partition: int, offset: int) -> None:
        """A partition is read from another place: what it said so far is not continued."""
        for tenant in list(self._open.get(partition, ())):
            self._close(partition, tenant)
        self._places[partition] = PartitionPlace(offset)

    def admits(self, partition: int, fence: Fence) -> bool:
        """Whether a message's publisher has not been succeeded."""
        place = self.place(partition)
        publisher = (int(fence.epoch), fence.publisher_epoch)
        if publisher < place.publisher:
            return False
        self._places[partition] = PartitionPlace(place.offset, publisher, place.time_ms)
        return True

    def collect(self, partition: int, message: EventMessage) -> tuple[bytes, ...] | None:
        """Take a part in; all parts if it was the last one that lacked.

        The transaction stays open, and reading would begin again at its first part, until
        `advance` says that it was dealt with. Parts that do not follow are dropped: the revision
        is missing then, and a gap is found.

        Raises:
            LimitError: more waits for its parts than there is room for.
        """
        if message.parts == 1:
            self._close(partition, message.tenant)
            return (message.payload,)
        opened = self._open.setdefault(partition, {})
        if message.part == 0:
            self._close(partition, message.tenant)
            opened[message.tenant] = _Open(
                self.place(partition), message.revision, message.parts, []
            )
        begun = opened.get(message.tenant)
        if begun is None:
            return None
        if (begun.revision, begun.parts, len(begun.payloads)) != (
            message.revision,
            message.parts,
            message.part,
        ):
            self._close(partition, message.tenant)
            return None
        begun.payloads.append(message.payload)
        self._open_bytes += len(message.payload)
        if self._open_bytes > self._open_bytes_max:
            raise LimitError(
                f"transactions whose parts are not all there take more than "
                f"{self._open_bytes_max} bytes"
            )
        return tuple(begun.payloads) if len(begun.payloads) == begun.parts else None

    def advance(
        self, partition: int, *, offset: int, time_ms: int, closes: TenantId | None = None
    ) -> None:
        """A message was dealt with.

        Args:
            partition: where it was.
            offset: its offset.
            time_ms: Kafka's time of it.
            closes: the tenant whose transaction it completed.
        """
        if closes is not None:
            self._close(partition, closes)
        place = self.place(partition)
        self._places[partition] = PartitionPlace(offset + 1, place.publisher, time_ms)
        self._moved_partitions.add(partition)

    def judge(self, transaction: Transaction, *, was_refilled: bool = False) -> Verdict:
        """What to do with a transaction.

        Args:
            transaction: whole.
            was_refilled: an API node confirmed that what is held continues to it.

        Raises:
            RebuildNeededError: it is of a history that what was applied is not part of.
        """
        at = self.tenant(transaction.tenant)
        revision, epoch = transaction.revision, transaction.epoch
        if epoch < at.epoch:
            return "known"  # or of a life of the log that was lost: void either way
        if revision <= at.revision:
            if epoch > at.epoch or (
                revision == at.revision and at.digest and at.digest != transaction.digest
            ):
                raise RebuildNeededError(transaction.tenant, _other_history(at, epoch))
            return "known"
        if isinstance(transaction.body, TenantDeleted):
            return "next"
        if revision > at.revision + 1:
            return "gap"
        if at.digest:
            if at.digest != transaction.previous_digest:
                raise RebuildNeededError(transaction.tenant, _other_history(at, epoch))
        elif epoch > at.epoch and not was_refilled:
            return "gap"  # of no revision: whether the place survived is asked
        return "next"

    def applied(self, tenant: TenantId, *, epoch: int, revision: int, digest: bytes) -> None:
        """A revision is in the batch."""
        self._tenants[tenant] = TenantPosition(epoch, revision, digest)
        self._moved_tenants.add(tenant)

    def stopped(self) -> dict[TenantId, str]:
        """The tenants of which nothing more is applied, and why."""
        return {tenant: at.stopped for tenant, at in self._tenants.items() if at.stopped}

    def rebuilt(self, tenant: TenantId, position: TenantPosition) -> None:
        """What is held of a tenant was read anew."""
        self._tenants[tenant] = position
        self._moved_tenants.add(tenant)

    def stop(self, tenant: TenantId, why: str) -> None:
        """Nothing more of a tenant is applied, until its position in the store is replaced."""
        at = self.tenant(tenant)
        self._tenants[tenant] = TenantPosition(at.epoch, at.revision, at.digest, why)
        self._moved_tenants.add(tenant)

    def take_moved(self) -> Positions:
        """The positions that changed since this was called last."""
        moved = Positions(
            self.topic,
            {tenant: self._tenants[tenant] for tenant in self._moved_tenants},
            {partition: self._safe(partition) for partition in self._moved_partitions},
        )
        self._moved_tenants.clear()
        self._moved_partitions.clear()
        return moved

    def _safe(self, partition: int) -> PartitionPlace:
        """Where reading may begin without losing a part."""
        opened: Mapping[TenantId, _Open] = self._open.get(partition, {})
        places = [each.place for each in opened.values()]
        return min([*places, self.place(partition)], key=lambda place: place.offset)

    def _close(self, partition: int, tenant: TenantId) -> None:
        closed = self._open.get(partition, {}).pop(tenant, None)
        if closed is not None:
            self._open_bytes -= sum(map(len, closed.payloads))


def _other_history(at: TenantPosition, epoch: Epoch) -> str:
    return (
        f"what was applied up to revision {at.revision} of epoch {at.epoch} is not part of what "
        f"the topic says in epoch {epoch}; was the primary restored?"
    )
