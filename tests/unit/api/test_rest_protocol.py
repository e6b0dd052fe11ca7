"""A connection of REST: order, bounds, shapes that two readers read differently, and its end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from grantlog_api import rest_protocol

from tests import waiting
from tests.rest_wire import CHECK, JSON, Line, asking, post, until

OK = b"HTTP/1.1 200 OK\r\n"


@asynccontextmanager
async def line(**options):
    opened = Line(**options)
    try:
        yield opened
    finally:
        opened.handler.may.set()
        await opened.end()


def longer(request: bytes) -> bytes:
    """The same request, but that it goes the long way."""
    return request.replace(b"Host: x\r\n", b"Host: x\r\nTE: trailers\r\n")


WAITS, VIEW = post(asking("waits")), post(asking("view"))
SMUGGLED = post(asking("smuggled"))


@pytest.mark.parametrize("first", [WAITS, longer(WAITS)])
@pytest.mark.parametrize("second", [VIEW, longer(VIEW), b"GET /livez HTTP/1.1\r\n\r\n"])
async def test_what_comes_behind_a_call_is_answered_behind_it(first, second):
    async with line() as here:
        here.put(first + second + VIEW)
        await until(lambda: here.handler.asked == ["waits"])
        assert here.wire.sent == b""
        here.handler.may.set()
        said = await here.quiet()
        assert said.count(OK) == 3
        assert here.handler.asked[0] == "waits"
        assert said.index(b'"check_count":8') < said.index(b'"check_count":7')


@pytest.mark.parametrize("tail", [b"", b"G", VIEW])
@pytest.mark.parametrize("first", [WAITS, longer(WAITS)])
async def test_a_client_that_leaves_ends_the_work_for_it_and_nothing_behind_it_begins(first, tail):
    async with line() as here:
        here.put(first + tail)
        await until(lambda: here.handler.asked == ["waits"])
        here.leave()
        await until(lambda: not here.state.tasks)
        assert here.handler.cut == 1
        assert here.handler.asked == ["waits"]
        assert here.wire.sent == b""


async def test_a_client_that_leaves_before_its_call_begins_leaves_nothing_behind():
    async with line() as here:
        here.put(VIEW)
        assert here.state.tasks
        here.leave()
        assert not here.state.tasks
        await asyncio.sleep(0)
        assert here.handler.asked == []


async def test_a_client_that_leaves_in_the_middle_of_a_body_asks_nothing():
    async with line() as here:
        here.put(VIEW[:-3])
        here.leave()
        assert here.handler.asked == []
        assert not here.state.tasks


@pytest.mark.parametrize("first", [WAITS, longer(WAITS)])
async def test_what_is_under_way_when_the_server_ends_is_answered_and_ends_the_connection(first):
    async with line() as here:
        here.put(first)
        await until(lambda: here.handler.asked == ["waits"])
        here.protocol.shutdown()
        here.handler.may.set()
        said = await here.quiet()
        assert said.startswith(OK)
        assert b"connection: close\r\n" in said
        assert here.wire.closed


async def test_a_request_that_has_come_in_part_when_the_server_ends_is_answered():
    async with line() as here:
        here.put(VIEW[:-3])
        here.protocol.shutdown()
        assert not here.wire.closed
        assert here.state.tasks, "draining waits for it"
        here.put(VIEW[-3:])
        said = await here.quiet()
        assert said.startswith(OK)
        assert b"connection: close\r\n" in said
        assert here.wire.closed


async def test_a_call_that_is_cut_is_told_to_ask_elsewhere():
    async with line() as here:
        here.put(WAITS)
        await until(lambda: here.handler.asked == ["waits"])
        for task in here.state.tasks:
            task.cancel()
        said = await here.quiet()
        assert said.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"this node is shutting down" in said


async def test_a_body_that_takes_its_time_is_waited_for_the_long_way(monkeypatch):
    monkeypatch.setattr(rest_protocol, "SHORT_S_MAX", 0.01)
    async with line(timeout_s=0.2) as here:
        here.put(VIEW[:-9])
        here.put(VIEW[-9:-4])
        await waiting.until(lambda: bool(here.state.tasks))
        here.put(VIEW[-4:])
        assert (await here.quiet()).startswith(OK)
        here.put(VIEW[:-3])
        await waiting.until(lambda: b" 504 " in here.wire.sent)


@pytest.mark.parametrize(
    "come", [b"", VIEW, longer(VIEW), VIEW + b"\r\n", b"POST /v1", VIEW + b"P"]
)
async def test_a_connection_on_which_nothing_is_asked_ends(come, monkeypatch):
    monkeypatch.setattr(rest_protocol, "HEAD_S_MAX", 0.05)
    async with line() as here:
        here.protocol.timeout_keep_alive = 0.05
        if come:
            here.put(come)
        await waiting.until(lambda: here.wire.closed)
        assert here.wire.sent.startswith(OK if VIEW[-3:] in come else b"")


async def test_a_connection_on_which_little_comes_of_an_answered_request_ends(monkeypatch):
    monkeypatch.setattr(rest_protocol, "HEAD_S_MAX", 0.05)
    async with line() as here:
        head = b"POST %b HTTP/1.1\r\nContent-Type: text/html\r\nContent-Length: 100000\r\n\r\n"
        here.put(head % CHECK)
        await waiting.until(lambda: b" 415 " in here.wire.sent)
        here.put(b" ")
        await waiting.until(lambda: here.wire.closed)


@pytest.mark.parametrize("begun", [VIEW, longer(VIEW)])
async def test_a_call_that_takes_long_is_not_cut_by_the_bounds_of_a_connection(begun, monkeypatch):
    monkeypatch.setattr(rest_protocol, "HEAD_S_MAX", 0.03)
    async with line() as here:
        here.protocol.timeout_keep_alive = 0.03
        here.put(begun)
        await here.quiet()
        here.put(WAITS[:20])
        here.put(WAITS[20:])
        await until(lambda: "waits" in here.handler.asked)
        ends = here.protocol.loop.time() + 0.1
        await waiting.until(lambda: here.protocol.loop.time() > ends)
        here.handler.may.set()
        assert (await here.quiet()).count(OK) == 2


@pytest.mark.parametrize(
    "flood",
    [
        b"GET / HTTP/1.1\r\nX-A: " + b"a" * 200_000,
        b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 20_000,
        b"\r\n" * 100_000,
        VIEW + b"GET / HTTP/1.1\r\nX-A: " + b"a" * 200_000,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: " + b"a" * 200_000,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;" + b"a" * 200_000,
    ],
)
async def test_what_comes_without_an_end_ends_the_connection(flood):
    async with line() as here:
        for at in range(0, len(flood), 10_000):
            if not here.wire.closed:
                here.put(flood[at : at + 10_000])
                await here.quiet() if at == 0 and flood.startswith(VIEW) else await asyncio.sleep(0)
        assert here.wire.closed
        assert here.wire.sent.count(b" 431 ") <= 1
        assert b" 431 " in here.wire.sent or b" 404 " in here.wire.sent or OK in here.wire.sent


async def test_a_small_head_behind_a_large_body_is_no_large_head():
    async with line() as here:
        large = post(asking("view", pad=150_000))
        here.put(large + VIEW[:50])
        here.put(VIEW[50:])
        assert (await here.quiet()).count(OK) == 2


BROKEN = {
    "two kinds of length": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    "the other order": b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    "two lengths": b"Content-Length: 4\r\nContent-Length: 0\r\n",
    "a length twice": b"Content-Length: 4\r\nContent-Length: 4\r\n",
    "a length with a sign": b"Content-Length: +4\r\n",
    "lengths in a list": b"Content-Length: 4, 4\r\n",
    "a length in hex": b"Content-Length: 0x4\r\n",
    "a negative length": b"Content-Length: -4\r\n",
    "a length of many digits": b"Content-Length: 99999999999999999999999999\r\n",
    "a space before the colon": b"Content-Length : 4\r\n",
    "no chunks in the end": b"Transfer-Encoding: chunked, identity\r\n",
    "chunks by another name": b"Transfer-Encoding: xchunked\r\n",
    "a name with a line end": b"Content\rLength: 4\r\n",
    "a value with a nul": b"X-A: \x00\r\n",
    "a value with a carriage return": b"X-A: a\rContent-Length: 4\r\n",
    "a line without a colon": b"Content-Length 4\r\n",
    "a length on a line that goes on": b"Content-Length:\r\n 4\r\n",
    "a line that goes on from nothing": b" Content-Length: 4\r\n",
}


@pytest.mark.parametrize("way", [JSON, JSON + b"TE: trailers\r\n"])
@pytest.mark.parametrize("headers", BROKEN.values(), ids=BROKEN.keys())
async def test_a_request_that_could_be_read_in_two_ways_is_refused(headers, way):
    async with line() as here:
        here.put(b"POST %b HTTP/1.1\r\n%b%b\r\n{}\r\n" % (CHECK, way, headers) + SMUGGLED)
        said = await here.quiet()
        assert here.wire.closed
        assert said.startswith(b"HTTP/1.1 400 ")
        assert said.count(b"content-length") == 1
        assert here.handler.asked == []


@pytest.mark.parametrize("way", [JSON, JSON + b"TE: trailers\r\n"])
async def test_what_stands_in_a_body_is_not_a_request(way):
    async with line() as here:
        here.put(post(SMUGGLED, headers=way) + VIEW)
        said = await here.quiet()
        assert said.startswith(b"HTTP/1.1 400 ")
        assert said.count(b"HTTP/1.1 ") == 2
        assert here.handler.asked == ["view"]


CHUNKED = b"POST /v1/tenants/list HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "nonsense",
    [
        b"FROB / HTTP/1.1\r\n\r\n",
        CHUNKED + b"zz\r\n",
        VIEW + CHUNKED + b"zz\r\n",
        CHUNKED + b";" * 9,
    ],
)
@pytest.mark.parametrize("first", [WAITS, longer(WAITS)])
async def test_nonsense_behind_a_call_is_not_told_in_its_answers_place(first, nonsense):
    async with line() as here:
        here.put(first + nonsense)
        await until(lambda: here.handler.asked == ["waits"])
        assert here.wire.sent == b""
        assert not here.wire.closed
        here.handler.may.set()
        said = await here.quiet()
        assert said.startswith(OK)
        assert b" 400 " not in said
        assert said.count(b"connection: close\r\n") == 1
        assert here.wire.closed
        assert here.handler.asked == ["waits"] + ["view"] * nonsense.count(b'"view"')


async def test_what_stands_behind_a_body_is_no_metadata():
    async with line() as here:
        body = asking("view")
        here.put(
            b"POST %b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n%b\r\n%x\r\n%b\r\n0\r\n"
            b"grantlog-consistency: head\r\n\r\n" % (CHECK, JSON, len(body), body)
        )
        assert (await here.quiet()).startswith(OK)
        assert here.handler.said == [{}]


async def test_no_word_about_an_answer_makes_a_header_of_its_own():
    async with line() as here:
        here.put(post(asking("bends")))
        said = await here.quiet()
        assert said.startswith(b"HTTP/1.1 500 ")
        assert b"planted" not in said


async def test_an_answer_waits_for_a_client_that_does_not_read():
    async with line() as here:
        here.protocol.pause_writing()
        here.put(VIEW)
        await until(lambda: here.handler.asked == ["view"])
        await asyncio.sleep(0)
        assert here.wire.sent == b""
        here.protocol.resume_writing()
        assert (await here.quiet()).startswith(OK)


async def test_a_node_with_too_many_calls_says_so():
    async with line(connections_max=1) as here:
        here.put(VIEW)
        assert b" 503 " in await here.quiet()
        assert here.handler.asked == []
