"""However a stream of requests is cut, and whichever way they go, the same bytes answer it."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rest_wire import CHECK, JSON, answers, asking, post

CHUNKED = (
    b"POST %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n%b\r\n" % (CHECK, JSON)
    + b"%x;a=b\r\n%b\r\n" % (len(asking("see")), asking("see"))
    + b"0\r\ngrantlog-consistency: head\r\n\r\n"
)
REQUESTS = {
    "short": post(asking("view")),
    "short, waiting": post(asking("slow")),
    "short, with metadata": post(asking("view"), headers=JSON + b"Grantlog-Consistency: head\r\n"),
    "short, with metadata that mean nothing": post(
        asking("view"), headers=JSON + b"grantlog-consistancy: head\r\n"
    ),
    "short, refused": post(asking("refused")),
    "short, broken": post(asking("breaks")),
    "short, against a rule": post(asking("n0t a name")),
    "short, no JSON": post(b"{"),
    "short, of no handler": post(b"{}", path=b"/v1/tenants/t1/data/write"),
    "short, encoded path": post(asking("view"), path=b"/v1/tenants/a%2Fb/permissions/check"),
    "a broken path": post(asking("view"), path=b"/v1/tenants/a%ZZ/permissions/check"),
    "no path": post(asking("view"), path=b"/v1/tenants/t1/nothing"),
    "a query": post(asking("view"), path=CHECK + b"?metadata.depth=7"),
    "events": post(b"{}", path=b"/v1/tenants/t1/watch/events"),
    "an origin": post(asking("view"), headers=JSON + b"Origin: https://page\r\n"),
    "a form": post(asking("view"), headers=b"Content-Type: application/x-www-form-urlencoded\r\n"),
    "html": post(asking("view"), headers=b"Content-Type: text/html\r\n"),
    "utf-16": post(b"{}", headers=b"Content-Type: application/json; charset=utf-16\r\n"),
    "zipped": post(asking("view"), headers=JSON + b"Content-Encoding: gzip\r\n"),
    "without a body": post(b""),
    "large": post(asking("view", pad=70_000)),
    "chunked": CHUNKED,
    "asks first": post(asking("view"), headers=JSON + b"Expect: 100-continue\r\n"),
    "PUT": post(asking("view")).replace(b"POST", b"PUT"),
    "GET": b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    "HEAD": b"HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    "OPTIONS": b"OPTIONS %b HTTP/1.1\r\nHost: x\r\n\r\n" % CHECK,
    "empty lines": b"\r\n\r\n",
}  # fmt: skip
LAST = {
    "more": b"",
    "old": b"POST %b HTTP/1.0\r\n%bContent-Length: 2\r\n\r\n{}" % (CHECK, JSON),
    "closing": post(asking("view"), headers=JSON + b"Connection: close\r\n"),
    "no HTTP": b"FROB / HTTP/1.1\r\nHost: x\r\n\r\n",
    "an upgrade": b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h9\r\n\r\n",
}


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    """A stream in pieces; places count modulo its length."""
    ends = sorted({place % len(stream) for place in places} | {len(stream)} - {0})
    return [stream[a:b] for a, b in zip([0, *ends], ends, strict=False) if a < b]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(REQUESTS)), min_size=1, max_size=6),
    st.sampled_from(sorted(LAST)),
    st.lists(st.integers(0, 100_000), max_size=12),
)
def test_however_it_is_cut_and_whichever_way_it_goes_a_stream_is_answered_alike(
    names: list[str], last: str, places: list[int]
):
    stream = b"".join(REQUESTS[name] for name in names) + LAST[last]

    async def both():
        right = await answers([stream], short=False)
        assert await answers([stream]) == right
        assert await answers(cut(stream, places)) == right

    asyncio.run(both())


@pytest.mark.parametrize("name", [*REQUESTS, *LAST])
def test_every_request_is_answered_alike_whichever_way_it_goes(name: str):
    stream = {**REQUESTS, **LAST}[name]

    async def both():
        right = await answers([stream], short=False)
        assert await answers([stream]) == right
        assert await answers(cut(stream + b"\r\n", [len(stream) - 3])) == right

    asyncio.run(both())


@pytest.mark.parametrize("name", ["short", "short, with metadata", "an origin", "chunked"])
def test_a_request_may_come_byte_by_byte(name: str):
    stream = REQUESTS[name] + REQUESTS["short, waiting"]

    async def both():
        right = await answers([stream], short=False)
        assert right[0].count(b"HTTP/1.1 200 OK") == 2
        assert await answers([stream[i : i + 1] for i in range(len(stream))]) == right

    asyncio.run(both())
