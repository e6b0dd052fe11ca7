"""The asked side: answers other nodes' questions, so many at a time, and refuses what is more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import grpc
from grpc import aio

from grantlog.background import background_tasks
from grantlog.cluster.counts import RingCounts
from grantlog.cluster.opening import NOT_PROVEN, Credentials
from grantlog.cluster.stream import MESSAGE_BYTES_MAX
from grantlog.errors import CorruptionError, GrantlogError, PreconditionError
from grantlog.ports.ring import FactQuestion, FactReply, Refusal
from grantlog.ring.v1 import service_pb2 as pb
from grantlog.ring.v1 import service_pb2_grpc
from grantlog.wire.ring import Numbered, fill_reply, question_from_wire

_Context: TypeAlias = "aio.ServicerContext[pb.Asked, pb.Told]"
Answer: TypeAlias = "Callable[[FactQuestion], Awaitable[FactReply]]"

_SERVER_OPTIONS: Final[tuple[tuple[str, Any], ...]] = (
    ("grpc.so_reuseport", 0),  # another process on the port is an error
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    # Askers look whether this node still lives, also while they ask nothing.
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """The bounds of what other nodes may ask; times in seconds."""

    open_s_max: float = 2.0
    """For proving who asks."""
    timeout_s_max: float = 5.0
    """A question is worked on no longer, whatever it says."""
    questions_max: int = 1_024
    """Of one stream, at a time."""
    streams_max: int = 1_024
    """Of all nodes, those that have proven nothing yet included."""
    answer_bytes_max: int = MESSAGE_BYTES_MAX // 4
    """Of one answer."""
    batch_bytes: int = 1024 * 1024
    """A message with so many bytes of answers takes no more."""


class AnswerService(service_pb2_grpc.RingServicer):
    """The service `grantlog.ring.v1.Ring`.

    Args:
        answer: the use case.
        credentials: what nodes of this log prove themselves by.
        counts: what is counted.
        limits: the bounds.
    """

    def __init__(
        self, answer: Answer, credentials: Credentials, counts: RingCounts, limits: AnswerLimits
    ) -> None:
        self._answer = answer
        self._credentials = credentials
        self._counts = counts
        self.limits = limits

    # It reads and writes the stream as it likes, which the generated class's types do not know.
    async def Ask(  # noqa: N802 - the proto's name  # pyright: ignore[reportIncompatibleMethodOverride]
        self, request_iterator: object, context: _Context
    ) -> None:
        """Admit a node of this log, and answer it until it goes."""
        del request_iterator
        try:
            async with asyncio.timeout(self.limits.open_s_max):
                is_admitted = await self._admitted(context)
        except TimeoutError:
            is_admitted = False
        if not is_admitted:
            self._counts.streams_refused += 1
            text = f"the asker {NOT_PROVEN}"
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, text)
        await _Conversation(self._answer, context, self._counts, self.limits).run()

    async def _admitted(self, context: _Context) -> bool:
        mine = self._credentials.nonce()
        await context.write(pb.Told(challenge=pb.Challenge(nonce=mine)))
        asked = await _heard(context)
        if not isinstance(asked, pb.Asked):
            return False
        opening = asked.opening
        if not self._credentials.admits_asker(opening.proof, mine, opening.nonce):
            return False
        proof = self._credentials.asked(mine, opening.nonce)
        await context.write(pb.Told(welcome=pb.Welcome(proof=proof)))
        return True


async def _heard(context: _Context) -> object:
    """The next message of a stream, or what says that none will come."""
    return await context.read()


class _Conversation:
    """One stream, once it is open."""

    def __init__(
        self, answer: Answer, context: _Context, counts: RingCounts, limits: AnswerLimits
    ) -> None:
        self._answer = answer
        self._context = context
        self._counts = counts
        self._limits = limits
        self._under_way = 0
        self._ready: list[pb.Answer] = []
        self._has_ready = asyncio.Event()

    async def run(self) -> None:
        """Answer until the asker goes."""
        async with background_tasks() as group:
            telling = group.create_task(self._tell(), name="tells another node")
            working: set[asyncio.Task[None]] = set()
            try:
                while isinstance(asked := await _heard(self._context), pb.Asked):
                    for question in asked.questions.questions:
                        if self._under_way >= self._limits.questions_max:
                            self._say(question.id, Refusal.BUSY)
                            continue
                        self._under_way += 1
                        task = group.create_task(self._work(question), name="for another node")
                        working.add(task)
                        task.add_done_callback(working.discard)
            finally:
                for task in (telling, *working):
                    task.cancel()

    async def _work(self, question: pb.Question) -> None:
        self._say(question.id, await self._reply(question))
        self._under_way -= 1

    async def _reply(self, message: pb.Question) -> FactReply | Refusal:
        try:
            asked: Numbered = question_from_wire(message)
        except CorruptionError:
            return Refusal.UNKNOWN
        try:
            async with asyncio.timeout(min(asked.timeout_s, self._limits.timeout_s_max)):
                return await self._answer(asked.question)
        except TimeoutError:
            return Refusal.LATE
        except GrantlogError:
            return Refusal.FAILED  # the asker asks its own store, and tells what that says

    def _say(self, number: int, reply: FactReply | Refusal) -> None:
        message = pb.Answer()
        fill_reply(message, number, reply)
        if message.ByteSize() > self._limits.answer_bytes_max:
            message, reply = pb.Answer(), Refusal.LARGE
            fill_reply(message, number, reply)
        if isinstance(reply, Refusal):
            self._counts.refused[reply.value] += 1
        else:
            self._counts.answered += 1
        self._ready.append(message)
        self._has_ready.set()

    async def _tell(self) -> None:
        """Send answers as they are ready, all that there are at once."""
        while True:
            await self._has_ready.wait()
            told, room, taken = pb.Told(), self._limits.batch_bytes, 0
            for answer in self._ready:
                if room <= 0:
                    break
                told.answers.answers.append(answer)
                room -= answer.ByteSize()
                taken += 1
            del self._ready[:taken]
            if not self._ready:
                self._has_ready.clear()
            await self._context.write(told)


@asynccontextmanager
async def answering(
    service: AnswerService, host: str, port: int, *, grace_s: float = 0.5
) -> AsyncGenerator[int]:
    """Other nodes are answered during the block; gives the port, a free one where 0 was asked.

    Raises:
        PreconditionError: the port cannot be listened on.
    """
    server = aio.server(options=_SERVER_OPTIONS, maximum_concurrent_rpcs=service.limits.streams_max)
    service_pb2_grpc.add_RingServicer_to_server(service, server)
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError as error:
        raise PreconditionError(
            f"cannot listen on {host} port {port} for other nodes (workers take the ports behind "
            "GRANTLOG_RING_PORT): choose another with GRANTLOG_RING_PORT"
        ) from error
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(grace_s)
