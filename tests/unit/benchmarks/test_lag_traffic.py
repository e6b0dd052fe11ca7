"""What the lag benchmark sends and notes, against a real gRPC server."""

import queue
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import grpc
import pytest
from lag_traffic import TrafficError, connected, write_request

from grantlog.api.v1 import service_pb2, service_pb2_grpc

RATE = 200.0


class Echo(service_pb2_grpc.DataServicer, service_pb2_grpc.WatchServicer):
    """Tells the watcher of each write; fails those of other tenants."""

    def __init__(self):
        self.written = queue.SimpleQueue()
        self.count = 0

    def Write(self, request, context):  # noqa: N802 - the proto's name
        if request.tenant_id != "t":
            context.abort(grpc.StatusCode.UNAVAILABLE, "not here")
        self.count += 1
        token = f"token{self.count}"
        self.written.put(token)
        return service_pb2.DataWriteResponse(snap_token=token)

    def Watch(self, request, context):  # noqa: N802 - the proto's name
        yield service_pb2.WatchResponse(changes={"snap_token": "begin"})
        while token := self.written.get():
            changes = {"snap_token": token, "data_changes": [{"operation": 1}]}
            yield service_pb2.WatchResponse(changes=changes)


@pytest.fixture
def port():
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool)
        echo = Echo()
        service_pb2_grpc.add_DataServicer_to_server(echo, server)
        service_pb2_grpc.add_WatchServicer_to_server(echo, server)
        number = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield number
        echo.written.put("")
        server.stop(None).wait()


async def test_writes_are_due_at_fixed_times_and_each_is_told_once_answered(port):
    traffic = await connected("127.0.0.1", port)
    await traffic.watch(["t"])
    assert traffic.told() == {}
    await traffic.offer([write_request("t", f"d{number}") for number in range(20)], RATE)
    answers = traffic.take_answers()
    assert len(answers) == 20
    assert traffic.take_answers() == {}
    due = sorted(each for each, _ in answers.values())
    assert [b - a for a, b in pairwise(due)] == pytest.approx([1 / RATE] * 19, abs=1e-5)
    assert all(at > due for due, at in answers.values())
    while traffic.told().keys() != answers.keys():
        await traffic._more()
    traffic.close()


async def test_a_write_that_fails_ends_the_run(port):
    traffic = await connected("127.0.0.1", port)
    with pytest.raises(TrafficError, match="grpc-status 14"):
        await traffic.offer([write_request("another", "d")], RATE)
    traffic.close()


async def test_no_more_calls_are_made_at_a_time_than_the_server_takes(port):
    traffic = await connected("127.0.0.1", port)
    await traffic.watch(["t"])
    traffic._calls.streams_max = 2
    flying = []
    call = traffic._calls.call
    traffic._calls.call = lambda *given: (flying.append(len(traffic._due)), call(*given))[1]
    await traffic.offer([write_request("t", f"d{number}") for number in range(20)], 10_000.0)
    assert flying == [0] * 20, "the watcher is one"
    assert len(traffic.take_answers()) == 20
    traffic.close()
