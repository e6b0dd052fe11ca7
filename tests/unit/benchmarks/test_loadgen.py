"""The load generator's protocol code, against a real gRPC server and against bytes."""

import json
import struct
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from drive import Plan, drive
from loadgen.grpc import GrpcConnection, Http2Error
from loadgen.hpack import HpackError, StatusReader, encode
from loadgen.rest import RestConnection

from grantlog.api.v1 import service_pb2, service_pb2_grpc

OK_RAW = b"\x00\x0bgrpc-status\x010"
FRAME = struct.Struct(">HBBBI")


class FixedAnswers(service_pb2_grpc.PermissionServicer, service_pb2_grpc.DataServicer):
    """Allows every check; takes every write that has tuples, and fails the others."""

    def Check(self, request, context):  # noqa: N802 - the proto's name
        return service_pb2.PermissionCheckResponse(can=1)

    def Write(self, request, context):  # noqa: N802 - the proto's name
        if not request.tuples:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no tuples")
        return service_pb2.DataWriteResponse(snap_token="t" * 32)


@pytest.fixture
def port():
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        service_pb2_grpc.add_PermissionServicer_to_server(FixedAnswers(), server)
        service_pb2_grpc.add_DataServicer_to_server(FixedAnswers(), server)
        number = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield number
        server.stop(None).wait()


def plan(kind, port, **changes):
    chosen = {
        "kind": kind, "protocol": "grpc", "host": "127.0.0.1", "port": port, "tenant": "t",
        "size": 10_000, "seed": 1, "connections": 2, "in_flight": 8, "warmup_s": 0.0,
        "seconds": 0.2,
    }  # fmt: skip
    return Plan(**(chosen | changes))


def test_a_load_sends_the_whole_world_even_where_bodies_exceed_the_windows(port):
    result = drive(plan("load", port))
    assert (result.calls, result.errors) == (10, 0)


def test_single_writes_are_answered(port):
    result = drive(plan("write", port))
    assert result.errors == 0
    assert result.calls > 0


def test_a_wrong_answer_is_an_error(port):
    result = drive(plan("check", port))
    assert 0 < result.errors < result.calls_total
    assert "a wrong answer" in result.first_error


def test_a_method_that_does_not_exist_is_an_error_and_not_a_rate(port, monkeypatch):
    monkeypatch.setattr("calls.CHECK_METHOD", "/base.v1.Permission/Nothing")
    result = drive(plan("check", port))
    assert result.errors == result.calls_total > 0
    assert result.first_error == "grpc-status 12"


def frame(kind, flags, stream, payload=b""):
    size = len(payload)
    return FRAME.pack(size >> 8, size & 255, kind, flags, stream) + payload


def test_an_answer_in_pieces_of_one_byte_is_the_same_answer():
    connection = GrpcConnection("x", "/m")
    stream = connection.call(b"q")
    message = b"\x00" + (2).to_bytes(4, "big") + b"\x08\x01"
    wire = frame(1, 4, stream, b"\x88") + frame(0, 0, stream, message[:3])
    wire += frame(0, 0, stream, message[3:]) + frame(1, 5, stream, OK_RAW)
    replies = [reply for byte in wire for reply in connection.feed(bytes([byte]))]
    assert [(r.stream, r.message, r.error) for r in replies] == [(stream, b"\x08\x01", "")]


def test_a_call_that_ends_without_a_status_is_an_error():
    connection = GrpcConnection("x", "/m")
    stream = connection.call(b"q")
    (reply,) = connection.feed(frame(1, 5, stream, b"\x88"))
    assert reply.error == "grpc-status None"


def test_a_reset_stream_is_an_error():
    connection = GrpcConnection("x", "/m")
    stream = connection.call(b"q")
    (reply,) = connection.feed(frame(3, 0, stream, (7).to_bytes(4, "big")))
    assert reply.error == "stream reset, code 7"


def test_a_goodbye_ends_the_run():
    with pytest.raises(Http2Error, match="goodbye"):
        GrpcConnection("x", "/m").feed(frame(7, 0, 0, bytes(8) + b"enough"))


@pytest.mark.parametrize(
    ("block", "status"),
    [
        (OK_RAW, 0),
        (b"\x40\x0bgrpc-status\x0213", 13),
        (b"\x40\x88\x9a\xca\xc8\xb2\x12\x34\xda\x8f\x81\x07", 0),
        (b"\x20\x88" + encode([("content-type", "application/grpc")]), None),
        (encode([("x" * 300, "y" * 200)]) + OK_RAW, 0),
    ],
)
def test_the_status_is_found_in_a_header_block(block, status):
    assert StatusReader().status(block) == status


def test_a_reference_to_a_header_table_that_is_empty_is_refused():
    with pytest.raises(HpackError):
        StatusReader().status(b"\xbe")


def test_a_rest_answer_in_pieces_is_one_answer():
    connection = RestConnection("h", "/p")
    connection.call(json.dumps({}).encode())
    wire = b'HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{"can":"A"}'
    replies = [reply for byte in wire for reply in connection.feed(bytes([byte]))]
    assert [(r.message, r.error) for r in replies] == [(b'{"can":"A"}', "")]


def test_a_rest_status_other_than_200_is_an_error():
    connection = RestConnection("h", "/p")
    connection.call(b"{}")
    (reply,) = connection.feed(b"HTTP/1.1 503 X\r\nContent-Length: 2\r\n\r\n{}")
    assert reply.error.startswith("HTTP 503")
