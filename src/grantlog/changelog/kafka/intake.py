"""What one follower made of the topic so far: parts put together, runs kept until they are read.

Pure, and only a convenience: whatever is doubtful or missing here is asked of the primary, whose
log is the truth. So nothing in here is ever patched together: a run that does not continue is
begun anew, a message that cannot be right is dropped and counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from grantlog.changelog.kafka.message import EventMessage, Fence, HeartbeatMessage
from grantlog.model.change import Transaction
from grantlog.model.ids import NOTHING, Revision, TenantId

BYTES_MAX: Final = 32 * 1024 * 1024
"""Payloads that wait to be read; with more, the topic is not read on."""

IDLE_ROUNDS_MAX: Final = 3
"""A tenant whose run was not read for so many rounds is not wanted: a full store drops it."""


@dataclass(slots=True)
class Counters:
    """What was met, for people and metrics."""

    transactions: int = 0
    duplicates: int = 0
    old_publishers: int = 0
    """Messages of a publisher that had been succeeded."""
    incomplete: int = 0
    """Transactions of which a part was missing."""
    refused: int = 0
    """Messages that nobody could read, or that cannot be right."""
    read_here: int = 0
    read_in_primary: int = 0
    dropped: int = 0
    """Transactions that nobody read while room was needed."""


@dataclass(slots=True)
class _Partition:
    fence: Fence | None = None
    through: datetime | None = None


@dataclass(slots=True)
class _Open:
    """A transaction of which parts are there."""

    revision: Revision
    parts: int
    payloads: list[bytes]


@dataclass(slots=True)
class _Run:
    """Transactions of a tenant that follow each other."""

    round: int
    entries: deque[tuple[Transaction, int]] = field(default_factory=deque[tuple[Transaction, int]])


@dataclass(frozen=True, slots=True)
class Whole:
    """A transaction whose parts are all there, not decoded yet."""

    tenant: TenantId
    revision: Revision
    payloads: Sequence[bytes]

    @property
    def size(self) -> int:
        """Bytes of its payloads."""
        return sum(map(len, self.payloads))


class Intake:
    """See the module. Used from one event loop."""

    def __init__(self, partitions: int, *, bytes_max: int = BYTES_MAX) -> None:
        self.counters = Counters()
        self._bytes_max = bytes_max
        self._partitions = [_Partition() for _ in range(partitions)]
        self._open: dict[TenantId, _Open] = {}
        self._runs: dict[TenantId, _Run] = {}
        self._read_to: dict[TenantId, Revision] = {}
        self._bytes = 0
        self._round = 0

    @property
    def full(self) -> bool:
        """Whether nothing more should be taken in before something was read."""
        return self._bytes >= self._bytes_max

    @property
    def through(self) -> datetime | None:
        """Everything committed before it has been taken in; None before every partition told."""
        told = [partition.through for partition in self._partitions]
        known = [through for through in told if through is not None]
        return min(known) if len(known) == len(told) else None

    def forget_place(self) -> None:
        """The topic is read from another place: what it said so far is not continued."""
        for partition in self._partitions:
            partition.through = None
        self._open.clear()

    def admits(self, partition: int, fence: Fence) -> bool:
        """Whether a message's publisher has not been succeeded; if not, it is counted."""
        known = self._partitions[partition].fence
        if known is not None and fence < known:
            self.counters.old_publishers += 1
            return False
        self._partitions[partition].fence = fence
        return True

    def beat(self, partition: int, message: HeartbeatMessage) -> None:
        """Take a heartbeat in; times only go forward."""
        known = self._partitions[partition].through
        if known is None or message.through > known:
            self._partitions[partition].through = message.through

    def collect(self, message: EventMessage) -> Whole | None:
        """Take a part in; the whole if it was the last one that lacked."""
        if message.parts == 1:
            self._give_up(message.tenant)
            return Whole(message.tenant, message.revision, (message.payload,))
        begun = self._open.get(message.tenant)
        if message.part == 0:
            self._give_up(message.tenant)
            begun = self._open[message.tenant] = _Open(message.revision, message.parts, [])
        if (
            begun is None
            or (begun.revision, begun.parts) != (message.revision, message.parts)
            or len(begun.payloads) != message.part
        ):
            self._give_up(message.tenant)
            return None
        begun.payloads.append(message.payload)
        if len(begun.payloads) < begun.parts:
            return None
        del self._open[message.tenant]
        return Whole(message.tenant, message.revision, begun.payloads)

    def _give_up(self, tenant: TenantId) -> None:
        if self._open.pop(tenant, None) is not None:
            self.counters.incomplete += 1

    def keep(self, transaction: Transaction, size: int) -> None:
        """Keep a transaction until it is read, unless a read has passed it."""
        tenant = transaction.tenant
        if transaction.revision <= self._read_to.get(tenant, NOTHING):
            self.counters.duplicates += 1
            return
        run = self._runs.get(tenant)
        if run is not None:
            last = run.entries[-1][0]
            if transaction.revision == last.revision and transaction.digest == last.digest:
                self.counters.duplicates += 1
                return
            if transaction.revision != last.revision + 1 or (
                transaction.previous_digest != last.digest
            ):
                self.drop(tenant)
                run = None
        if run is None:
            run = self._runs[tenant] = _Run(self._round)
        run.entries.append((transaction, size))
        self._bytes += size
        self.counters.transactions += 1

    def drop(self, tenant: TenantId) -> None:
        """Forget the run of a tenant."""
        run = self._runs.pop(tenant, None)
        if run is not None:
            self._bytes -= sum(size for _, size in run.entries)
            self.counters.dropped += len(run.entries)

    def forget(self, tenant: TenantId) -> None:
        """Forget everything of a tenant."""
        self.drop(tenant)
        self._open.pop(tenant, None)
        self._read_to.pop(tenant, None)

    def read(self, tenant: TenantId, *, after: Revision, changes_max: int) -> list[Transaction]:
        """Take out the transactions behind `after`; empty if the next one is not here.

        At most `changes_max` changes, but at least one transaction.
        """
        self.passed(tenant, after)
        run = self._runs.get(tenant)
        if run is None:
            return []
        run.round = self._round
        page: list[Transaction] = []
        changes = 0
        while run.entries and run.entries[0][0].revision == after + len(page) + 1:
            changes += run.entries[0][0].size
            if page and changes > changes_max:
                break
            page.append(self._pop(run))
        self.passed(tenant, Revision(after + len(page)))
        self.counters.read_here += len(page)
        return page

    def passed(self, tenant: TenantId, revision: Revision) -> None:
        """The follower has what is up to `revision`, or stands there again."""
        self._read_to[tenant] = revision
        run = self._runs.get(tenant)
        if run is None:
            return
        while run.entries and run.entries[0][0].revision <= revision:
            self._pop(run)
        if not run.entries:
            del self._runs[tenant]

    def next_round(self) -> None:
        """The follower looked at all heads; what it did not want for long makes room if needed."""
        self._round += 1
        if not self.full:
            return
        for tenant, run in list(self._runs.items()):
            if self._round - run.round >= IDLE_ROUNDS_MAX:
                self.drop(tenant)

    def _pop(self, run: _Run) -> Transaction:
        transaction, size = run.entries.popleft()
        self._bytes -= size
        return transaction
