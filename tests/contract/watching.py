"""Watches over a primary's log, as a process runs them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from grantlog_api.watch_asking import ProxyLimits
from grantlog_api.watch_proxy import CHANNEL_OPTIONS, WatchProxy
from grantlog_watch.relaying import RelayLimits, RelayService
from grpc import aio

from grantlog.api.v1 import base_pb2, service_pb2
from grantlog.app.known import KnownHeads
from grantlog.app.resolve import Resolver
from grantlog.app.terms import Consistency, OfNow
from grantlog.app.watch import Told, Watch, WatchFilter
from grantlog.app.watch_hub import WatchHub, WatchLimits
from grantlog.errors import (
    GrantlogError,
)
from grantlog.model.change import AttributeChange, Change, DataWritten, Operation, TupleChange
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.model.token import SnapToken, decode_token, encode_token
from grantlog.model.tuples import Subject
from grantlog.ports.heads import Head
from grantlog.ports.log import TenantLog
from grantlog.serving import grpc_door
from grantlog.serving.calls import Calls
from grantlog.serving.health import HealthProbe
from grantlog.serving.metadata import set_request_metadata
from grantlog.serving.watching import (
    ENTITY_TYPES,
    METADATA_PREFIX,
    METHOD,
    RELATIONS,
    SUBJECTS,
    WatchHandlers,
)
from grantlog.testing.contracts.places import ACME, Primary
from grantlog.watch.v1.service_pb2_grpc import add_RelayServicer_to_server
from grantlog.wire import convert
from grantlog.wire.transcode import ROUTES

QUICK = WatchLimits(heartbeat_s=0.1, poll_s=0.05, transactions_max=8, page_changes_max=4)
EVERYTHING = WatchFilter()


@dataclass
class Watcher:
    """One watch, and all that it heard."""

    messages: AsyncGenerator[Told]
    heard: list[Told] = field(default_factory=list[Told])

    async def until_revision(self, revision: int) -> list[Told]:
        """Listen until a message stands at the revision or behind it."""
        async with asyncio.timeout(60):
            async for told in self.messages:
                self.heard.append(told)
                if place(told).revision >= revision:
                    break
        return self.heard

    async def failure(self) -> GrantlogError:
        """Listen until it fails."""
        async with asyncio.timeout(60):
            with pytest.raises(GrantlogError) as caught:
                await self._all()
        return caught.value

    async def _all(self) -> None:
        async for told in self.messages:
            self.heard.append(told)

    def changes(self) -> list[tuple[Change, ...]]:
        """What was told of changes, a revision each."""
        return [told.changes for told in self.heard if told.changes]


def place(told: Told) -> SnapToken:
    """Where a message stands."""
    return decode_token(ACME, told.snap_token)


def token(revision: int, epoch: int = 1) -> str:
    """The token of a revision."""
    return encode_token(ACME, SnapToken(Epoch(epoch), Revision(revision)))


class Station:
    """A hub that runs, and watches over it."""

    def __init__(self, primary: Primary, limits: WatchLimits, log: TenantLog | None = None) -> None:
        source = log or primary.archive or primary.log
        self.hub = WatchHub(log or primary.hub_log or primary.log, limits)
        self.known = KnownHeads()
        resolver = Resolver(primary.heads, primary.past, self.known, Consistency.HEAD)
        clock = asyncio.get_running_loop().time
        self.watch = Watch(resolver, source, self.hub, limits, clock)

    def believe(self, tenant: TenantId, head: Head) -> None:
        """Know a head, whatever the primary says."""
        self.known.forget(tenant)
        self.known.learn(tenant, head, self.known.now())

    @asynccontextmanager
    async def watcher(
        self, snap_token: str = "", where: WatchFilter = EVERYTHING
    ) -> AsyncGenerator[Watcher]:
        """A watch for the block."""
        messages = self.watch(ACME, snap_token=snap_token, where=where)
        async with aclosing(messages):
            yield Watcher(messages)


class RelayedStation(Station):
    """The same behind a watch service's door, as an API node's proxy hears it."""

    proxy: WatchProxy

    @asynccontextmanager
    async def watcher(
        self, snap_token: str = "", where: WatchFilter = EVERYTHING
    ) -> AsyncGenerator[Watcher]:
        """A watch for the block, with a call of its own."""
        messages = self._told(snap_token, where)
        async with aclosing(messages):
            yield Watcher(messages)

    async def _told(self, snap_token: str, where: WatchFilter) -> AsyncGenerator[Told]:
        set_request_metadata(metadata_of(where))
        request = service_pb2.WatchRequest(tenant_id=ACME, snap_token=snap_token)
        before = snap_token
        async with aclosing(self.proxy.watch(request)) as messages:
            async for message in messages:
                changes = tuple(map(change_of, message.changes.data_changes))
                yield Told(message.changes.snap_token, before, changes)
                before = message.changes.snap_token


def metadata_of(where: WatchFilter) -> list[tuple[str, str]]:
    """How a caller says this filter."""
    subjects = [
        str(Subject(each.type, each.id, each.relation)) if each.id else each.type
        for each in where.subjects
    ]
    lists = {
        ENTITY_TYPES: sorted(where.entity_types),
        RELATIONS: sorted(where.relations),
        SUBJECTS: subjects,
    }
    return [(METADATA_PREFIX + name, ",".join(values)) for name, values in lists.items() if values]


def change_of(message: base_pb2.DataChange) -> Change:
    """A change as the log has it."""
    operation = Operation(message.operation)
    if message.HasField("tuple"):
        return TupleChange(operation, convert.relation_tuple(message.tuple))
    return AttributeChange(operation, convert.attribute(message.attribute))


@asynccontextmanager
async def station(
    primary: Primary,
    limits: WatchLimits = QUICK,
    log: TenantLog | None = None,
    *,
    relayed: bool = False,
) -> AsyncGenerator[Station]:
    """A station for the block; relayed: its watchers are an API node's, behind a service."""
    opened = (RelayedStation if relayed else Station)(primary, limits, log)
    async with asyncio.TaskGroup() as group, AsyncExitStack() as stack:
        following = group.create_task(opened.hub.run())
        stack.callback(following.cancel)
        if isinstance(opened, RelayedStation):
            address = await stack.enter_async_context(service(opened.watch))
            opened.proxy = await stack.enter_async_context(proxy_of(address, limits))
        yield opened


@asynccontextmanager
async def proxy_of(address: str, limits: WatchLimits) -> AsyncGenerator[WatchProxy]:
    """What an API node asks a watch service with, for the block.

    However slow the service is, it is waited for; one that says that it ends is not.
    """
    patient = ProxyLimits(limits.heartbeat_s, answer_s_max=60.0, patience_s_max=0.5)
    async with aio.insecure_channel(address, options=list(CHANNEL_OPTIONS)) as channel:
        proxy = WatchProxy([channel], patient)
        try:
            yield proxy
        finally:
            await proxy.leave()


@asynccontextmanager
async def service(watch: Watch) -> AsyncGenerator[str]:
    """A watch service's door in this process, for the block; its address."""
    calls = Calls({}, {METHOD: OfNow(WatchHandlers(watch).watch)}, timeout_s=30)
    async with watch_door(calls) as address:
        yield address


@asynccontextmanager
async def watch_door(calls: Calls, *, relays: bool = True) -> AsyncGenerator[str]:
    """The door of a watch service over some calls, for the block; its address.

    One that does not relay is of an older version.
    """

    async def trouble() -> str:
        return ""

    server = grpc_door.build_server("grpcio")
    routes = [route for route in ROUTES if route.full_method == METHOD]
    grpc_door.add_services(server, calls, HealthProbe(trouble), routes=routes)
    if relays:
        add_RelayServicer_to_server(RelayService(calls, RelayLimits()), server)
    port = grpc_door.bind(server, "127.0.0.1", 0)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def data_of(primary: Primary) -> list[tuple[Change, ...]]:
    """The changes of every data revision in the log."""
    bodies = [transaction.body for transaction in await primary.history()]
    return [body.changes for body in bodies if isinstance(body, DataWritten)]
