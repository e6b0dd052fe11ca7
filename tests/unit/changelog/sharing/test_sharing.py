"""One reader for several followers: order, bounds, and what is told when it goes no further."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantlog.background import background_tasks
from grantlog.changelog.counts import TopicCounts
from grantlog.changelog.kafka import frames, sharing
from grantlog.changelog.kafka.feed import Feed
from grantlog.changelog.kafka.frames import (
    FRAME_BYTES,
    LATE_S_MAX,
    Kind,
    SharedRecord,
    bodies_of,
    frame,
    read_head,
    records_in,
)
from grantlog.changelog.kafka.shared import SharedSource
from grantlog.changelog.kafka.sharing import ShareLimits, open_share
from grantlog.changelog.kafka.source import Records
from grantlog.errors import CorruptionError, PreconditionError, UnavailableError
from tests.waiting import until

texts = st.none() | st.binary(max_size=40)
records_of_any_kind = st.builds(
    SharedRecord,
    partition=st.integers(0, 9_999),
    offset=st.integers(0, 2**63 - 1),
    key=texts,
    value=texts,
    headers=st.lists(st.tuples(st.text(max_size=8), texts), max_size=3).map(tuple),
)


def still() -> float:
    """A clock on which nothing is ever late, however long this machine stands still."""
    return 0.0


def record(number: int, size: int = 1, partition: int = 0) -> SharedRecord:
    return SharedRecord(partition, number, b"acme", b"v" * size, (("h", b"1"),))


@dataclass
class Played:
    """A source that a test plays."""

    name: str = "kafka:9092"
    cluster_id: str = "one"
    placings: int = 0
    coming: asyncio.Queue[Sequence[SharedRecord] | Exception] = field(
        default_factory=lambda: asyncio.Queue(maxsize=1)
    )
    refuse: Exception | None = None

    @asynccontextmanager
    async def placed(self) -> AsyncIterator[Records]:
        if self.refuse is not None:
            raise self.refuse
        self.placings += 1
        yield self

    async def some(self) -> Sequence[SharedRecord]:
        said = await self.coming.get()
        if isinstance(said, Exception):
            raise said
        return said

    async def say(self, *said: SharedRecord) -> None:
        await self.coming.put(said)


async def agreed(cluster_id: str) -> None:
    assert cluster_id == "one"


def follower(path: Path, counts: TopicCounts | None = None, clock=still) -> SharedSource:
    return SharedSource(
        path, kafka="kafka:9092", agree=agreed, clock=clock, counts=counts or TopicCounts()
    )


async def follows_and_reads_nothing(path: Path) -> socket.socket:
    stuck = socket.socket(socket.AF_UNIX)
    stuck.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(stuck, str(path))
    await loop.sock_recv(stuck, 1)  # it was told that it follows
    return stuck


async def offsets(records: Records, count: int) -> list[int]:
    found: list[int] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            found += [each.offset for each in await records.some()]
    return found


@given(records=st.lists(records_of_any_kind, max_size=5))
def test_records_come_out_of_frames_as_they_went_in(records) -> None:
    assert [each for body in bodies_of(records) for each in records_in(body)] == records


def test_a_frame_ends_with_the_record_that_fills_it() -> None:
    bodies = list(bodies_of([record(n, FRAME_BYTES // 2) for n in range(5)]))
    assert [len(records_in(body)) for body in bodies] == [2, 2, 1]
    giant = list(bodies_of([record(0, 5 * FRAME_BYTES), record(1)]))
    assert [len(records_in(body)) for body in giant] == [1, 1]


@given(body=st.binary(min_size=1, max_size=60))
def test_what_is_no_record_is_refused_or_read_whole(body: bytes) -> None:
    try:
        found = records_in(body)
    except CorruptionError:
        return
    assert b"".join(bodies_of(found)) == body


@pytest.mark.parametrize("cut", [1, 10, 20])
def test_a_part_of_a_record_is_refused(cut: int) -> None:
    (body,) = bodies_of([record(1, 30)])
    with pytest.raises(CorruptionError):
        records_in(body[:-cut])


def test_a_length_below_nothing_is_refused() -> None:
    (body,) = bodies_of([record(1)])
    with pytest.raises(CorruptionError):
        records_in(body[:12] + b"\xfb\xff\xff\xff" + body[16:])


def test_frames_of_another_version_and_giants_are_refused(monkeypatch) -> None:
    framed = frame(Kind.RECORDS, b"body", read_at=1.0)
    assert read_head(framed).body_bytes == 4
    with monkeypatch.context() as patched:
        patched.setattr(frames, "VERSION", frames.VERSION + 1)
        with pytest.raises(CorruptionError, match="another version"):
            read_head(framed)
    with pytest.raises(CorruptionError, match="never says"):
        read_head(b"\xff\xff\xff\xff" + framed[4:])
    with pytest.raises(CorruptionError, match="never says"):
        read_head(framed[:5] + b"\x09" + framed[6:])


async def test_all_followers_hear_the_same_in_order_from_when_they_came() -> None:
    source, counts = Played(), TopicCounts()
    async with open_share(source, clock=still) as path:
        async with follower(path, counts).placed() as early:
            await source.say(record(1), record(2, partition=1))
            assert await offsets(early, 2) == [1, 2]
            async with follower(path).placed() as late:
                await source.say(record(3), record(4))
                assert await offsets(late, 2) == [3, 4]
            assert await offsets(early, 2) == [3, 4]
            assert (counts.records_read, counts.followers_cut) == (4, 0)
        assert source.placings == 1


async def test_many_records_arrive_whole_at_a_follower_that_takes_its_time() -> None:
    source = Played()
    async with (
        open_share(source, clock=still, limits=ShareLimits(gather_s=0)) as path,
        follower(path).placed() as one,
        background_tasks() as group,
    ):

        async def say() -> None:
            for begin in range(0, 20_000, 500):
                await source.say(*(record(begin + n, 200) for n in range(500)))

        group.create_task(say())
        assert await offsets(one, 20_000) == list(range(20_000))


async def test_who_does_not_read_is_cut_and_the_others_hear_everything() -> None:
    source = Played()
    limits = ShareLimits(backlog_bytes_max=2_000_000, gather_s=0)
    async with (
        open_share(source, clock=still, limits=limits) as path,
        follower(path).placed() as quick,
    ):
        stuck = await follows_and_reads_nothing(path)
        said = 0
        async with asyncio.timeout(60):
            while quick._counts.followers_cut == 0:
                await source.say(record(said, 100_000))
                assert await offsets(quick, 1) == [said]
                said += 1
        assert said < 100  # what the kernel and the backlog hold, not all there is
        for number in range(said, said + 10):
            await source.say(record(number))
        assert await offsets(quick, 10) == list(range(said, said + 10))
        stuck.close()


async def test_what_was_sent_waits_no_more() -> None:
    source, counts = Played(), TopicCounts()
    limits = ShareLimits(backlog_bytes_max=2_000_000, gather_s=0)
    async with (
        open_share(source, clock=still, limits=limits) as path,
        follower(path, counts).placed() as one,
    ):
        for number in range(0, 30, 3):  # more than the backlog in all, less at a time
            await source.say(*(record(number + n, 300_000) for n in range(3)))
            assert await offsets(one, 3) == [number, number + 1, number + 2]
        assert counts.followers_cut == 0


async def test_a_follower_that_is_busy_keeps_little_of_what_comes() -> None:
    source = Played()
    async with (
        open_share(source, clock=still, limits=ShareLimits(gather_s=0)) as path,
        follower(path).placed() as one,
    ):
        for _ in range(2):
            for number in range(30):
                await source.say(record(number, 100_000))
            await until(lambda: one._paused)
            assert one._bytes < 2_000_000
            assert await offsets(one, 30) == list(range(30))


async def test_who_leaves_disturbs_nobody() -> None:
    source = Played()
    async with (
        open_share(source, clock=still, limits=ShareLimits(gather_s=0)) as path,
        follower(path).placed() as stays,
    ):
        for number in range(20):
            leaves = await follows_and_reads_nothing(path)
            leaves.close()
            await source.say(record(2 * number))
            assert await offsets(stays, 1) == [2 * number]
            await source.say(record(2 * number + 1))
            assert await offsets(stays, 1) == [2 * number + 1]


async def test_who_waits_too_long_is_cut_with_little_to_hear() -> None:
    source, now = Played(), [0.0]
    limits = ShareLimits(gather_s=0)
    async with (
        open_share(source, clock=lambda: now[0], limits=limits) as path,
        follower(path, clock=lambda: now[0]).placed() as quick,
    ):
        stuck = await follows_and_reads_nothing(path)
        for number in range(60):  # it fills the kernel's buffers: some then wait here
            await source.say(record(number, 10_000))
            await offsets(quick, 1)
        assert quick._counts.followers_cut == 0
        now[0] += LATE_S_MAX + 1
        await source.say(record(99))
        await source.say(record(100))
        assert await offsets(quick, 2) == [99, 100]
        assert quick._counts.followers_cut == 1
        stuck.close()


async def test_followers_are_told_at_once_that_the_reader_cannot_read_and_begin_anew() -> None:
    source = Played()
    async with open_share(source, clock=still) as path:
        feeds = [
            Feed(follower(path), topic="t", partitions=1, clock=lambda: 0.0)  # no silence is long
            for _ in range(2)
        ]
        async with background_tasks() as group:
            reading = [group.create_task(feed.run()) for feed in feeds]
            await until(lambda: all(feed.lively for feed in feeds))
            for feed in feeds:
                feed.woken.clear()
            source.refuse = UnavailableError("Kafka does not answer")
            await source.coming.put(UnavailableError("Kafka went away"))
            for feed in feeds:
                await feed.woken.wait()
                assert not feed.lively
            source.refuse = None
            await until(lambda: all(feed.lively and feed.placings == 2 for feed in feeds))
            for task in reading:
                task.cancel()


async def test_a_follower_is_told_why_there_is_nothing_to_hear() -> None:
    source = Played(refuse=PreconditionError("the log is on another topic"))
    async with open_share(source, clock=still) as path:
        with pytest.raises(UnavailableError, match="the log is on another topic"):
            async with follower(path).placed():
                pass


async def test_a_follower_waits_for_the_first_answer_of_kafka() -> None:
    source, answers = Played(), asyncio.Event()
    placed = source.placed

    @asynccontextmanager
    async def late() -> AsyncIterator[Records]:
        await answers.wait()
        async with placed() as records:
            yield records

    source.placed = late  # type: ignore[method-assign]
    async with open_share(source, clock=still) as path, background_tasks() as group:
        begun = asyncio.Event()

        async def follow() -> None:
            async with follower(path).placed():
                begun.set()

        group.create_task(follow())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await begun.wait()
        answers.set()
        await begun.wait()


async def test_what_came_too_late_is_not_taken_in() -> None:
    """A process that was stopped finds old records in its buffers: they are no sign of life."""
    source, ahead = Played(), [0.0]
    async with (
        open_share(source, clock=still) as path,
        follower(path, clock=lambda: ahead[0]).placed() as records,
    ):
        await source.say(record(1))
        await until(lambda: bool(records._frames))
        ahead[0] = LATE_S_MAX + 1
        with pytest.raises(UnavailableError, match="late"):
            await records.some()


async def test_a_reader_that_goes_away_is_noticed_by_who_waits() -> None:
    source = Played()
    async with AsyncExitStack() as stack:
        async with open_share(source, clock=still) as path:
            left = await stack.enter_async_context(follower(path).placed())
            await source.say(record(1))
            assert await offsets(left, 1) == [1]
        with pytest.raises(UnavailableError, match=r"stops|went away"):
            await offsets(left, 1)
    with pytest.raises(UnavailableError, match="does not answer"):
        async with follower(path).placed():
            pass


async def test_a_reader_of_another_version_is_told_as_that(monkeypatch) -> None:
    source = Played()
    async with open_share(source, clock=still) as path:
        framed = frame(Kind.BEGUN, b"one", read_at=still())
        other = framed[:4] + b"\x63" + framed[5:]
        monkeypatch.setattr(sharing, "frame", lambda *_, **__: other)
        with pytest.raises(CorruptionError, match="start the node anew"):
            async with follower(path).placed():
                pass


async def test_the_socket_is_in_a_folder_of_this_user_alone_and_leaves_nothing() -> None:
    async with open_share(Played(), clock=still) as path:
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert path.parent.stat().st_uid == os.getuid()
    assert not path.parent.exists()


async def test_a_place_with_too_long_a_name_is_told(monkeypatch, tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with pytest.raises(PreconditionError, match="TMPDIR"):
        async with open_share(Played(), clock=still):
            pass


async def test_without_a_disk_to_write_to_memory_serves(monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc/none")
    async with open_share(Played(), clock=still) as path:
        assert path.is_relative_to("/dev/shm")
