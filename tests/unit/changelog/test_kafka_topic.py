"""Messages, partitions, and topics that must not carry the log."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from grantlog.changelog.kafka.client import KafkaOptions, closed, translating_kafka
from grantlog.changelog.kafka.message import (
    CONTENT_TYPE,
    CONTENT_TYPES,
    EVENT,
    KIND,
    MESSAGE_BYTES_MAX,
    PART,
    PUBLISHER,
    REVISION,
    EventMessage,
    Fence,
    Form,
    HeartbeatMessage,
    event_message,
    heartbeat_message,
    partition_of,
    read_message,
)
from grantlog.changelog.kafka.tail import place_of
from grantlog.changelog.kafka.topic import TopicSpec, TopicState, problem_of
from grantlog.changelog.parts import Part
from grantlog.errors import CorruptionError, PreconditionError, UnavailableError
from grantlog.event.v1 import event_pb2
from grantlog.model.change import TenantCreated, Transaction
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.ports.log import Position
from grantlog.wire.event import decode_transaction, encode_transaction

FENCE = Fence(Epoch(2), 7)
NOON = datetime(2030, 1, 1, 12, 0, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize("form", ["protobuf", "json"])
def test_messages_read_the_same_in_either_form(form: Form) -> None:
    told = Transaction(
        tenant=TenantId("acme"), epoch=Epoch(1), revision=Revision(9), body=TenantCreated("Acme"),
        commit_time=NOON, salt=b"s", previous_digest=b"p", digest=b"d",
    )  # fmt: skip
    (payload,) = encode_transaction(told)
    part = Part(told.tenant, told.revision, 0, 1, told.epoch, payload)
    sent = event_message(part, partition=4, fence=FENCE, form=form)
    assert dict(sent.headers)[CONTENT_TYPE] == CONTENT_TYPES[form]
    read = read_message(sent.key, sent.value, sent.headers)
    assert isinstance(read, EventMessage)
    assert decode_transaction([read.payload]) == told
    beat = heartbeat_message(partition=4, fence=FENCE, through=NOON, form=form)
    assert read_message(None, beat.value, beat.headers) == HeartbeatMessage(FENCE, NOON)
    assert beat.value.startswith(b"{") == (form == "json")


def test_messages_of_old_say_no_content_type() -> None:
    beat = heartbeat_message(partition=4, fence=FENCE, through=NOON)
    old = [header for header in beat.headers if header[0] != CONTENT_TYPE]
    assert read_message(None, beat.value, old) == HeartbeatMessage(FENCE, NOON)


def test_an_event_reads_as_it_was_written() -> None:
    part = Part(TenantId("acme"), Revision(9), 1, 3, Epoch(1), b"payload")
    sent = event_message(part, partition=4, fence=FENCE)
    assert sent.partition == 4
    assert read_message(sent.key, sent.value, sent.headers) == EventMessage(
        FENCE, TenantId("acme"), Revision(9), 1, 3, b"payload"
    )


def test_a_heartbeat_reads_as_it_was_written() -> None:
    sent = heartbeat_message(partition=4, fence=FENCE, through=NOON)
    assert read_message(sent.key, sent.value, sent.headers) == HeartbeatMessage(FENCE, NOON)


_WELL = {KIND: EVENT, PUBLISHER: b"1.1", REVISION: b"1", PART: b"0/1"}


@pytest.mark.parametrize(
    ("key", "value", "headers"),
    [
        (b"acme", b"x", {}),
        (b"acme", b"x", _WELL | {KIND: b"later"}),
        (None, b"x", _WELL),
        (b"acme", None, _WELL),
        (b"\xff", b"x", _WELL),
        (b"acme", b"x", _WELL | {PUBLISHER: b"1"}),
        (b"acme", b"x", _WELL | {PUBLISHER: b"a.b"}),
        (b"acme", b"x", _WELL | {PART: b"1/1"}),
        (b"acme", b"x", _WELL | {PART: b"-1/1"}),
        (b"acme", b"x", _WELL | {CONTENT_TYPE: b"text/xml"}),
        (b"acme", b"x", _WELL | {CONTENT_TYPE: CONTENT_TYPES["json"]}),
        (b"acme", b"{}", _WELL | {CONTENT_TYPE: CONTENT_TYPES["protobuf"]}),
        (None, b"{", {KIND: b"heartbeat", PUBLISHER: b"1.1", CONTENT_TYPE: b"application/json"}),
        (b"acme", b"x", {name: value for name, value in _WELL.items() if name != REVISION}),
        (None, b"\xff\xff", {KIND: b"heartbeat", PUBLISHER: b"1.1"}),
        *((b"acme", b"x", _WELL | {name: None}) for name in _WELL),  # Kafka has such headers
    ],
)
def test_what_is_not_a_message_is_refused(key, value, headers) -> None:
    assert read_message(b"acme", b"x", list(_WELL.items()))
    with pytest.raises(CorruptionError):
        read_message(key, value, list(headers.items()))


@pytest.mark.parametrize("form", ["protobuf", "json"])
@pytest.mark.parametrize("field", [{"commit_time_us": 2**62}, {"parts": 2**32 - 1}, {}])
async def test_the_tail_and_followers_survive_an_event_that_cannot_be(
    field: dict[str, int], form: Form
) -> None:
    event = event_pb2.Event(
        tenant="acme", epoch=1, revision=9, parts=1, tenant_deleted=event_pb2.TenantDeleted()
    )
    event.MergeFrom(event_pb2.Event(**field))  # pyright: ignore[reportArgumentType]
    part = Part(TenantId("acme"), Revision(9), 0, 1, Epoch(1), event.SerializeToString())
    sent = event_message(part, partition=0, fence=FENCE, form=form)
    assert place_of(sent.key, sent.value, sent.headers) == (
        TenantId("acme"),
        Position(Epoch(1), Revision(9), b""),
    )
    if field:
        with pytest.raises(CorruptionError):
            decode_transaction([sent.value])


def test_the_partition_of_a_tenant_is_the_crc_of_its_id() -> None:
    assert [partition_of(TenantId(each), 8) for each in ("t1", "acme", "ü")] == [7, 6, 5]


SAFE = {
    "cleanup.policy": "delete",
    "retention.ms": "604800000",
    "retention.bytes": "-1",
    "max.message.bytes": str(MESSAGE_BYTES_MAX),
    "min.insync.replicas": "2",
    "unclean.leader.election.enable": "false",
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cleanup.policy": "compact"}, "cleanup.policy is compact: set it to delete"),
        ({"cleanup.policy": "compact,delete"}, "cleanup.policy is compact,delete"),
        ({"retention.ms": "-1"}, "retention.ms and retention.bytes are -1"),
        ({"retention.ms": "1000"}, "retention.ms is 1000: set it to an hour or more"),
        ({"max.message.bytes": "1000"}, "max.message.bytes is 1000: set it to 1048576"),
        ({"min.insync.replicas": "1"}, "min.insync.replicas is 1 with 3 replicas: set it to 2"),
        ({"min.insync.replicas": "4"}, "min.insync.replicas is 4 with 3 replicas: lower it"),
        ({"unclean.leader.election.enable": "true"}, "set it to false"),
    ],
)
def test_unsafe_settings_are_named_with_what_to_do(change: dict[str, str], said: str) -> None:
    spec = TopicSpec(partitions=4)
    assert problem_of(TopicState("c", 4, 3, SAFE), spec) == ""
    assert (
        problem_of(
            TopicState("c", 4, 3, SAFE | {"retention.ms": "-1", "retention.bytes": "9"}), spec
        )
        == ""
    )
    assert said in problem_of(TopicState("c", 4, 3, SAFE | change), spec)


def test_json_needs_more_room_for_a_message() -> None:
    said = problem_of(TopicState("c", 4, 3, SAFE), TopicSpec(partitions=4, form="json"))
    assert "max.message.bytes is 1048576: set it to 6291456 or more" in said


def test_another_number_of_partitions_is_named() -> None:
    said = problem_of(TopicState("c", 3, 3, SAFE), TopicSpec(partitions=4))
    assert "it has 3 partitions, GRANTLOG_KAFKA_PARTITIONS says 4" in said


def test_one_broker_is_enough_for_one_copy() -> None:
    state = TopicState("c", 4, 1, SAFE | {"min.insync.replicas": "1"})
    assert problem_of(state, TopicSpec(partitions=4)) == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (KafkaOptions("h:1", security_protocol="SASL_PLAINTEXT"), "GRANTLOG_KAFKA_SASL_USERNAME"),
        (KafkaOptions("h:1", security_protocol="SSL", tls_ca_file="/none"), "GRANTLOG_KAFKA_TLS"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: KafkaOptions, said: str) -> None:
    with pytest.raises(PreconditionError, match=said):
        options.arguments("test")


def test_several_brokers_may_be_named() -> None:
    given = KafkaOptions("a:1, b:2", security_protocol="SSL").arguments("test")
    assert given["bootstrap_servers"] == ["a:1", "b:2"]
    assert given["ssl_context"] is not None


async def test_a_future_that_the_client_cancelled_is_a_lost_connection() -> None:
    gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    gone.cancel()
    with (
        pytest.raises(UnavailableError, match="reading: the connection to Kafka went away"),
        translating_kafka("reading"),
    ):
        await gone


async def test_whoever_is_cancelled_is_cancelled() -> None:
    async def work() -> None:
        with translating_kafka("reading"):
            await asyncio.Event().wait()

    task = asyncio.get_running_loop().create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_bound_that_is_reached_is_no_answer_in_time() -> None:
    with (
        pytest.raises(UnavailableError, match="did not answer in time"),
        translating_kafka("reading"),
    ):
        async with asyncio.timeout(0):
            await asyncio.Event().wait()


async def test_closing_ends_whatever_the_client_says() -> None:
    async def close() -> None:
        raise asyncio.CancelledError

    await closed(close)
