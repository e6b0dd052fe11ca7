"""Random requests, and what may become of them: an answer, or a refusal that is the caller's."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import grpc
from google.protobuf.descriptor import FieldDescriptor

from grantlog.wire.transcode import Route

CALL_S_MAX = 20
ENDLESS = {"/base.v1.Watch/Watch"}
"""Calls whose streams do not end by themselves; they say something at once."""

ALLOWED = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
"""Neither a fault of ours nor a hang."""

WORDS = (
    "", "doc", "user", "team", "viewer", "view", "edit", "high", "parent", "level", "public",
    "member", "1", "ann", "a" * 65, "a" * 300, "*", "...", "é", "x y", "doc:1#viewer@user:1",
    "{{.a}}", "\n", "doc:1$public|boolean:true", "entity a {}", "relation editor @user",
    "type.googleapis.com/x", "type.googleapis.com/base.v1.BooleanValue",
    "type.googleapis.com/base.v1.StringValue", "\U0001f600",
)  # fmt: skip
NUMBERS = (0, 1, 3, 20, 1000, 1001, 2**31 - 1)


class Asker:
    """Sends bytes to a call and judges what comes back."""

    def __init__(
        self, channel: grpc.Channel, route: Route, *, call_s_max: float = CALL_S_MAX
    ) -> None:
        open_call = channel.unary_stream if route.server_streaming else channel.unary_unary
        self._call = open_call(
            route.full_method,
            request_serializer=bytes,
            response_deserializer=route.response_class.FromString,
        )
        self._route = route
        self._call_s_max = call_s_max

    def ask(
        self, request: bytes, metadata: Sequence[tuple[str, str | bytes]] = ()
    ) -> grpc.StatusCode:
        """The status that a call ends with; AssertionError if it must not.

        What has no end is left after a few messages; its first one must come in time.
        """
        try:
            if self._route.server_streaming:
                self._read(request, metadata)
            else:
                self._call(request, metadata=metadata, timeout=self._call_s_max)
        except grpc.RpcError as error:
            status, text = error.code(), error.details()
        else:
            status, text = grpc.StatusCode.OK, ""
        assert status in ALLOWED, (status, text, request[:2_000], metadata)
        return status

    def _read(self, request: bytes, metadata: Sequence[tuple[str, str | bytes]]) -> None:
        messages = self._call(request, metadata=metadata, timeout=self._call_s_max)
        try:
            if self._route.full_method in ENDLESS:
                next(messages)
            else:
                for _ in messages:
                    pass
        finally:
            messages.cancel()


def fill(message, rng: Random, tenant: str, levels: int = 4):
    """Set fields at random, to what is right now and then."""
    for field in message.DESCRIPTOR.fields:
        if rng.random() < 0.25:
            continue
        if field.is_repeated:
            _fill_repeated(message, field, rng, tenant, levels)
        elif field.message_type is not None:
            if levels:
                child = getattr(message, field.name)
                child.SetInParent()
                fill(child, rng, tenant, levels - 1)
        else:
            setattr(message, field.name, _value(field, rng))
    if "tenant_id" in message.DESCRIPTOR.fields_by_name:
        message.tenant_id = tenant if rng.random() < 0.9 else rng.choice(WORDS)
    return message


def _fill_repeated(message, field: FieldDescriptor, rng: Random, tenant: str, levels: int) -> None:
    held = getattr(message, field.name)
    for _ in range(rng.randrange(4)):
        if field.message_type is None:
            held.append(_value(field, rng))
        elif field.message_type.GetOptions().map_entry:
            kind = field.message_type.fields_by_name["value"]
            if kind.message_type is None:
                held[rng.choice(WORDS)] = _value(kind, rng)
            elif levels:
                fill(held[rng.choice(WORDS)], rng, tenant, levels - 1)
        elif levels:
            fill(held.add(), rng, tenant, levels - 1)


def _value(field: FieldDescriptor, rng: Random):
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


def damaged(request: bytes, rng: Random) -> bytes:
    """The request as it arrives with a bit flipped, cut short, or with bytes in between."""
    raw = bytearray(request or b"\0")
    at = rng.randrange(len(raw))
    match rng.randrange(3):
        case 0:
            raw[at] ^= 1 << rng.randrange(8)
        case 1:
            del raw[at:]
        case _:
            raw[at:at] = rng.randbytes(rng.randrange(1, 9))
    return bytes(raw)
