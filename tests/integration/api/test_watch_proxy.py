"""An API node's watchers are answered by watch services: what goes wrong, and what is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import grpc
import pytest
from grantlog_api.watch_asking import ProxyLimits
from grantlog_api.watch_proxy import CHANNEL_OPTIONS, WatchProxy
from grpc import aio

from grantlog.api.v1 import service_pb2
from grantlog.app.terms import OfNow
from grantlog.errors import (
    CorruptionError,
    GrantlogError,
    InvalidInputError,
    LimitError,
    SlowReaderError,
    TenantDeletedError,
    UnavailableError,
)
from grantlog.serving.calls import Calls
from grantlog.serving.metadata import request_metadata, set_request_metadata
from grantlog.serving.watching import METHOD
from tests.contract.watching import watch_door
from tests.waiting import until

LIMITS = ProxyLimits(heartbeat_s=0.2, answer_s_max=60.0, patience_s_max=0.4)
"""A service that is slow is waited for; who has none is told soon."""

LARGE = "x" * 100_000


def message(token: str, changes: int = 0) -> service_pb2.WatchResponse:
    return service_pb2.WatchResponse(
        changes={"snap_token": token, "data_changes": [{"operation": 1}] * changes}
    )


class Service:
    """A watch service that says what a test tells it to; `asked` has the token of every call."""

    def __init__(self, *answers: Callable[[str], AsyncIterator[service_pb2.WatchResponse]]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.metadata: dict[str, str] = {}
        self.open = 0

    async def __call__(self, request):
        self.asked.append(request.snap_token)
        self.metadata = dict(request_metadata())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.open += 1
        try:
            async for each in answer(request.snap_token):
                yield each
        finally:
            self.open -= 1


def tells(*revisions: int, then: GrantlogError | None = None):
    """Where it stands, then these revisions; then it ends so, or goes on without a word."""

    async def answer(token: str):
        yield message(token or "0")
        for revision in revisions:
            yield message(str(revision), 1)
        if then is not None:
            raise then
        await asyncio.Event().wait()

    return answer


def fails(error: BaseException):
    """It refuses at once."""

    async def answer(token: str):
        raise error
        yield

    return answer


async def silent(token: str):
    await asyncio.Event().wait()
    yield message("never")


@asynccontextmanager
async def proxied(*services: Service, limits: ProxyLimits = LIMITS) -> AsyncIterator[WatchProxy]:
    set_request_metadata([])
    async with AsyncExitStack() as stack:
        channels = []
        for service in services:
            calls = Calls({}, {METHOD: OfNow(service)}, timeout_s=30)
            address = await stack.enter_async_context(watch_door(calls))
            channel = aio.insecure_channel(address, options=list(CHANNEL_OPTIONS))
            channels.append(await stack.enter_async_context(channel))
        yield WatchProxy(channels, limits)


async def heard(proxy: WatchProxy, count: int, token: str = "") -> list[tuple[str, int]]:
    """The first messages: their tokens, and how many changes they have."""
    found = []
    request = service_pb2.WatchRequest(tenant_id="t1", snap_token=token)
    async with asyncio.timeout(60), aclosing(proxy.watch(request)) as messages:
        while len(found) < count:
            each = await anext(messages)
            found.append((each.changes.snap_token, len(each.changes.data_changes)))
    return found


async def ended(proxy: WatchProxy, token: str = "") -> GrantlogError:
    with pytest.raises(GrantlogError) as caught:
        await heard(proxy, 1_000_000, token)
    return caught.value


async def test_a_watcher_goes_on_at_another_service_where_it_was() -> None:
    first = Service(tells(1, 2, then=UnavailableError("going down")))
    second = Service(tells(3))
    async with proxied(first, second) as proxy:
        assert await heard(proxy, 4) == [("0", 0), ("1", 1), ("2", 1), ("3", 1)]
    assert (first.asked, second.asked) == ([""], ["2"])


async def test_a_service_that_says_nothing_is_given_up() -> None:
    mute, late, well = Service(silent), Service(tells(1)), Service(tells(2))
    limits = ProxyLimits(heartbeat_s=0.1, answer_s_max=2.0, patience_s_max=60.0)
    async with proxied(mute, late, well, limits=limits) as proxy:
        assert await heard(proxy, 3) == [("0", 0), ("1", 1), ("2", 1)]
    assert (mute.asked, late.asked, well.asked) == ([""], [""], ["1"])


async def test_one_who_begins_at_a_service_that_says_nothing_is_taken_to_another() -> None:
    """Giving it up took longer than a watcher without a service waits to be told."""
    mute, well = Service(silent), Service(tells(1))
    limits = ProxyLimits(heartbeat_s=0.1, answer_s_max=2.0, patience_s_max=1.0)
    async with proxied(mute, well, limits=limits) as proxy:
        assert await heard(proxy, 2) == [("0", 0), ("1", 1)]
    assert (mute.asked, well.asked) == ([""], [""])


async def test_when_none_lives_the_watcher_is_told_where_to_go_on() -> None:
    gone = UnavailableError("going down")
    service = Service(tells(1, then=gone), fails(gone))
    async with proxied(service) as proxy:
        error = await ended(proxy)
    assert type(error) is UnavailableError
    assert error.facts == {"snap_token": "1"}


async def test_services_that_let_watchers_in_only_to_end_them_are_not_asked_for_ever() -> None:
    service = Service(tells(then=UnavailableError("going down")))
    async with proxied(service) as proxy:
        error = await ended(proxy)
    assert error.facts == {"snap_token": "0"}


async def test_nobody_at_the_address_is_told_without_the_address() -> None:
    async with aio.insecure_channel("127.0.0.1:1", options=list(CHANNEL_OPTIONS)) as channel:
        error = await ended(WatchProxy([channel], LIMITS), "7")
    assert (type(error), error.explanation) == (UnavailableError, "no watch service answers")


async def test_in_the_middle_of_a_revision_no_other_service_goes_on() -> None:
    """It would tell the whole revision again, to a watcher that has a part of it."""

    async def part(token: str):
        yield message("0")
        yield message("1", 1)
        yield message("1", 5)  # of the second revision, which another message completes
        raise UnavailableError("going down")

    first, second = Service(part), Service(tells(2))
    async with proxied(first, second) as proxy:
        error = await ended(proxy)
    assert type(error) is UnavailableError
    assert error.facts == {"snap_token": "1"}
    assert second.asked == []


@pytest.mark.parametrize(
    "error",
    [
        TenantDeletedError("gone", facts={"snap_token": "9"}),
        SlowReaderError("too slow", facts={"snap_token": "9"}),
        CorruptionError(),
        InvalidInputError("no", reason="INVALID_SNAP_TOKEN"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_a_service_decides_is_what_the_watcher_is_told(error: GrantlogError) -> None:
    other = Service(tells(9))
    async with proxied(Service(tells(1, then=error)), other) as proxy:
        told = await ended(proxy)
    assert (told.reason, told.facts) == (error.reason, error.facts)
    assert other.asked == []


async def test_a_full_service_sends_watchers_to_another_and_is_told_when_all_are_full() -> None:
    full = LimitError("this node has 1 streams open")
    refusing, free = Service(fails(full)), Service(tells(1))
    async with proxied(refusing, free) as proxy:
        assert await heard(proxy, 2) == [("0", 0), ("1", 1)]
    also = Service(fails(full))
    async with proxied(refusing, also, limits=ProxyLimits(0.2, 5, 60)) as proxy:
        assert type(await ended(proxy)) is LimitError


async def test_a_watcher_that_leaves_leaves_the_service_too() -> None:
    service = Service(tells(1))
    async with proxied(service) as proxy:
        await heard(proxy, 2)
        await until(lambda: service.open == 0)


async def test_closing_ends_watchers_with_where_to_go_on_and_refuses_new_ones() -> None:
    service = Service(tells(1))
    async with proxied(service) as proxy:
        messages = proxy.watch(service_pb2.WatchRequest(tenant_id="t1"))
        async with aclosing(messages), asyncio.TaskGroup() as group:
            assert [(await anext(messages)).changes.snap_token for _ in range(2)] == ["0", "1"]

            async def following() -> None:
                with pytest.raises(UnavailableError) as caught:
                    await anext(messages)
                told.append(caught.value)

            told: list[UnavailableError] = []
            group.create_task(following())
            await asyncio.sleep(0)  # it waits for the next message
            proxy.close()
        assert told[0].facts == {"snap_token": "1"}
        assert type(await ended(proxy)) is UnavailableError
        await until(lambda: service.open == 0)


async def test_filters_and_the_pace_of_heartbeats_go_along() -> None:
    service = Service(tells(1))
    async with proxied(service) as proxy:
        set_request_metadata(
            [
                ("grantlog-watch-subjects", "user:1,team:eng#member"),
                ("grantlog-watch-heartbeat-s", "0.15"),
                ("grantlog-watch-relations", "viewer"),
            ]
        )
        await heard(proxy, 1)
        assert service.metadata == {
            "grantlog-watch-subjects": "user:1,team:eng#member",
            "grantlog-watch-relations": "viewer",
            "grantlog-watch-heartbeat-s": "0.15",
        }
        set_request_metadata([("grantlog-watch-heartbeat-s", "60")])
        await heard(proxy, 1)
        assert service.metadata == {"grantlog-watch-heartbeat-s": "0.2"}
        set_request_metadata([("grantlog-watch-relations", "a b")])
        assert type(await ended(proxy)) is InvalidInputError
        assert len(service.asked) == 2


async def test_a_reader_that_stops_stops_the_service_and_nobody_else() -> None:
    """Between watcher and service there is room for little: a service has a bounded buffer."""
    sent = 0

    async def much(token: str):
        nonlocal sent
        yield message("0")
        for revision in range(1, 400):
            yield message(f"{revision} {LARGE}", 1)
            sent += 1

    service = Service(much, tells(1))
    async with proxied(service) as proxy:
        stalled = proxy.watch(service_pb2.WatchRequest(tenant_id="t1"))
        async with aclosing(stalled):
            await anext(stalled)
            before = -1
            while sent != before:  # until it rests
                before = sent
                assert await heard(proxy, 2) == [("0", 0), ("1", 1)]
            assert sent < 200
            rest = [(await anext(stalled)).changes.snap_token for _ in range(399)]
    assert [int(token.split()[0]) for token in rest] == list(range(1, 400))


async def test_an_address_of_something_else_is_told_as_not_there() -> None:
    server = aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            error = await ended(WatchProxy([channel], LIMITS))
    finally:
        await server.stop(None)
    assert type(error) is UnavailableError
    assert grpc.StatusCode.UNIMPLEMENTED.name not in error.explanation
