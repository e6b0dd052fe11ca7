"""Watching through watch services: this node's watchers are answered by one of them each.

A watcher whose service goes away is taken to another one, from the token that it was told last: the
next message is the one that would have come. Nothing is kept here but that token. A message is
asked for when the one before has been taken, so a slow watcher is felt where its buffer is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import structlog
from grpc import aio

from grantlog.api.v1 import service_pb2
from grantlog.errors import GrantlogError, LimitError, UnavailableError
from grantlog.serving.grpc_door import MESSAGE_BYTES_MAX
from grantlog.serving.metadata import request_metadata
from grantlog.serving.watching import (
    FILTERS,
    HEARTBEAT,
    HEARTBEAT_S_MIN,
    METADATA_PREFIX,
    METHOD,
    heartbeat_s,
    watch_filter,
)
from grantlog.wire.status import Code, error_of

_LOG: Final = structlog.get_logger("grantlog.watch")

CHANNEL_OPTIONS: Final[tuple[tuple[str, Any], ...]] = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.lb_policy_name", "round_robin"),  # of a name with many addresses, all are used
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_retries", 0),  # a stream is taken up again here
)
_PAUSE_S: Final = 0.1
_NOT_OURS: Final = frozenset(
    {Code.UNAVAILABLE, Code.UNKNOWN, Code.CANCELLED, Code.INTERNAL, Code.DEADLINE_EXCEEDED}
)
"""Codes that the transport makes when a connection breaks."""


@dataclass(frozen=True, slots=True)
class ProxyLimits:
    """The bounds of watching through services, in seconds."""

    heartbeat_s: float
    """A watcher hears so often where it stands."""
    answer_s_max: float = 5.0
    """A service that says nothing at all for so long is given up."""
    patience_s_max: float = 3.0
    """A watcher without a service is told so after this."""

    @property
    def silence_s_max(self) -> float:
        """A service that was heard and says nothing for so long is given up: it beats."""
        return max(1.5 * self.heartbeat_s, self.heartbeat_s + 2.0)


class _GoneError(Exception):
    """The service does not answer, or not any more; `told` is what it said about it."""

    def __init__(self, because: str, told: GrantlogError | None = None) -> None:
        super().__init__(because)
        self.told = told


@dataclass(slots=True)
class _Heard:
    """What a watcher has been told."""

    token: str
    """Watching again from it goes on behind it."""
    begun: bool = False
    """Something was told."""
    within: bool = False
    """The last message was a part of a revision: from the token, that one comes again whole."""

    def note(self, message: service_pb2.WatchResponse) -> None:
        token = message.changes.snap_token
        self.within = bool(message.changes.data_changes) and token == self.token
        self.token = token
        self.begun = True

    def says_nothing(self, message: service_pb2.WatchResponse) -> bool:
        """Whether a message tells what is known."""
        return not message.changes.data_changes and message.changes.snap_token == self.token

    def with_token(self, error: GrantlogError) -> GrantlogError:
        """An error that names the token to go on from, if it did not and something was told."""
        if not self.begun or "snap_token" in error.facts or not isinstance(error, _RESUMABLE):
            return error
        told = (
            f"{error.explanation}; all was told up to the snap token {self.token}, watch from there"
        )
        facts = {**error.facts, "snap_token": self.token}
        return type(error)(told, reason=error.reason, facts=facts)


class _Search:
    """For how long a watcher has been without a service that tells it something."""

    def __init__(self, clock: Callable[[], float], patience_s_max: float) -> None:
        self._clock = clock
        self._patience_s_max = patience_s_max
        self._since: float | None = clock()
        self._answered_at: float | None = None
        self.resumed = False
        """The next message is the first of another service."""
        self.refusals = 0
        """Services in a row that had no room."""

    def answered(self) -> None:
        """A service let the watcher in. One that is about to end does that too."""
        self.resumed = False
        self.refusals = 0
        self._answered_at = self._clock()

    def over(self) -> None:
        """A service told something."""
        self._since, self._answered_at, self.refusals, self.resumed = None, None, 0, False

    def failed(self, gone: _GoneError) -> None:
        """A service is gone."""
        now, answered_at = self._clock(), self._answered_at
        if answered_at is not None and now - answered_at >= self._patience_s_max:
            self._since = None  # it held for long, with nothing to tell
        self._answered_at = None
        self.refusals += isinstance(gone.told, LimitError)
        if self._since is None:
            self._since = now
            _LOG.info("a watcher looks for another service", because=str(gone))

    @property
    def late(self) -> bool:
        """Whether the watcher is to be told."""
        return self._since is not None and self._clock() - self._since >= self._patience_s_max


_RESUMABLE: Final = (UnavailableError, LimitError)


class WatchProxy:
    """Answers watchers by asking watch services; what it says is what they say."""

    def __init__(self, channels: Sequence[aio.Channel], limits: ProxyLimits) -> None:
        """`channels` lead to the services, at least one."""
        self._stubs = [
            channel.unary_stream(
                METHOD,
                request_serializer=service_pb2.WatchRequest.SerializeToString,
                response_deserializer=service_pb2.WatchResponse.FromString,
            )
            for channel in channels
        ]
        self._limits = limits
        self._next = 0
        self._open: set[Any] = set()
        self._closed = False

    def close(self) -> None:
        """End all watchers, those included that come later: the process is going to stop."""
        self._closed = True
        for call in self._open:
            call.cancel()

    async def watch(
        self, request: service_pb2.WatchRequest
    ) -> AsyncGenerator[service_pb2.WatchResponse]:
        """base.v1.Watch/Watch, filtered as the request's metadata say.

        Raises:
            GrantlogError: what a service ended it with.
            UnavailableError: no service answers; or one went away in the middle of a revision,
                which comes again whole to whoever goes on from `snap_token`.
        """
        metadata = self._metadata()
        heard = _Heard(request.snap_token)
        search = _Search(asyncio.get_running_loop().time, self._limits.patience_s_max)
        while True:
            try:
                async with aclosing(self._ask(request.tenant_id, heard.token, metadata)) as said:
                    async for message in said:
                        if search.resumed and heard.says_nothing(message):
                            search.answered()
                            continue
                        search.over()
                        heard.note(message)
                        yield message
            except _GoneError as gone:
                search.failed(gone)
                full = search.refusals >= len(self._stubs)
                if heard.within or full or search.late or self._closed:
                    told = gone.told or UnavailableError("no watch service answers")
                    raise heard.with_token(told) from gone
            except GrantlogError as error:
                raise heard.with_token(error) from error
            search.resumed = heard.begun
            await asyncio.sleep(_PAUSE_S)

    def _metadata(self) -> tuple[tuple[str, str], ...]:
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

    async def _ask(
        self, tenant: str, token: str, metadata: tuple[tuple[str, str], ...]
    ) -> AsyncGenerator[service_pb2.WatchResponse]:
        """What the next service in turn says.

        Raises:
            GrantlogError: what it ended the stream with, for the watcher to hear.
            _GoneError: another service may do better.
        """
        if self._closed:
            raise UnavailableError("this node is shutting down")
        stub = self._stubs[self._next % len(self._stubs)]
        self._next += 1
        request = service_pb2.WatchRequest(tenant_id=tenant, snap_token=token)
        call = stub(request, metadata=metadata)
        messages = aiter(call)
        self._open.add(call)
        silence_s_max = self._limits.answer_s_max
        try:
            while True:
                async with asyncio.timeout(silence_s_max):
                    message = await anext(messages, None)
                if message is None:
                    raise _GoneError("it ended the stream")
                yield message
                silence_s_max = self._limits.silence_s_max
        except TimeoutError as error:
            raise _GoneError(f"it said nothing for {silence_s_max:g} seconds") from error
        except aio.AioRpcError as error:
            raise _ended(error) from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if not self._closed or (task is not None and task.cancelling()):
                raise
            raise UnavailableError("this node is shutting down") from error
        finally:
            self._open.discard(call)
            call.cancel()


def _ended(error: aio.AioRpcError) -> Exception:
    """What a call's failure is to the watcher: the service's word, or a reason to ask another."""
    trailers = dict(error.trailing_metadata() or ())
    details = trailers.get("grpc-status-details-bin")
    code = Code(error.code().value[0])
    text = error.details() or ""
    told = error_of(code, text, details if isinstance(details, bytes) else None)
    if told is None:
        if code not in _NOT_OURS:
            _LOG.error("a watch service answers otherwise", code=code.name, said=text)
        return _GoneError(f"{code.name} {text}".strip())
    if isinstance(told, UnavailableError) or told.reason == LimitError.default_reason:
        return _GoneError(told.explanation, told)
    return told


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
        yield WatchProxy(channels, limits)
