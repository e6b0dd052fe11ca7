"""Watching through watch services: this node's watchers are answered by one of them each.

A watcher whose service goes away is taken to another one, from the token that it was told last: the
next message is the one that would have come. Nothing is kept here but that token, and what the
watcher has not taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from grpc import aio

from grantlog.api.v1 import service_pb2
from grantlog.errors import GrantlogError, UnavailableError
from grantlog.serving.metadata import request_metadata
from grantlog.serving.watch_message import RELAYED_BYTES_MAX, WatchMessage
from grantlog.serving.watching import (
    FILTERS,
    HEARTBEAT,
    HEARTBEAT_S_MIN,
    METADATA_PREFIX,
    heartbeat_s,
    watch_filter,
)
from grantlog_api.watch_asking import Asking, Calls, Metadata, ProxyLimits
from grantlog_api.watch_place import GoneError, Heard, Search
from grantlog_api.watch_relay import Relay

CHANNEL_OPTIONS: Final[tuple[tuple[str, Any], ...]] = (
    ("grpc.max_receive_message_length", RELAYED_BYTES_MAX),
    ("grpc.lb_policy_name", "round_robin"),  # of a name with many addresses, all are used
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_retries", 0),  # a stream is taken up again here
)
_PAUSE_S: Final = 0.1


class _Service:
    """One watch service, asked in the way that it knows."""

    def __init__(self, channel: aio.Channel, limits: ProxyLimits) -> None:
        self._calls = Calls(channel, limits)
        self.relay = Relay(channel, limits)

    def ask(self, request: service_pb2.WatchRequest, metadata: Metadata) -> Asking:
        """Begin to watch."""
        way = self.relay if self.relay.is_known else self._calls
        return way.ask(request, metadata)


class WatchProxy:
    """Answers watchers by asking watch services; what it says is what they say."""

    def __init__(self, channels: Sequence[aio.Channel], limits: ProxyLimits) -> None:
        """`channels` lead to the services, at least one."""
        self._services = [_Service(channel, limits) for channel in channels]
        self._limits = limits
        self._next = 0
        self._open: set[Asking] = set()
        self._closed = False

    def close(self) -> None:
        """End all watchers, those included that come later: the process is going to stop."""
        self._closed = True
        for asking in self._open:
            asking.end(_shutting_down())

    async def leave(self) -> None:
        """End the streams to the services."""
        for service in self._services:
            await service.relay.close()

    async def watch(self, request: service_pb2.WatchRequest) -> AsyncGenerator[WatchMessage]:
        """base.v1.Watch/Watch, filtered as the request's metadata say.

        Raises:
            GrantlogError: what a service ended it with.
            UnavailableError: no service answers; or one went away in the middle of a revision,
                which comes again whole to whoever goes on from `snap_token`.
        """
        metadata = self._metadata()
        heard = Heard(request.snap_token)
        search = Search(asyncio.get_running_loop().time, self._limits.patience_s_max)
        while True:
            if self._closed:
                raise heard.with_token(_shutting_down())
            asking = self._ask(request.tenant_id, heard.token, metadata)
            try:
                while True:
                    message = await asking.next()
                    if search.resumed and heard.says_nothing(message):
                        search.answered()
                        continue
                    search.over()
                    heard.note(message)
                    yield message
            except GoneError as gone:
                search.failed(gone)
                full = search.refusals >= len(self._services)
                if heard.within or full or search.late or self._closed:
                    told = gone.told or UnavailableError("no watch service answers")
                    raise heard.with_token(told) from gone
            except GrantlogError as error:
                raise heard.with_token(error) from error
            finally:
                self._open.discard(asking)
                asking.close()
            search.resumed = heard.begun
            await asyncio.sleep(_PAUSE_S)

    def _metadata(self) -> Metadata:
        """What goes along with the call to a service: the filters, and how often it is to beat.

        Raises:
            InvalidInputError: the caller's filters are wrong.
        """
        said = request_metadata()
        watch_filter(said)
        names = [METADATA_PREFIX + name for name in FILTERS]
        own = self._limits.heartbeat_s
        beat = max(HEARTBEAT_S_MIN, min(heartbeat_s(said) or own, own))
        filters = [(name, said[name]) for name in names if name in said]
        return (*filters, (METADATA_PREFIX + HEARTBEAT, repr(beat)))

    def _ask(self, tenant: str, token: str, metadata: Metadata) -> Asking:
        """Begin to watch at the next service in turn."""
        service = self._services[self._next % len(self._services)]
        self._next += 1
        request = service_pb2.WatchRequest(tenant_id=tenant, snap_token=token)
        asking = service.ask(request, metadata)
        self._open.add(asking)
        return asking


def _shutting_down() -> UnavailableError:
    return UnavailableError("this node is shutting down")


@asynccontextmanager
async def open_proxy(
    addresses: Sequence[str], *, heartbeat_s: float, timeout_s: float
) -> AsyncGenerator[WatchProxy]:
    """Watching through the services at some addresses, for the block.

    Args:
        addresses: `host:port` of each.
        heartbeat_s: a watcher hears so often where it stands.
        timeout_s: a watcher that hears nothing for so long is cut, so everything here is quicker.
    """
    limits = ProxyLimits(
        heartbeat_s, answer_s_max=min(5.0, timeout_s / 6), patience_s_max=min(3.0, timeout_s / 6)
    )
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(
                aio.insecure_channel(address, options=list(CHANNEL_OPTIONS))
            )
            for address in addresses
        ]
        proxy = WatchProxy(channels, limits)
        try:
            yield proxy
        finally:
            await proxy.leave()
