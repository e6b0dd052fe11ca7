"""Nobody who waits for an event waits for a lease to be renewed, or for a mark to be made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from grantlog.changelog.kafka import publisher as publisher_module
from grantlog.changelog.kafka.holding import Held
from grantlog.changelog.kafka.message import EVENT, KIND, Outgoing
from grantlog.changelog.kafka.producer import Sent
from grantlog.changelog.kafka.publisher import Publisher
from grantlog.changelog.kafka.publishing import PublishLimits
from grantlog.changelog.kafka.topic import TopicSpec
from grantlog.changelog.parts import Part
from grantlog.changelog.postgres.outbox import Acknowledged, Lease, Outbox, Place
from grantlog.errors import PreconditionError, UnavailableError
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.ports.log import ChangeLog, HeadsMoved, Position
from tests.waiting import until

ACME = TenantId("acme")
LIMITS = PublishLimits(hold_s=0.02, poll_s=0.01, backoff_s_min=0.01, backoff_s_max=0.01)


@dataclass
class Primary:
    """A log and its outbox, whose statements a test can hold up, and a topic."""

    head: int = 0
    epoch: int = 1
    log_epoch: int = 1
    holds: int = 0
    marked: dict[TenantId, int] = field(default_factory=dict[TenantId, int])
    marks_made: int = 0
    offset: int = -1
    sent: list[Outgoing] = field(default_factory=list)
    may_hold: asyncio.Event = field(default_factory=asyncio.Event)
    may_mark: asyncio.Event = field(default_factory=asyncio.Event)
    marking: asyncio.Event = field(default_factory=asyncio.Event)
    mark_fails: bool = False
    may_send: asyncio.Event = field(default_factory=asyncio.Event)
    send_fails: bool = False
    offered: list[Outgoing] = field(default_factory=list[Outgoing])
    read_behind: list[int] = field(default_factory=list[int])
    written_then: dict[int, int] = field(default_factory=dict[int, int])
    """Where the log ends after it was read behind a revision."""
    moved: bool = False
    looks: int = 0
    signals: asyncio.Semaphore | None = None
    """Signals of commits; None: there is one all the time."""
    forgotten: int = 0
    """So many messages were sent before the topic was made anew."""
    troubles: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.may_hold.set()
        self.may_mark.set()
        self.may_send.set()

    async def heads_moved(self, mark: str | None) -> HeadsMoved:
        del mark
        self.looks += 1
        heads = {ACME: Position(Epoch(1), Revision(self.head), b"")} if self.head else {}
        return HeadsMoved(heads, "mark", datetime(2026, 1, 1, tzinfo=UTC))

    async def wait(self, timeout_s: float) -> None:
        if self.signals is None:
            await asyncio.sleep(timeout_s)
        else:
            await self.signals.acquire()

    async def hold(self, lease_s: float, *, name: str, partitions: int) -> list[Lease]:
        del lease_s, name, partitions
        self.holds += 1
        await self.may_hold.wait()
        if self.moved:
            raise PreconditionError("the log is on another topic")
        return [Lease(0, self.epoch, self.offset)]

    async def publishers_epoch(self) -> Epoch:
        return Epoch(self.log_epoch)

    async def tell_trouble(self, troubles: Mapping[int, str]) -> None:
        self.troubles += [text for text in troubles.values() if text]

    async def release(self) -> None:
        return

    async def marks(self, partitions: Collection[int]) -> dict[TenantId, Revision]:
        del partitions
        return {tenant: Revision(revision) for tenant, revision in self.marked.items()}

    async def unpublished(
        self, places: Sequence[tuple[TenantId, Place]], *, bytes_max: int
    ) -> list[Part]:
        del bytes_max
        ((tenant, place),) = places
        self.read_behind.append(place.revision)
        found = [
            Part(tenant, Revision(revision), 0, 1, Epoch(1), b"%d" % revision)
            for revision in range(place.revision + 1, self.head + 1)
        ]
        self.head = self.written_then.pop(place.revision, self.head)
        return found

    async def acknowledge(self, leases: Mapping[int, Lease], done: Acknowledged) -> set[int]:
        self.marking.set()
        await self.may_mark.wait()
        if self.mark_fails:
            raise UnavailableError("a test broke the primary here")
        if leases[0].publisher_epoch != self.epoch:
            return set()
        self.marks_made += 1
        self.offset = max([self.offset, *done.offsets.values()])
        self.marked |= {tenant: revision for tenant, (_, revision) in done.revisions.items()}
        return {0}

    async def ends(self, partitions: Collection[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, len(self.sent) - self.forgotten)

    async def send(self, messages: Sequence[Outgoing]) -> dict[int, Sent]:
        self.offered += messages
        await self.may_send.wait()
        if self.send_fails:
            raise UnavailableError("a test broke Kafka here")
        self.sent += messages
        end = len(self.sent) - self.forgotten
        return {0: Sent(end - len(messages), end - 1)}

    @property
    def events(self) -> list[bytes]:
        return [each.value for each in self.sent if (KIND, EVENT) in each.headers]

    @property
    def fences(self) -> list[bytes]:
        return [dict(m.headers)["grantlog-publisher"] for m in self.sent if m.key]


class _Outbox:
    """The primary as an outbox: `epoch` is a method there."""

    def __init__(self, primary: Primary) -> None:
        self._primary = primary

    def __getattr__(self, name: str) -> Any:
        return getattr(self._primary, "publishers_epoch" if name == "epoch" else name)


@asynccontextmanager
async def publishing(primary: Primary, limits: PublishLimits = LIMITS) -> AsyncIterator[Publisher]:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Primary]:
        if primary.moved:
            raise PreconditionError("the log is on another topic")
        yield primary

    stop = asyncio.Event()
    publisher = Publisher(
        cast("ChangeLog", primary),
        cast("Outbox", _Outbox(primary)),
        opened,
        spec=TopicSpec("t", partitions=1),
        limits=limits,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(publisher.run(stop))
        await until(lambda: publisher.held == {0})
        try:
            yield publisher
        finally:
            stop.set()


async def test_events_go_out_while_leases_are_being_renewed() -> None:
    primary = Primary()
    async with publishing(primary):
        primary.may_hold.clear()
        holds = primary.holds
        await until(lambda: primary.holds > holds)
        primary.head = 2
        await until(lambda: primary.events == [b"1", b"2"])
        primary.may_hold.set()


async def test_a_batch_is_read_while_another_is_being_acknowledged_and_goes_out_behind_it() -> None:
    primary = Primary()
    async with publishing(primary):
        primary.may_send.clear()
        primary.head = 1
        await until(lambda: b"1" in [each.value for each in primary.offered])
        primary.head = 2
        await until(lambda: 1 in primary.read_behind)
        assert b"2" not in [each.value for each in primary.offered]
        assert primary.marked == {}
        primary.may_send.set()
        await until(lambda: primary.events == [b"1", b"2"])
        await until(lambda: primary.marked == {ACME: 2})


async def test_a_look_that_finds_nothing_does_not_wait_for_what_is_being_sent() -> None:
    primary = Primary()
    async with publishing(primary, replace(LIMITS, hold_s=60.0, pace_s=0.001)):
        primary.may_send.clear()
        primary.head = 1
        await until(lambda: b"1" in [each.value for each in primary.offered])
        looks = primary.looks
        await until(lambda: primary.looks > looks + 2)
        primary.head = 2
        await until(lambda: 1 in primary.read_behind)
        primary.may_send.set()
        await until(lambda: primary.events == [b"1", b"2"])


async def test_behind_a_batch_that_failed_nothing_goes_out_but_what_is_behind_the_marks() -> None:
    primary = Primary()
    async with publishing(primary):
        primary.head = 1
        await until(lambda: primary.marked == {ACME: 1})
        primary.may_send.clear()
        primary.head = 2
        await until(lambda: b"2" in [each.value for each in primary.offered])
        primary.head = 3
        await until(lambda: 2 in primary.read_behind)
        primary.send_fails = True
        primary.may_send.set()
        reads = len(primary.read_behind)
        await until(lambda: 1 in primary.read_behind[reads:])
        primary.send_fails = False
        await until(lambda: primary.marked == {ACME: 3})
    assert primary.events == [b"1", b"2", b"3"]


async def test_events_go_out_while_earlier_ones_are_being_marked_and_all_are_marked() -> None:
    primary = Primary()
    async with publishing(primary):
        primary.may_mark.clear()
        primary.marking.clear()
        primary.head = 1
        await until(lambda: primary.events == [b"1"])
        await primary.marking.wait()
        for head in (2, 3, 4):
            primary.head = head
            await until(lambda head=head: len(primary.events) == head)
        made = primary.marks_made
        assert primary.marked == {}
        primary.may_mark.set()
        await until(lambda: primary.marked == {ACME: 4})
        assert primary.marks_made <= made + 3, "what waited is marked together"
    assert primary.events == [b"1", b"2", b"3", b"4"]


async def test_what_is_being_marked_is_not_sent_again_when_the_logs_epoch_changes() -> None:
    primary = Primary()
    async with publishing(primary):
        primary.may_mark.clear()
        primary.head = 1
        await until(lambda: primary.events == [b"1"])
        primary.log_epoch = 2
        holds = primary.holds
        await until(lambda: primary.holds > holds)
        # Whoever does not wait for the mark takes up the new epoch meanwhile.
        asyncio.get_running_loop().call_later(0.1, primary.may_mark.set)
        primary.head = 2
        await until(lambda: primary.marked == {ACME: 2})
    assert primary.events == [b"1", b"2"]


async def test_a_publisher_that_is_told_to_stop_marks_what_it_sent() -> None:
    primary = Primary()
    async with publishing(primary):
        primary.may_mark.clear()
        primary.head = 3
        await until(lambda: len(primary.events) == 3)
        asyncio.get_running_loop().call_later(0.01, primary.may_mark.set)
    assert primary.marked == {ACME: 3}


async def test_what_was_not_marked_is_sent_again() -> None:
    primary = Primary()
    async with publishing(primary):
        primary.mark_fails = True
        primary.head = 1
        await until(lambda: len(primary.events) > 1)
        primary.mark_fails = False
        await until(lambda: primary.marked == {ACME: 1})
    assert set(primary.events) == {b"1"}


async def test_a_lease_that_was_lost_is_given_up_and_taken_anew_at_the_marks() -> None:
    primary = Primary()
    async with publishing(primary):
        primary.head = 1
        await until(lambda: primary.marked == {ACME: 1})
        primary.may_hold.clear()
        holds = primary.holds
        await until(lambda: primary.holds > holds)
        primary.epoch = 7  # somebody took it, and let it go
        primary.head = 2
        await until(lambda: primary.events == [b"1", b"2"])
        primary.may_hold.set()
        await until(lambda: primary.marked == {ACME: 2})
    assert primary.events == [b"1", b"2", b"2"]
    assert primary.fences == [b"1.1", b"1.1", b"1.7"]


async def test_a_topic_made_anew_that_outgrew_the_old_one_in_one_batch_is_told() -> None:
    primary = Primary()
    async with publishing(primary) as publisher:
        primary.head = 3
        await until(lambda: primary.marked == {ACME: 3})
        primary.forgotten = len(primary.sent)
        primary.head = 100
        await until(lambda: publisher.troubles)
        sent, holds = len(primary.sent), primary.holds
        assert sent - primary.forgotten > primary.offset, "its end alone does not tell"
        await until(lambda: primary.holds > holds + 2)
        assert len(primary.sent) == sent, "nothing goes to a topic that is not the log's"
        assert "gave offset 0 away, but offset" in publisher.troubles[0]
        assert primary.troubles[-1] == publisher.troubles[0]
        primary.offset, primary.epoch, primary.marked = -1, 2, {}  # `grantlog topic republish`
        await until(lambda: primary.marked == {ACME: 100})
        assert publisher.troubles == {}


async def test_a_publisher_that_is_refused_its_leases_holds_nothing() -> None:
    primary = Primary()
    async with publishing(primary) as publisher:
        primary.moved = True
        await until(lambda: not publisher.held)
        primary.moved = False
        await until(lambda: publisher.held == {0})


async def test_behind_what_was_sent_the_log_is_looked_at_until_nothing_is_there() -> None:
    primary = Primary(signals=asyncio.Semaphore(0))
    limits = replace(LIMITS, hold_s=60.0, pace_s=0.001)
    async with publishing(primary, limits):
        assert primary.signals is not None
        await until(lambda: primary.looks == 1)
        primary.head = 1
        primary.signals.release()
        await until(lambda: primary.looks == 3)
        assert primary.read_behind == [0], "one look finds it, one finds nothing, no third one"
        primary.head = 2
        primary.written_then = {1: 3}  # nobody signals it
        primary.signals.release()
        await until(lambda: primary.events == [b"1", b"2", b"3"])
        await until(lambda: primary.looks == 6)
        primary.signals.release()  # to end


async def test_heartbeats_go_out_while_events_come_all_the_time() -> None:
    primary = Primary()
    async with publishing(primary):
        for head in range(1, 20):
            primary.head = head
            await until(lambda head=head: len(primary.events) == head)
            before = len(primary.sent)
            await until(lambda before=before: any(not each.key for each in primary.sent[before:]))


def test_offsets_that_are_not_marked_yet_are_not_forgotten_by_a_renewal() -> None:
    before = Held({0: Lease(0, 3, 9), 1: Lease(1, 3, 4)}, {}, Epoch(1))
    found = Held({0: Lease(0, 3, 7), 1: Lease(1, 3, 5)}, {}, Epoch(1))
    assert found.at_least(before).leases == {0: Lease(0, 3, 9), 1: Lease(1, 3, 5)}


@pytest.mark.parametrize(
    "other",
    [
        Held({0: Lease(0, 4, 9)}, {}, Epoch(1)),
        Held({0: Lease(0, 3, 9)}, {}, Epoch(2)),
        Held({0: Lease(0, 3, 9)}, {0: "cut"}, Epoch(1)),
        Held({}, {}, Epoch(1)),
    ],
)
def test_a_renewal_that_found_something_else_begins_at_the_marks(other: Held) -> None:
    held = Held({0: Lease(0, 3, 8)}, {}, Epoch(1))
    assert not other.works_as(held)
    assert Held({0: Lease(0, 3, 9)}, {}, Epoch(1)).works_as(held)


async def test_a_topic_that_takes_nothing_is_told_once_at_first_and_tried_ever_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []

    async def at_once(stop: asyncio.Event, within_s: float) -> None:
        del stop
        pauses.append(within_s)
        await asyncio.sleep(0)

    monkeypatch.setattr(publisher_module, "set_within", at_once)
    primary = Primary()
    with capture_logs() as lines:
        async with publishing(primary, replace(LIMITS, backoff_s_max=60.0)):
            primary.send_fails = True
            primary.head = 1
            await until(lambda: len(pauses) > 4)
    assert pauses[:4] == [0.01, 0.02, 0.04, 0.08]
    assert [line["event"] for line in lines].count("publishing interrupted") == 1
