"""Lines of calls: whole, of bounded size, and never in the way of the calls."""

from __future__ import annotations

import json
import os
import re
import select
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from grantlog.ports.standing import Source, Standing
from grantlog.serving import call_lines
from grantlog.serving.call_lines import CallLines, open_call_lines
from grantlog.wire.status import Code

CHECK = "/base.v1.Permission/Check"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with suppress(OSError):
            os.close(end)


def read(reader: int) -> list[dict[str, object]]:
    return [json.loads(line) for line in os.read(reader, 1 << 20).splitlines()]


def test_a_line_says_what_a_call_was_and_how_it_ended(pipe: tuple[int, int]):
    reader, writer = pipe
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


def test_the_manual_shows_a_line(pipe: tuple[int, int]):
    reader, writer = pipe
    manual = Path(__file__).resolve().parents[3] / "docs" / "operations.md"
    (shown,) = re.findall(r'^{"event":"call".*$', manual.read_text("utf-8"), re.MULTILINE)
    lines = CallLines(writer, {"service": "api"}, now=lambda: 1767323045.0000065)
    lines.say(CHECK, "t1", Code.OK, 0.00031, Standing("…", source=Source.CACHE))
    lines.write()
    assert read(reader) == [json.loads(shown)]


@pytest.mark.parametrize("for_people", [True, False])
def test_what_a_caller_says_is_neither_long_nor_a_line_of_its_own(
    pipe: tuple[int, int], for_people: bool
):
    reader, writer = pipe
    lines = CallLines(writer, {}, for_people=for_people)
    lines.say(CHECK, 'x"\n\x1b[2J{"event":"forged"}' + "y" * 100_000, Code.OK, 0.1, None)
    lines.write()
    told = os.read(reader, 1 << 20)
    assert told.count(b"\n") == 1
    assert b"\x1b" not in told
    assert len(told) < 1_000


@pytest.mark.parametrize("unread", [b"", b"{}\n"])
def test_lines_are_written_whole_in_pieces_that_others_cannot_break(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, unread: bytes
):
    """Into an empty pipe what it holds, else what is promised to stay together."""
    reader, writer = pipe
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
    lines = CallLines(writer, {"service": "api"})
    count = 200 if unread else 1_000
    for number in range(count):
        lines.say(CHECK, f"t{number}", Code.OK, 0.1, None)
    lines.write()
    if unread:
        told = read(reader)[1:]
    assert [line["tenant"] for line in told] == [f"t{number}" for number in range(count)]
    bytes_max = select.PIPE_BUF if unread else 65_536
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert bytes_max * 0.9 < max(map(len, pieces)) <= bytes_max


def test_a_reader_that_does_not_read_costs_lines_and_is_told_how_many(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
):
    reader, writer = pipe
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
def test_an_end_that_is_gone_costs_the_lines_and_nothing_else(pipe: tuple[int, int], end: int):
    _, writer = pipe
    os.close(pipe[end])
    lines = CallLines(writer, {})
    lines.say(CHECK, "t1", Code.OK, 0.1, None)
    lines.write()
    assert lines.dropped == 1


def test_the_last_lines_are_written_at_the_end(pipe: tuple[int, int]):
    reader, writer = pipe
    with open_call_lines(writer, {}) as lines:
        lines.say(CHECK, "t1", Code.OK, 0.1, None)
    assert [line["tenant"] for line in read(reader)] == ["t1"]
    assert "call lines" not in {thread.name for thread in threading.enumerate()}


def test_a_reader_that_never_reads_does_not_hold_up_the_end(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
):
    reader, writer = pipe
    monkeypatch.setattr(call_lines, "_LAST_S_MAX", 0.05)
    with open_call_lines(writer, {}) as lines:
        for _ in range(2_000):  # more than the pipe holds
            lines.say(CHECK, "t1", Code.OK, 0.1, None)
    (stuck,) = [thread for thread in threading.enumerate() if thread.name == "call lines"]
    assert stuck.daemon
    while stuck.is_alive():
        os.read(reader, 1 << 20)
