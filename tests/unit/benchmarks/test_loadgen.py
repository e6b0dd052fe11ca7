"""The load generator's protocol code, against a real gRPC server and against bytes."""

import json
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, repeat

import grpc
import pytest
from calls import bulk_checks, touching_writes
from drive import Plan, _calls, drive, summarise
from loadgen.grpc import GrpcConnection, Http2Error
from loadgen.hpack import HpackError, StatusReader, encode
from loadgen.line import Call, Measured
from loadgen.open_loop import OpenLoop
from loadgen.rest import RestConnection
from questions import questions
from world import World

from grantlog.api.v1 import service_pb2, service_pb2_grpc

OK_RAW = b"\x00\x0bgrpc-status\x010"
FRAME = struct.Struct(">HBBBI")
W = World(10_000)


class FixedAnswers(service_pb2_grpc.PermissionServicer, service_pb2_grpc.DataServicer):
    """Allows every check; takes every write that has facts, and fails the others."""

    def __init__(self):
        self.written = 0

    def Check(self, request, context):  # noqa: N802 - the proto's name
        return service_pb2.PermissionCheckResponse(can=1)

    def Write(self, request, context):  # noqa: N802 - the proto's name
        if not request.tuples and not request.attributes:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no facts")
        self.written += len(request.tuples) + len(request.attributes)
        return service_pb2.DataWriteResponse(snap_token="t" * 32)


@pytest.fixture
def answers():
    return FixedAnswers()


@pytest.fixture
def port(answers):
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        service_pb2_grpc.add_PermissionServicer_to_server(answers, server)
        service_pb2_grpc.add_DataServicer_to_server(answers, server)
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


def test_a_load_sends_the_whole_world_even_where_bodies_exceed_the_windows(port, answers):
    result = drive(plan("load", port))
    world = World(10_000)
    assert result.errors == 0
    assert answers.written == len(list(world.all_facts())) + len(list(world.traits()))


@pytest.mark.parametrize("question", ["3-level", "denied"])
def test_calls_that_are_due_are_all_offered_and_their_answers_verified(port, question):
    result = drive(plan("check", port, rate=200.0, seconds=0.5, question=question))
    assert (result.calls_total, result.offered) == (100, 200.0)
    assert result.errors == (0 if question == "3-level" else 100)


def test_what_is_due_before_the_end_is_offered_even_if_nobody_looked_until_then(port):
    assert drive(plan("check", port, rate=100_000.0, seconds=0.0001)).calls_total == 10


def test_a_calls_time_runs_from_when_it_was_due_and_no_connection_has_more_than_its_share():
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        loop = OpenLoop(
            deaf.getsockname(),
            lambda: GrpcConnection("h", "/m"),
            connections=2, in_flight_max=6, rate=1_000.0,
        )  # fmt: skip
        loop._start_due(repeat(Call(b"q", b"")), 10_000_000)
        begun = sorted(at for line in loop._lines for at, _ in line.flying.values())
        loop.close()
        assert begun == [number * 1_000_000 for number in range(6)]


def test_calls_that_find_no_connection_free_wait_and_a_silent_server_ends_the_run(monkeypatch):
    monkeypatch.setattr("loadgen.open_loop.SILENCE_S_MAX", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        loop = OpenLoop(
            deaf.getsockname(),
            lambda: RestConnection("h", "/p"),
            connections=2, in_flight_max=2, rate=1_000.0,
        )  # fmt: skip
        with pytest.raises(TimeoutError, match="silent"):
            loop.run(repeat(Call(b"{}", b"")), warmup_s=0, seconds=0.05)


def test_a_blend_makes_each_hundredth_call_a_write(port, answers):
    result = drive(plan("blend", port, question="3-level"))
    assert result.errors == 0
    assert answers.written == result.calls_total // 100


def test_slow_writes_are_no_latency_of_the_checks_around_them():
    measured = Measured()
    checks = [(number, Call(b"", b"")) for number in range(99)]
    measured.note([*checks, (0, Call(b"", b"", method=1))], 30_000_000)
    measured.note([(30_000_000, Call(b"", b""))], 31_000_000)
    assert (len(measured.latencies_ns), measured.writes_ns) == (100, [30_000_000])
    told = summarise(Measured(latencies_ns=[1_000_000] * 99, writes_ns=[30_000_000]))
    assert (told.p99_ms, told.write_p50_ms, told.write_p99_ms) == (1.0, 30.0, 30.0)


@pytest.mark.parametrize("rate", [0.0, 2_000.0])
def test_all_calls_of_a_blend_are_measured_and_its_writes_apart(port, rate, monkeypatch):
    kept = list[Measured]()
    monkeypatch.setattr("drive.summarise", lambda measured, offered: kept.append(measured))
    drive(plan("blend", port, question="3-level", seconds=0.3, rate=rate))
    (measured,) = kept
    assert measured.writes_ns or not rate
    counted = len(measured.latencies_ns) + len(measured.writes_ns)
    assert counted == (measured.calls_total if rate else measured.done)


def test_checks_alone_have_no_writes(port):
    result = drive(plan("check", port, question="3-level"))
    assert (result.write_p50_ms, result.write_p99_ms) == (0.0, 0.0)


def test_warming_asks_about_each_document_three_times(port):
    warmed = drive(plan("warm", port, question="6-level", docs=20, distinct=0))
    assert (warmed.calls_total, warmed.errors) == (60, 0)


def test_warming_with_known_questions_asks_each_twice(port):
    warmed = drive(plan("warm", port, question="3-level", docs=20, distinct=30))
    assert (warmed.calls_total, warmed.errors) == (60, 0)


def test_questions_asked_before_are_skipped():
    calls_made = _calls(plan("check", 1, question="3-level", distinct=9), W)
    later = _calls(plan("check", 1, question="3-level", distinct=4, skip=5), W)
    assert list(islice(calls_made, 5, 9)) == list(islice(later, 4))


def test_a_bulk_check_is_right_only_if_all_its_results_are():
    asked = list(islice(questions(W, "mixed", 1), 100))
    (call,) = bulk_checks("t", asked)
    results = [service_pb2.PermissionCheckResponse(can=1 if q.allowed else 2) for q in asked]
    answer = service_pb2.PermissionBulkCheckResponse(results=results)
    assert call.judge(answer.SerializeToString(), call.expected)
    answer.results[7].can = 3 - answer.results[7].can
    assert not call.judge(answer.SerializeToString(), call.expected)


def test_writes_beside_checks_move_each_relation_that_the_checks_read():
    written = [
        service_pb2.DataWriteRequest.FromString(call.message).tuples[0]
        for call in islice(touching_writes("t", W, "x", docs=40), 300)
    ]
    asked = range(40)
    docs = {f"d{doc}" for doc in asked}
    folders = {f"f{W.folder(doc)}" for doc in asked}
    groups = {f"g{W.viewers(W.folder(doc))[0]}" for doc in asked}
    assert {t.entity.id for t in written if t.relation == "folder"} == docs
    assert {t.entity.id for t in written if t.relation == "viewer"} == folders
    assert {t.entity.id for t in written if t.relation == "member"} == groups


def test_single_writes_are_answered(port, answers):
    result = drive(plan("write", port))
    assert result.errors == 0
    assert result.calls_total == answers.written > 0


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


def test_the_messages_of_a_stream_are_told_one_by_one_however_they_are_cut():
    connection = GrpcConnection("x", "/m")
    told = []
    stream = connection.subscribe(b"q", 0, told.append)
    messages = [b"", b"one", b"x" * 300]
    data = b"".join(b"\x00" + len(each).to_bytes(4, "big") + each for each in messages)
    assert connection.feed(frame(1, 4, stream, b"\x88")) == []
    assert connection.feed(frame(0, 0, stream, data[:7]) + frame(0, 0, stream, data[7:20])) == []
    assert told == [b"", b"one"]
    assert connection.feed(frame(0, 0, stream, data[20:])) == []
    assert told == messages
    (reply,) = connection.feed(frame(1, 5, stream, OK_RAW))
    assert (reply.stream, reply.error) == (stream, "")


def test_a_stream_that_ends_within_a_message_is_an_error():
    connection = GrpcConnection("x", "/m")
    stream = connection.subscribe(b"q", 0, lambda message: None)
    wire = frame(0, 0, stream, b"\x00\x00\x00\x00\x05he") + frame(1, 5, stream, OK_RAW)
    (reply,) = connection.feed(wire)
    assert "no message" in reply.error


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


def test_the_server_says_how_many_calls_it_takes_at_a_time():
    connection = GrpcConnection("x", "/m")
    assert connection.streams_max == 100
    connection.feed(frame(4, 0, 0, (3).to_bytes(2, "big") + (7).to_bytes(4, "big")))
    assert connection.streams_max == 7


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
