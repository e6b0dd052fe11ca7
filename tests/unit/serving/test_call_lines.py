"""Lines of calls: whole, of bounded size, and never in the way of the calls."""

from __future__ import annotations

import errno
import json
import os
import re
import select
import threading
import tracemalloc
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import pytest

from grantlog.ports.standing import Source, Standing
from grantlog.serving import call_lines
from grantlog.serving.call_lines import CallLines, open_call_lines
from grantlog.wire.status import Code

CHECK = "/base.v1.Permission/Check"


class Pipe(NamedTuple):
    """Both ends of a pipe, as files so that an end is closed once."""

    reader: FileIO
    writer: FileIO


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)  # a test without its lines fails, it does not hang
    with FileIO(reader, "rb") as reads, FileIO(writer, "wb") as writes:
        yield Pipe(reads, writes)


def read(reader: int) -> list[dict[str, object]]:
    return [json.loads(line) for line in os.read(reader, 1 << 20).splitlines()]


def test_a_line_says_what_a_call_was_and_how_it_ended(pipe: Pipe):
    reader, writer = (end.fileno() for end in pipe)
    lines = CallLines(writer, {"service": "api", "worker": "1"}, now=lambda: 1.5)
    lines.say(CHECK, "t1", Code.OK, 0.0125, Standing("token", source=Source.CACHE))
    lines.say(CHECK, "", Code.INVALID_ARGUMENT, None, None)
    lines.write()
    common = {
        "event": "call",
        "method": CHECK,
        "level": "info",
        "service": "api",
        "worker": "1",
        "timestamp": "1970-01-01T00:00:01.500000Z",
    }
    answered = {"tenant": "t1", "code": "OK", "ms": 12.5, "snap_token": "token", "source": "cache"}
    assert read(reader) == [
        common | answered,
        common | {"tenant": "", "code": "INVALID_ARGUMENT"},
    ]


def test_the_manual_shows_a_line(pipe: Pipe):
    reader, writer = (end.fileno() for end in pipe)
    manual = Path(__file__).resolve().parents[3] / "docs" / "operations.md"
    (shown,) = re.findall(r'^{"event":"call".*$', manual.read_text("utf-8"), re.MULTILINE)
    lines = CallLines(writer, {"service": "api"}, now=lambda: 1767323045.0000065)
    lines.say(CHECK, "t1", Code.OK, 0.00031, Standing("…", source=Source.CACHE))
    lines.write()
    assert read(reader) == [json.loads(shown)]


@pytest.mark.parametrize("for_people", [True, False])
def test_what_a_caller_says_is_neither_long_nor_a_line_of_its_own(pipe: Pipe, for_people: bool):
    reader, writer = (end.fileno() for end in pipe)
    lines = CallLines(writer, {}, for_people=for_people)
    lines.say(CHECK, 'x"\n\x1b[2J{"event":"forged"}' + "y" * 100_000, Code.OK, 0.1, None)
    lines.write()
    told = os.read(reader, 1 << 20)
    assert told.count(b"\n") == 1
    assert b"\x1b" not in told
    assert len(told) < 1_000


@pytest.mark.parametrize(("unread", "shared"), [(b"", False), (b"", True), (b"{}\n", False)])
def test_lines_are_written_whole_in_pieces_that_others_cannot_break(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch, unread: bytes, shared: bool
):
    """Into an empty pipe of its own what it holds, else what is promised to stay together."""
    reader, writer = (end.fileno() for end in pipe)
    os.write(writer, unread)
    pieces: list[bytes] = []
    told: list[dict[str, object]] = []

    def watched(descriptor: int, piece: bytes) -> int:
        pieces.append(piece)
        assert os.writev(descriptor, [piece]) == len(piece)
        if not unread:
            told.extend(read(reader))
        return len(piece)

    monkeypatch.setattr(call_lines.os, "write", watched)
    lines = CallLines(writer, {"service": "api"}, shared=shared)
    count = 200 if unread else 1_000
    for number in range(count):
        lines.say(CHECK, f"t{number}", Code.OK, 0.1, None)
    lines.write()
    if unread:
        told = read(reader)[1:]
    assert [line["tenant"] for line in told] == [f"t{number}" for number in range(count)]
    bytes_max = select.PIPE_BUF if unread or shared else 65_536
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert bytes_max * 0.9 < max(map(len, pieces)) <= bytes_max


def test_a_reader_that_does_not_read_costs_lines_and_is_told_how_many(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
):
    reader, writer = (end.fileno() for end in pipe)
    monkeypatch.setattr(call_lines, "LINES_MAX", 3)
    lines = CallLines(writer, {})
    for number in range(5):
        lines.say(CHECK, f"t{number}", Code.OK, 0.1, None)
    assert lines.dropped == 2
    lines.write()
    *kept, last = read(reader)
    assert [line["tenant"] for line in kept] == ["t0", "t1", "t2"]
    assert (last["event"], last["lines"]) == ("call lines left out", 2)
    lines.say(CHECK, "t5", Code.OK, 0.1, None)
    lines.write()
    assert [line["tenant"] for line in read(reader)] == ["t5"]


@pytest.mark.parametrize("end", [0, 1])
def test_an_end_that_is_gone_costs_the_lines_and_nothing_else(pipe: Pipe, end: int):
    writer = pipe.writer.fileno()
    pipe[end].close()
    lines = CallLines(writer, {})
    lines.say(CHECK, "t1", Code.OK, 0.1, None)
    for _ in range(3):
        lines.write()
    assert lines.dropped == 1


def test_lines_that_were_lost_are_told_when_there_is_room_again(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
):
    """A disk that is full takes a part of a piece, then nothing."""
    reader, writer = (end.fileno() for end in pipe)
    room = 60
    write = os.write

    def full(descriptor: int, piece: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "no room")
        written = write(descriptor, piece[:room])
        room -= written
        return written

    monkeypatch.setattr(call_lines.os, "write", full)
    lines = CallLines(writer, {})
    for number in range(3):
        lines.say(CHECK, f"t{number}", Code.OK, 0.1, None)
    lines.write()
    lines.write()
    assert lines.dropped == 3
    room = 10_000
    lines.say(CHECK, "t3", Code.OK, 0.1, None)
    lines.write()
    torn, *whole = os.read(reader, 1 << 20).splitlines()
    assert len(torn) == 60
    kept, notice = map(json.loads, whole)
    assert (kept["tenant"], notice["lines"], lines.dropped) == ("t3", 3, 3)


def test_a_tenant_of_any_length_is_cut_before_it_is_kept(pipe: Pipe):
    reader, writer = (end.fileno() for end in pipe)
    lines = CallLines(writer, {})
    tracemalloc.start()
    try:
        for number in range(50):
            lines.say(CHECK, f"{number}" + "y" * 1_000_000, Code.INVALID_ARGUMENT, 0.1, None)
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()
    lines.write()
    assert len(read(reader)) == 50


async def test_the_last_lines_are_written_at_the_end(pipe: Pipe):
    reader, writer = (end.fileno() for end in pipe)
    async with open_call_lines(writer, {}) as lines:
        lines.say(CHECK, "t1", Code.OK, 0.1, None)
    assert [line["tenant"] for line in read(reader)] == ["t1"]
    assert "call lines" not in {thread.name for thread in threading.enumerate()}


async def test_a_reader_that_never_reads_does_not_hold_up_the_end(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
):
    writer = pipe.writer.fileno()
    monkeypatch.setattr(call_lines, "_LAST_S_MAX", 0.05)
    async with open_call_lines(writer, {}) as lines:
        for _ in range(2_000):  # more than the pipe holds
            lines.say(CHECK, "t1", Code.OK, 0.1, None)
    (stuck,) = [thread for thread in threading.enumerate() if thread.name == "call lines"]
    assert stuck.daemon
    pipe.reader.close()  # so that it ends with this test
    stuck.join(60)
    assert not stuck.is_alive()
