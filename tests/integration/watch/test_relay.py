"""One stream between a node and a watch service, for all of the node's watchers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass

import pytest
from grantlog_api.watch_asking import ProxyLimits, call_ended
from grantlog_api.watch_proxy import CHANNEL_OPTIONS, WatchProxy
from grantlog_watch.relaying import RelayLimits, RelayService
from grpc import aio

from grantlog.api.v1 import service_pb2
from grantlog.app.terms import OfNow
from grantlog.errors import InvalidInputError, LimitError, SlowReaderError, UnavailableError
from grantlog.serving.calls import Calls
from grantlog.serving.metadata import set_request_metadata
from grantlog.serving.watch_message import WatchMessage
from grantlog.serving.watching import METHOD
from grantlog.watch.v1 import service_pb2 as pb
from grantlog.watch.v1.service_pb2_grpc import RelayServicer, RelayStub, add_RelayServicer_to_server
from tests.contract.watching import watch_door
from tests.waiting import until

LIMITS = ProxyLimits(heartbeat_s=20.0, answer_s_max=60.0, patience_s_max=60.0)
WATCHERS = 200


class Source:
    """A log that every watcher is told from its token on, as long as it is open."""

    def __init__(self) -> None:
        self.messages: list[WatchMessage] = []
        self.more = asyncio.Event()
        self.open = 0
        self.ends: Exception | None = None

    def say(self, size: int = 0) -> None:
        """One more revision, with so many bytes."""
        token = str(len(self.messages) + 1)
        change = {"attribute": {"attribute": "x" * size}}
        message = service_pb2.WatchResponse(changes={"snap_token": token, "data_changes": [change]})
        self.messages.append(WatchMessage.of(message))
        self.wake()

    def end(self, error: Exception) -> None:
        """Every watcher ends with it, those included that come later."""
        self.ends = error
        self.wake()

    def wake(self) -> None:
        """Have watchers look for more."""
        self.more.set()
        self.more = asyncio.Event()

    async def __call__(self, request):
        place = int(request.snap_token or "0")
        self.open += 1
        try:
            yield service_pb2.WatchResponse(changes={"snap_token": str(place)})
            while True:
                while place < len(self.messages):
                    yield self.messages[place]
                    place += 1
                if self.ends is not None:
                    raise self.ends
                await self.more.wait()
        finally:
            self.open -= 1


@dataclass
class Service:
    """A watch service that answers nodes alone: a call of base.v1.Watch finds nothing here."""

    source: Source
    relay: RelayService
    server: aio.Server
    address: str


@asynccontextmanager
async def service(limits: RelayLimits | None = None) -> AsyncIterator[Service]:
    source = Source()
    calls = Calls({}, {METHOD: OfNow(source)}, timeout_s=30)
    relay = RelayService(calls, limits or RelayLimits(nodes_max=1))
    server = aio.server()
    add_RelayServicer_to_server(relay, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield Service(source, relay, server, f"127.0.0.1:{port}")
    finally:
        await server.stop(None)


@asynccontextmanager
async def node(*addresses: str, limits: ProxyLimits = LIMITS) -> AsyncIterator[WatchProxy]:
    set_request_metadata([])
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(
                aio.insecure_channel(address, options=list(CHANNEL_OPTIONS))
            )
            for address in addresses
        ]
        proxy = WatchProxy(channels, limits)
        stack.push_async_callback(proxy.leave)
        yield proxy


async def follow(proxy: WatchProxy, told: list[str], last: int) -> None:
    """Note the tokens of all changes, until one is told."""
    request = service_pb2.WatchRequest(tenant_id="t1", snap_token="0")
    async with asyncio.timeout(60), aclosing(proxy.watch(request)) as messages:
        async for message in messages:
            if message.has_changes:
                told.append(message.snap_token)
            if message.snap_token == str(last):
                return


async def noted(messages: AsyncIterator[WatchMessage], told: list[str]) -> None:
    """Note the tokens of all that follows."""
    async for message in messages:
        told += [message.snap_token]


def revisions(last: int) -> list[str]:
    return [str(number) for number in range(1, last + 1)]


async def all_begun(service: Service, count: int) -> None:
    await until(lambda: service.source.open == count)


async def test_many_watchers_of_a_node_are_told_on_one_stream() -> None:
    told: list[list[str]] = [[] for _ in range(WATCHERS)]
    async with service() as one, node(one.address) as proxy:
        async with asyncio.TaskGroup() as group:
            for each in told:
                group.create_task(follow(proxy, each, 50))
            await all_begun(one, WATCHERS)
            for number in range(50):
                one.source.say()
                if number % 7 == 0:
                    await asyncio.sleep(0)
        await until(lambda: one.source.open == 0)
    assert all(each == revisions(50) for each in told)


async def test_watchers_of_a_service_that_is_cut_off_go_on_at_another() -> None:
    told: list[list[str]] = [[] for _ in range(50)]
    async with service() as first, service() as second:
        second.source.messages = first.source.messages
        async with (
            node(first.address, second.address) as proxy,
            asyncio.TaskGroup() as group,
        ):
            for each in told:
                group.create_task(follow(proxy, each, 40))
            await until(lambda: first.source.open + second.source.open == 50)
            for _ in range(20):
                first.source.say()
            second.source.wake()
            await until(lambda: len(told[0]) > 3)
            await first.server.stop(None)
            await all_begun(second, 50)
            for _ in range(20):
                second.source.say()
    assert all(each == revisions(40) for each in told)


async def test_one_that_does_not_read_holds_up_nobody_and_is_cut() -> None:
    told: list[str] = []
    limits = RelayLimits(stall_s_max=3.0)
    async with service(limits) as one, node(one.address) as proxy:
        request = service_pb2.WatchRequest(tenant_id="t1", snap_token="0")
        async with asyncio.timeout(60), aclosing(proxy.watch(request)) as stalled:
            await anext(stalled)
            async with asyncio.TaskGroup() as group:
                group.create_task(follow(proxy, told, 40))
                await all_begun(one, 2)
                for _ in range(40):
                    one.source.say(100_000)
            await all_begun(one, 0)
            heard = list[str]()
            with pytest.raises(SlowReaderError) as caught:
                await noted(stalled, heard)
    assert told == revisions(40)
    assert heard == revisions(len(heard))
    assert 0 < len(heard) < 10  # what its credit was for
    assert caught.value.facts == {"snap_token": heard[-1]}


async def test_one_that_reads_gets_credit_for_more() -> None:
    told: list[str] = []
    async with service() as one, node(one.address) as proxy:
        for _ in range(30):
            one.source.say(100_000)
        await follow(proxy, told, 30)
    assert told == revisions(30)


async def test_an_older_service_is_asked_with_a_call_for_each() -> None:
    source = Source()
    told: list[list[str]] = [[] for _ in range(3)]
    calls = Calls({}, {METHOD: OfNow(source)}, timeout_s=30)
    async with watch_door(calls, relays=False) as address, node(address) as proxy:
        for _ in range(5):
            source.say()
        for each in told:
            await follow(proxy, each, 5)
    assert all(each == revisions(5) for each in told)


async def test_a_service_that_is_told_to_stop_ends_its_streams_when_all_is_told() -> None:
    told: list[str] = []
    async with service() as first, service() as second:
        second.source.messages = first.source.messages
        async with node(first.address, second.address) as proxy, asyncio.TaskGroup() as group:
            group.create_task(follow(proxy, told, 3))
            await all_begun(first, 1)
            first.source.say()
            first.relay.close()
            first.source.end(UnavailableError("this node is shutting down"))
            async with asyncio.timeout(60):
                await first.server.stop(60)
            await all_begun(second, 1)
            second.source.say()
            second.source.say()
    assert told == revisions(3)


async def test_a_stream_without_watchers_ends_with_its_service_too() -> None:
    told: list[str] = []
    async with service() as one, node(one.address) as proxy:
        one.source.say()
        await follow(proxy, told, 1)
        await all_begun(one, 0)
        one.relay.close()
        async with asyncio.timeout(60):
            await one.server.stop(60)


async def test_more_nodes_than_may_are_refused_with_why() -> None:
    async with service(RelayLimits(nodes_max=1)) as one, AsyncExitStack() as stack:
        told: list[str] = []
        one.source.say()
        proxy = await stack.enter_async_context(node(one.address))
        await follow(proxy, told, 1)
        other = await stack.enter_async_context(node(one.address))
        with pytest.raises(LimitError) as caught:
            await follow(other, told, 1)
    assert "1 nodes have their watchers answered here" in caught.value.explanation


async def refused(address: str, *asked: pb.Asked) -> aio.AioRpcError:
    """How a stream ends on which this is said."""
    async with asyncio.timeout(60), aio.insecure_channel(address) as channel:
        call = RelayStub(channel).Watch()
        for each in asked:
            await call.write(each)
        with pytest.raises(aio.AioRpcError) as caught:
            await call.read()  # nothing is told before
        return caught.value


async def test_a_node_that_uses_a_number_again_is_refused() -> None:
    begin = pb.Begin(watcher=1, tenant_id="t1")  # without credit
    async with service() as one:
        error = await refused(one.address, pb.Asked(begins=[begin]), pb.Asked(begins=[begin]))
        told = call_ended(error)
        assert isinstance(told, InvalidInputError)
        assert told.explanation == "a watcher's number is used again"
        await all_begun(one, 0)


class Mute(RelayServicer):
    """A service that stands still: it takes streams and says nothing."""

    def __init__(self) -> None:
        self.taken = 0
        self.open = 0

    async def Watch(self, request_iterator, context) -> None:  # noqa: N802 - the proto's name
        del request_iterator, context
        self.taken += 1
        self.open += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.open -= 1


async def test_a_stream_on_which_nothing_is_said_is_given_up_for_all_its_watchers() -> None:
    told: list[list[str]] = [[] for _ in range(20)]
    mute, server = Mute(), aio.server()
    add_RelayServicer_to_server(mute, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    limits = ProxyLimits(heartbeat_s=20.0, answer_s_max=2.0, patience_s_max=60.0)
    try:
        async with (
            service() as one,
            node(f"127.0.0.1:{port}", one.address, limits=limits) as proxy,
        ):
            async with asyncio.TaskGroup() as group:
                for each in told:
                    group.create_task(follow(proxy, each, 2))
                await all_begun(one, 20)
                one.source.say()
                one.source.say()
            await until(lambda: mute.open == 0)
    finally:
        await server.stop(None)
    assert all(each == revisions(2) for each in told)
    assert mute.taken >= 1


async def test_a_watcher_that_ends_for_good_does_not_end_the_others() -> None:
    told: list[str] = []
    async with service() as one, node(one.address) as proxy, asyncio.TaskGroup() as group:
        group.create_task(follow(proxy, told, 2))
        await all_begun(one, 1)
        request = service_pb2.WatchRequest(tenant_id="no tenant")
        async with aclosing(proxy.watch(request)) as messages:
            with pytest.raises(InvalidInputError):
                await anext(messages)
        one.source.say()
        one.source.say()
    assert told == ["1", "2"]
