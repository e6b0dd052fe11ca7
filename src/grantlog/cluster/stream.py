"""The asking side: one stream to another node, on which questions are batched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any, Final, TypeAlias

import structlog
from grpc import StatusCode, aio

from grantlog.background import background_tasks
from grantlog.cluster.opening import NOT_PROVEN, Credentials
from grantlog.ports.ring import FactQuestion, FactReply, Refusal
from grantlog.ring.v1 import service_pb2 as pb
from grantlog.ring.v1 import service_pb2_grpc
from grantlog.wire.ring import fill_question, reply_from_wire

_LOG: Final = structlog.get_logger("grantlog.ring")

MESSAGE_BYTES_MAX: Final = 16 * 1024 * 1024

CHANNEL_OPTIONS: Final[tuple[tuple[str, Any], ...]] = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),  # a new channel is a new connection
    # A node that hangs, or a network that swallows, is found out without questions.
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.http2.max_pings_without_data", 0),
)

_Call: TypeAlias = "aio.StreamStreamCall[pb.Asked, pb.Told]"


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """The bounds of a stream; times in seconds."""

    open_s_max: float = 2.0
    """For connecting and proving."""
    timeout_s: float = 1.0
    """So long the other node may work on a question."""
    stall_s: float = 0.25
    """A node that has not answered a question for so long is asked no more before it does."""
    unanswered_max: int = 1_024
    """Questions that are out."""
    batch_max: int = 256
    """Questions of one message,"""
    batch_keys_max: int = 4_096
    """and keys: with the longest names and ids about 4 MiB, which `MESSAGE_BYTES_MAX` allows."""
    again_s: float = 0.1
    """Between attempts to connect; doubled with each one,"""
    again_s_max: float = 2.0
    """up to this."""


class _EndedError(Exception):
    """The stream ended, or was refused; the text says why."""


class _StrangeError(_EndedError):
    """The other node serves another log."""


@dataclass(slots=True)
class _Out:
    """A question that is out."""

    question: FactQuestion
    reply: asyncio.Future[FactReply | Refusal]
    since: float


class OwnerStream:
    """Another node: the port `Owner`. It is connected while `run` runs.

    Args:
        address: `host:port`.
        credentials: what this node proves itself by.
        rng: spreads attempts to connect.
        limits: the bounds.
        clock: seconds of the event loop.
    """

    def __init__(
        self,
        address: str,
        credentials: Credentials,
        rng: Random,
        limits: StreamLimits,
        clock: Callable[[], float],
    ) -> None:
        self.address = address
        self._credentials = credentials
        self._rng = rng
        self._limits = limits
        self._clock = clock
        self._numbers = count(1)
        self._waiting: list[int] = []
        self._has_waiting = asyncio.Event()
        self._out: dict[int, _Out] = {}
        self._is_open = False

    @property
    def may_be_asked(self) -> bool:
        """Whether a stream stands, and the node answers on it in time."""
        if not self._is_open:
            return False
        oldest = next(iter(self._out.values()), None)
        return oldest is None or self._clock() - oldest.since < self._limits.stall_s

    def ask(self, question: FactQuestion) -> asyncio.Future[FactReply | Refusal]:
        """Ask; the future is done when the node has answered or cannot any more."""
        reply: asyncio.Future[FactReply | Refusal] = asyncio.get_running_loop().create_future()
        if not self._is_open:
            reply.set_result(Refusal.GONE)
        elif len(self._out) >= self._limits.unanswered_max:
            reply.set_result(Refusal.BUSY)
        else:
            number = next(self._numbers)
            self._out[number] = _Out(question, reply, self._clock())
            self._waiting.append(number)
            self._has_waiting.set()
        return reply

    async def run(self) -> None:
        """Keep a stream to the node until cancelled."""
        pause, told = self._limits.again_s, ""
        while True:
            try:
                await self._converse()
            except (_EndedError, aio.AioRpcError, asyncio.InvalidStateError, TimeoutError) as error:
                because = _in_words(error)
                if because != told:  # not at every attempt
                    say = _LOG.warning if _is_strange(error) else _LOG.info
                    say("another node is not asked", node=self.address, because=because)
                told = because
            pause = (
                self._limits.again_s if self._is_open else min(2 * pause, self._limits.again_s_max)
            )
            self._end()
            await asyncio.sleep(pause * self._rng.uniform(0.5, 1.0))

    async def _converse(self) -> None:
        async with aio.insecure_channel(self.address, options=CHANNEL_OPTIONS) as channel:
            call: _Call = service_pb2_grpc.RingStub(channel).Ask()
            async with asyncio.timeout(self._limits.open_s_max):
                await self._open(call)
            self._is_open = True
            _LOG.info("another node is asked", node=self.address)
            async with background_tasks() as group:
                sending = group.create_task(self._send(call), name=f"asks {self.address}")
                try:
                    await self._receive(call)
                finally:
                    sending.cancel()

    async def _open(self, call: _Call) -> None:
        """Prove who asks, and have the other node prove itself."""
        mine = self._credentials.nonce()
        theirs = (await _read(call)).challenge.nonce
        proof = self._credentials.asker(theirs, mine)
        await call.write(pb.Asked(opening=pb.Opening(nonce=mine, proof=proof)))
        welcome = (await _read(call)).welcome
        if not self._credentials.admits_asked(welcome.proof, theirs, mine):
            call.cancel()
            raise _StrangeError(f"it {NOT_PROVEN}")

    async def _send(self, call: _Call) -> None:
        """Send what waits, all that there is at once; a failure is told by what is received."""
        while True:
            await self._has_waiting.wait()
            asked = pb.Asked()
            for number, out in self._next_batch():
                message = asked.questions.questions.add()
                fill_question(message, number, out.question, timeout_s=self._limits.timeout_s)
            try:
                await call.write(asked)
            except (aio.AioRpcError, asyncio.InvalidStateError):
                return

    def _next_batch(self) -> list[tuple[int, _Out]]:
        """What goes into the next message, in order; what is not there any more is left out."""
        batch: list[tuple[int, _Out]] = []
        room, taken = self._limits.batch_keys_max, 0
        for number in self._waiting[: self._limits.batch_max]:
            out = self._out.get(number)  # None: the other node answers what it was not asked
            if out is not None:
                room -= len(out.question.keys)
                if room < 0 and batch:
                    break
                batch.append((number, out))
            taken += 1
        del self._waiting[:taken]
        if not self._waiting:
            self._has_waiting.clear()
        return batch

    async def _receive(self, call: _Call) -> None:
        while True:
            for answer in (await _read(call)).answers.answers:
                out = self._out.pop(answer.id, None)
                if out is not None and not out.reply.done():
                    out.reply.set_result(reply_from_wire(answer, out.question))

    def _end(self) -> None:
        """Nothing that is out is answered any more."""
        self._is_open = False
        self._waiting.clear()
        self._has_waiting.clear()
        gone, self._out = self._out, {}
        for out in gone.values():
            if not out.reply.done():
                out.reply.set_result(Refusal.GONE)

    def close(self) -> None:
        """As if the stream had ended, once `run` does not run any more."""
        self._end()


async def _read(call: _Call) -> pb.Told:
    told = await call.read()
    if not isinstance(told, pb.Told):
        raise _EndedError(await call.details() or "it ended the stream")
    return told


def _is_strange(error: Exception) -> bool:
    """Whether one of the two nodes does not take the other for one of its own."""
    if isinstance(error, aio.AioRpcError):
        return error.code() is StatusCode.UNAUTHENTICATED
    return isinstance(error, _StrangeError)


def _in_words(error: Exception) -> str:
    if isinstance(error, aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return str(error) or type(error).__name__
