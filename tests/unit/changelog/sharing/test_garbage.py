"""Whatever comes over the node's socket, a follower takes it or begins anew, and lives on."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from grantlog.changelog.counts import TopicCounts
from grantlog.changelog.kafka.feed import Feed
from grantlog.changelog.kafka.frames import Kind, SharedRecord, bodies_of, frame
from grantlog.changelog.kafka.shared import SharedSource
from grantlog.errors import CorruptionError, UnavailableError

PARTITIONS = 2
HEADERS = (("kind", b"event"), ("publisher", b"1.1"), ("revision", b"2"), ("part", b"0/1"))


async def agreed(cluster_id: str) -> None:
    del cluster_id


@asynccontextmanager
async def saying(said: bytes) -> AsyncIterator[Feed]:
    """A follower of somebody who says this and goes away."""

    async def met(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = Path(folder) / "topic"
        async with await asyncio.start_unix_server(met, path):
            source = SharedSource(
                path, kafka="kafka:9092", agree=agreed, clock=time.monotonic, counts=TopicCounts()
            )
            yield Feed(source, topic="t", partitions=PARTITIONS, clock=time.monotonic)


async def follow(said: bytes) -> Feed:
    """Take in what is said, to its end; errors as of a source."""
    async with saying(said) as feed, asyncio.timeout(20), feed._source.placed() as records:
        feed.begin()
        while True:
            for record in await records.some():
                await feed.take(record)


def conversation(partition: int = 0, cluster: bytes = b"one", why: bytes = b"why") -> bytes:
    now = time.monotonic()
    (body,) = bodies_of([SharedRecord(partition, 7, b"acme", b"\x01\x02", HEADERS)])
    said = frame(Kind.BEGUN, cluster, read_at=now) + frame(Kind.RECORDS, body, read_at=now)
    return said + (frame(Kind.AWAY, why, read_at=now) if why else b"")


@pytest.mark.parametrize(
    "said",
    [
        conversation(partition=PARTITIONS, why=b""),
        conversation(cluster=b"\xff"),
        conversation(why=b"\xff"),
    ],
    ids=["a partition too many", "a name that is no text", "a reason that is no text"],
)
async def test_what_no_reader_says_ends_the_placing_and_nothing_else(said: bytes) -> None:
    with pytest.raises(UnavailableError):
        await follow(said)


async def test_bytes_that_were_changed_or_cut_end_the_placing_and_nothing_else() -> None:
    chance = Random(38)
    for why in (b"why", b"") * 75:
        said = bytearray(conversation(why=why))
        for _ in range(chance.randrange(1, 4)):
            said[chance.randrange(len(said))] = chance.randrange(256)
        if chance.random() < 0.3:
            del said[chance.randrange(len(said)) :]
        with pytest.raises((UnavailableError, CorruptionError)):
            await follow(bytes(said))


@pytest.mark.parametrize("what", ["nothing", "a file", "a link"])
async def test_what_is_no_socket_is_told_with_its_place(what: str, tmp_path: Path) -> None:
    path = tmp_path / "topic"
    if what == "a file":
        path.write_text("x")
    if what == "a link":
        path.symlink_to("/dev/zero")
    source = SharedSource(
        path, kafka="kafka:9092", agree=agreed, clock=time.monotonic, counts=TopicCounts()
    )
    with pytest.raises(UnavailableError, match=f"does not answer at {path} "):
        async with source.placed():
            pass
