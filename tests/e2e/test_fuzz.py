"""Random requests of every call: each is answered or refused, never INTERNAL, never a hang."""

from __future__ import annotations

from random import Random

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor

from grantlog.api.v1 import service_pb2, service_pb2_grpc
from grantlog.wire.transcode import ROUTES
from tests.servers import Server

SCHEMA = """
entity user {}
entity team { relation member @user @team#member }
entity doc {
  relation viewer @user @team#member
  relation parent @doc
  attribute public boolean
  attribute level integer
  permission view = viewer or public or parent.view
  permission edit = (view not banned) and high(level)
  relation banned @user
}
rule high(level integer) { level > 3 && context.data.ok == true }
"""
TENANT = "fuzz"
MESSAGES = 40
CALL_S_MAX = 20
STREAMED_MAX = 5
WORDS = (
    "", "doc", "user", "team", "viewer", "view", "edit", "high", "parent", "level", "public",
    "member", "1", "ann", "a" * 65, "a" * 300, "*", "...", "é", "x y", "doc:1#viewer@user:1",
    "{{.a}}", "\n", "doc:1$public|boolean:true", "entity a {}", "relation editor @user",
    "type.googleapis.com/x", "type.googleapis.com/base.v1.BooleanValue",
    "type.googleapis.com/base.v1.StringValue", "\U0001f600",
)  # fmt: skip
NUMBERS = (0, 1, 3, 20, 1000, 1001, 2**31 - 1)
NEVER = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED}


def fill(message, rng: Random, levels: int = 4):
    """Set fields at random, to what is right now and then."""
    for field in message.DESCRIPTOR.fields:
        if rng.random() < 0.25:
            continue
        if field.is_repeated:
            fill_repeated(message, field, rng, levels)
        elif field.message_type is not None:
            if levels:
                child = getattr(message, field.name)
                child.SetInParent()
                fill(child, rng, levels - 1)
        else:
            setattr(message, field.name, value(field, rng))
    if "tenant_id" in message.DESCRIPTOR.fields_by_name:
        message.tenant_id = TENANT if rng.random() < 0.9 else rng.choice(WORDS)
    return message


def fill_repeated(message, field: FieldDescriptor, rng: Random, levels: int) -> None:
    held = getattr(message, field.name)
    for _ in range(rng.randrange(4)):
        if field.message_type is None:
            held.append(value(field, rng))
        elif field.message_type.GetOptions().map_entry:
            kind = field.message_type.fields_by_name["value"]
            if kind.message_type is None:
                held[rng.choice(WORDS)] = value(kind, rng)
            elif levels:
                fill(held[rng.choice(WORDS)], rng, levels - 1)
        elif levels:
            fill(held.add(), rng, levels - 1)


def value(field: FieldDescriptor, rng: Random):
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            return rng.choice(WORDS)
        case FieldDescriptor.TYPE_BYTES:
            return rng.randbytes(rng.randrange(12))
        case FieldDescriptor.TYPE_BOOL:
            return rng.random() < 0.5
        case FieldDescriptor.TYPE_DOUBLE | FieldDescriptor.TYPE_FLOAT:
            return rng.choice((0.0, -1.5, 1e308, float("inf"), float("nan")))
        case FieldDescriptor.TYPE_ENUM:
            return rng.choice(field.enum_type.values).number
        case _:
            return rng.choice(NUMBERS)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.service}.{route.method}")
def test_a_random_request_is_answered_or_refused(server: Server, route):
    rng = Random(route.full_method)
    with grpc.insecure_channel(server.grpc) as channel:
        schema = service_pb2.SchemaWriteRequest(tenant_id=TENANT, schema=SCHEMA)
        service_pb2_grpc.SchemaStub(channel).Write(schema)
        open_call = channel.unary_stream if route.server_streaming else channel.unary_unary
        call = open_call(route.full_method, request_serializer=bytes, response_deserializer=bytes)
        for number in range(MESSAGES):
            request = fill(route.request_class(), rng).SerializeToString()
            if number % 4 == 3:  # damaged on the way
                damaged = bytearray(request or b"\0")
                damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
                request = bytes(damaged)
            status = outcome(call, request, streaming=route.server_streaming)
            assert status not in NEVER, (status, request)


def outcome(call, request: bytes, *, streaming: bool) -> grpc.StatusCode:
    """The status that a call ends with."""
    try:
        if streaming:
            with_stream(call, request)
        else:
            call(request, timeout=CALL_S_MAX)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def with_stream(call, request: bytes) -> None:
    """Read a few messages; a stream that has none yet is left after a moment."""
    messages = call(request, timeout=1)
    try:
        for _, _ in zip(messages, range(STREAMED_MAX), strict=False):
            pass
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
            raise
    finally:
        messages.cancel()
