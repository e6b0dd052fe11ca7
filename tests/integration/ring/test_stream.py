"""Two nodes over a real stream: questions, answers, refusals, and what ends it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from random import Random

import grpc
import pytest
from grpc import aio
from structlog.testing import capture_logs

from grantlog.background import background_tasks
from grantlog.cluster.answering import AnswerLimits, AnswerService, answering
from grantlog.cluster.counts import RingCounts
from grantlog.cluster.opening import Credentials, ring_key
from grantlog.cluster.sharing import KEYS_SHARED_MAX
from grantlog.cluster.stream import OwnerStream, StreamLimits
from grantlog.errors import PreconditionError, ProjectionLaggingError
from grantlog.model.ids import (
    ID_BYTES_MAX,
    NAME_BYTES_MAX,
    Epoch,
    Revision,
    SchemaVersion,
    TenantId,
)
from grantlog.model.tuples import Subject
from grantlog.ports.facts import DirectKey, SubjectPage, SubjectsKey
from grantlog.ports.heads import Head
from grantlog.ports.ring import FactQuestion, FactReply, Refusal
from grantlog.ports.standing import Source
from grantlog.ring.v1 import service_pb2 as pb
from grantlog.ring.v1 import service_pb2_grpc
from tests.waiting import never, until

LOCAL = "127.0.0.1"
HEAD = Head(Epoch(1), Revision(7), SchemaVersion(""))
LIMITS = StreamLimits(timeout_s=60.0, stall_s=60.0, again_s=0.01, again_s_max=0.02)


def credentials(secret: bytes = b"secret", life: str = "1/2/3/4") -> Credentials:
    return Credentials(ring_key(secret), lambda: life, secrets.token_bytes)


def question(number: int = 1) -> FactQuestion:
    key = DirectKey("doc", str(number), "viewer", "user", "ann", "")
    return FactQuestion(TenantId("acme"), HEAD, [key])


async def says_true(asked: FactQuestion) -> FactReply:
    return FactReply([True] * len(asked.keys), Source.CACHE)


@dataclass
class Two:
    """The asked node, and the asker's end of the stream to it."""

    stream: OwnerStream
    counts: RingCounts
    stack: AsyncExitStack
    running: asyncio.Task[None]


@asynccontextmanager
async def two(
    answer: Callable[[FactQuestion], Awaitable[FactReply]] = says_true,
    *,
    asked: Credentials | None = None,
    asker: Credentials | None = None,
    limits: AnswerLimits | None = None,
    stream: StreamLimits = LIMITS,
) -> AsyncIterator[Two]:
    counts = RingCounts()
    service = AnswerService(answer, asked or credentials(), counts, limits or AnswerLimits())
    clock = asyncio.get_running_loop().time
    async with background_tasks() as group, AsyncExitStack() as server:
        port = await server.enter_async_context(answering(service, LOCAL, 0, grace_s=0))
        made = OwnerStream(
            f"{LOCAL}:{port}", asker or credentials(), Random(1), stream, clock
        )  # fmt: skip
        running = group.create_task(made.run())
        try:
            yield Two(made, counts, server, running)
        finally:
            running.cancel()


async def test_questions_are_answered_many_at_a_time():
    async def even(asked: FactQuestion) -> FactReply:
        assert asked.head == HEAD
        return FactReply([int(asked.keys[0].entity_id) % 2 == 0], Source.REPLICA)

    async with two(even) as nodes:
        await until(lambda: nodes.stream.may_be_asked)
        replies = [nodes.stream.ask(question(number)) for number in range(500)]
        for number, reply in enumerate(replies):
            assert await reply == FactReply([number % 2 == 0], Source.REPLICA)
        assert nodes.counts.answered == 500


async def test_many_large_questions_do_not_end_the_stream():
    """Of the largest names and ids that clients may send, each as many keys as are divided."""
    name, id_ = "n" * NAME_BYTES_MAX, "i" * ID_BYTES_MAX
    keys = [DirectKey(name, id_, name, name, id_, name)] * KEYS_SHARED_MAX
    async with two() as nodes:
        await until(lambda: nodes.stream.may_be_asked)
        asked = [FactQuestion(TenantId("acme"), HEAD, keys) for _ in range(LIMITS.batch_max)]
        replies = [nodes.stream.ask(each) for each in asked]
        told = [await reply for reply in replies]
        assert [each for each in told if isinstance(each, Refusal)] == []


async def test_an_answer_to_what_was_not_sent_yet_ends_nothing():
    """Whoever answers is trusted with facts, not with this node's life."""
    asked_by: list[aio.ServicerContext] = []
    is_told = asyncio.Event()
    many = range(1, 1_001)

    class Keeps(AnswerService):
        async def _admitted(self, context):
            asked_by.append(context)
            return await super()._admitted(context)

    async def answers_all(asked: FactQuestion) -> FactReply:
        if asked.keys[0].entity_id == "1":
            ahead = [pb.Answer(id=number, refusal=pb.REFUSAL_BUSY) for number in many]
            await asked_by[-1].write(pb.Told(answers=pb.Answers(answers=ahead)))
            is_told.set()
        await is_told.wait()  # of one stream, one writes at a time
        return await says_true(asked)

    credential, limits = credentials(), replace(LIMITS, batch_max=1)
    service = Keeps(answers_all, credential, RingCounts(), AnswerLimits())
    clock = asyncio.get_running_loop().time
    async with background_tasks() as group, answering(service, LOCAL, 0, grace_s=0) as port:
        stream = OwnerStream(f"{LOCAL}:{port}", credential, Random(1), limits, clock)
        running = group.create_task(stream.run())
        await until(lambda: stream.may_be_asked)
        replies = [stream.ask(question(number)) for number in many]
        assert Refusal.BUSY in [await reply for reply in replies]
        assert isinstance(await stream.ask(question(0)), FactReply)
        running.cancel()


@pytest.mark.parametrize(
    "others", [{"asker": credentials(b"other")}, {"asker": credentials(life="9/9/9/9")}]
)
async def test_who_proves_nothing_is_not_answered(others):
    with capture_logs() as said:
        async with two(**others) as nodes:
            await until(lambda: nodes.counts.streams_refused > 2)
            assert not nodes.stream.may_be_asked
            assert await nodes.stream.ask(question()) is Refusal.GONE
    (told,) = [line for line in said if line["event"] == "another node is not asked"]
    assert told["log_level"] == "warning"  # it does not pass by itself
    assert "GRANTLOG_DATABASE_URL" in told["because"]


async def test_who_answers_must_prove_itself_too():
    """A stranger may let everybody in; he is asked nothing all the same."""
    let_in: list[bytes] = []

    class LetsIn(Credentials):
        __slots__ = ()

        def admits_asker(self, proof, challenge, nonce):
            let_in.append(proof)
            return True

    own = credentials(b"other")
    async with two(asked=LetsIn(own.key, own.life, own.new_bytes)) as nodes:
        await until(lambda: nodes.stream.may_be_asked or len(let_in) > 3)
        assert not nodes.stream.may_be_asked


async def test_a_stream_on_which_nothing_is_proven_is_ended():
    limits = AnswerLimits(open_s_max=0.05)
    async with two(limits=limits) as nodes, aio.insecure_channel(nodes.stream.address) as channel:
        call = service_pb2_grpc.RingStub(channel).Ask()
        assert len((await call.read()).challenge.nonce) == 32
        assert await call.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_questions_before_any_proof_are_not_answered():
    async with two() as nodes, aio.insecure_channel(nodes.stream.address) as channel:
        call = service_pb2_grpc.RingStub(channel).Ask()
        await call.read()
        await call.write(pb.Asked(questions=pb.Questions(questions=[pb.Question(id=1)])))
        assert await call.code() is grpc.StatusCode.UNAUTHENTICATED
        assert nodes.counts.answered == 0


async def test_an_owner_whose_store_fails_refuses():
    async def behind(asked: FactQuestion) -> FactReply:
        raise ProjectionLaggingError("not there")

    async with two(behind) as nodes:
        await until(lambda: nodes.stream.may_be_asked)
        assert await nodes.stream.ask(question()) is Refusal.FAILED
        assert nodes.counts.refused == {"failed": 1}


async def test_a_question_takes_no_longer_than_somebody_waits():
    async def hangs(asked: FactQuestion) -> FactReply:
        await never()
        raise AssertionError

    async with two(hangs, stream=StreamLimits(timeout_s=0.02, stall_s=60.0)) as nodes:
        await until(lambda: nodes.stream.may_be_asked)
        assert await nodes.stream.ask(question()) is Refusal.LATE


async def test_more_questions_than_an_owner_takes_are_refused():
    release = asyncio.Event()

    async def waits(asked: FactQuestion) -> FactReply:
        await release.wait()
        return await says_true(asked)

    async with two(waits, limits=AnswerLimits(questions_max=2)) as nodes:
        await until(lambda: nodes.stream.may_be_asked)
        replies = [nodes.stream.ask(question(number)) for number in range(5)]
        await until(lambda: nodes.counts.refused.total() == 3)
        release.set()
        said = [await reply for reply in replies]
        assert said.count(Refusal.BUSY) == 3
        for number in range(5):
            assert await nodes.stream.ask(question(number)) == FactReply([True], Source.CACHE)


async def test_more_questions_than_a_stream_takes_are_not_sent():
    async def hangs(asked: FactQuestion) -> FactReply:
        await never()
        raise AssertionError

    async with two(hangs, stream=StreamLimits(unanswered_max=2, stall_s=60.0)) as nodes:
        await until(lambda: nodes.stream.may_be_asked)
        replies = [nodes.stream.ask(question(number)) for number in range(3)]
        assert await replies[2] is Refusal.BUSY


async def test_an_answer_too_large_for_a_message_is_refused():
    async def much(asked: FactQuestion) -> FactReply:
        page = SubjectPage(tuple(Subject("user", "x" * 60) for _ in range(1000)), more=False)
        return FactReply([page], Source.CACHE)

    asked = FactQuestion(TenantId("acme"), HEAD, [SubjectsKey("doc", "1", "viewer")])
    async with two(much, limits=AnswerLimits(answer_bytes_max=10_000)) as nodes:
        await until(lambda: nodes.stream.may_be_asked)
        assert await nodes.stream.ask(asked) is Refusal.LARGE


async def test_what_is_out_when_the_owner_goes_is_told_at_once_and_a_new_one_is_found():
    async def hangs(asked: FactQuestion) -> FactReply:
        await never()
        raise AssertionError

    async with two(hangs) as nodes:
        await until(lambda: nodes.stream.may_be_asked)
        reply = nodes.stream.ask(question())
        await asyncio.sleep(0)
        await nodes.stack.aclose()
        assert await reply is Refusal.GONE
        assert not nodes.stream.may_be_asked
        port = int(nodes.stream.address.rpartition(":")[2])
        service = AnswerService(says_true, credentials(), RingCounts(), AnswerLimits())
        async with answering(service, LOCAL, port, grace_s=0):
            await until(lambda: nodes.stream.may_be_asked)
            assert await nodes.stream.ask(question()) == FactReply([True], Source.CACHE)


async def test_an_owner_that_stalls_is_asked_no_more_until_it_answers():
    release = asyncio.Event()

    async def waits(asked: FactQuestion) -> FactReply:
        await release.wait()
        return await says_true(asked)

    async with two(waits, stream=StreamLimits(stall_s=0.02, timeout_s=60.0)) as nodes:
        await until(lambda: nodes.stream.may_be_asked)
        reply = nodes.stream.ask(question())
        await until(lambda: not nodes.stream.may_be_asked)
        release.set()
        assert await reply == FactReply([True], Source.CACHE)
        assert nodes.stream.may_be_asked


async def test_a_port_that_is_taken_is_told():
    service = AnswerService(says_true, credentials(), RingCounts(), AnswerLimits())
    async with answering(service, LOCAL, 0) as port:
        with pytest.raises(PreconditionError, match="GRANTLOG_RING_PORT"):
            async with answering(service, LOCAL, port):
                pass


async def test_an_asker_that_goes_away_ends_what_is_done_for_it(
    caplog: pytest.LogCaptureFixture,
):
    begun, ended = [0], [0]

    async def hangs(asked: FactQuestion) -> FactReply:
        begun[0] += 1
        try:
            await never()
        finally:
            ended[0] += 1
        raise AssertionError

    async with two(hangs) as nodes:
        await until(lambda: nodes.stream.may_be_asked)
        for number in range(20):
            nodes.stream.ask(question(number))
        await until(lambda: begun[0] == 20)
        nodes.running.cancel()
        await until(lambda: ended[0] == 20)
    assert not caplog.records, "grpc tells of no error in the service"


async def test_an_asker_that_reads_nothing_is_no_error_when_it_goes(
    caplog: pytest.LogCaptureFixture,
):
    """Answers are under way when the connection ends."""

    async def much(asked: FactQuestion) -> FactReply:
        page = SubjectPage(tuple(Subject("user", "x" * 60) for _ in range(1000)), more=False)
        return FactReply([page], Source.CACHE)

    asked = FactQuestion(TenantId("acme"), HEAD, [SubjectsKey("doc", "1", "viewer")])
    async with two(much) as nodes:
        await until(lambda: nodes.stream.may_be_asked)
        for _ in range(200):
            nodes.stream.ask(asked)
        await until(lambda: nodes.counts.answered > 20)
        nodes.running.cancel()
        await until(nodes.running.done)
    assert not caplog.records
