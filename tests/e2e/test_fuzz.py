"""Random requests of every call: each is answered or refused, never INTERNAL, never a hang."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from random import Random
from threading import Event

import grpc
import pytest

from grantlog.api.v1 import service_pb2, service_pb2_grpc
from grantlog.wire.transcode import ROUTES
from tests.e2e.hostile import SCHEMA, hostile_metadata, hostile_requests
from tests.fuzzing import Asker, damaged, fill
from tests.servers import Server

TENANT = "fuzz"
MESSAGES = 40
BY_NAME = [f"{route.service}.{route.method}" for route in ROUTES]


@pytest.fixture
def channel(server: Server):
    with grpc.insecure_channel(server.grpc) as channel:
        schema = service_pb2.SchemaWriteRequest(tenant_id=TENANT, schema=SCHEMA)
        service_pb2_grpc.SchemaStub(channel).Write(schema)
        yield channel


def test_every_call_of_the_contract_is_asked():
    served = [
        f"{service.name}.{method.name}"
        for service in service_pb2.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]
    assert sorted(BY_NAME) == sorted(served)


@pytest.mark.parametrize("how", ["INTERNAL", "UNKNOWN", "UNAVAILABLE", "raises", "hangs"])
@pytest.mark.parametrize(
    "name", ["Permission.Check", "Permission.LookupEntityStream", "Watch.Watch"]
)
def test_a_failure_of_the_server_or_a_hang_would_be_noticed(name, how):
    route = ROUTES[BY_NAME.index(name)]
    released = Event()

    def fail(request, context):
        if how == "hangs":
            released.wait(20)
        elif how == "raises":
            raise RuntimeError(how)
        else:
            context.abort(grpc.StatusCode[how], how)
        return iter(()) if route.server_streaming else b""

    made = getattr(
        grpc, f"unary_{'stream' if route.server_streaming else 'unary'}_rpc_method_handler"
    )
    service = route.full_method.split("/")[1]
    handler = grpc.method_handlers_generic_handler(service, {route.method: made(fail)})
    server = grpc.server(ThreadPoolExecutor(2), handlers=[handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            asker = Asker(channel, route, call_s_max=1)
            with pytest.raises(AssertionError):
                asker.ask(b"")
    finally:
        released.set()
        server.stop(None).wait()


@pytest.mark.parametrize("route", ROUTES, ids=BY_NAME)
def test_a_random_request_is_answered_or_refused(channel, route):
    rng = Random(route.full_method)
    asker = Asker(channel, route)
    for number in range(MESSAGES):
        request = fill(route.request_class(), rng, TENANT).SerializeToString()
        asker.ask(damaged(request, rng) if number % 4 == 3 else request)


@pytest.mark.parametrize("route", ROUTES, ids=BY_NAME)
def test_a_request_of_the_right_shape_with_hostile_content_is_answered_or_refused(channel, route):
    asker = Asker(channel, route)
    seen = {asker.ask(request.SerializeToString()) for request in hostile_requests(route, TENANT)}
    assert seen != {grpc.StatusCode.INVALID_ARGUMENT}, "nothing got past validation"


@pytest.mark.parametrize("route", ROUTES, ids=BY_NAME)
def test_hostile_metadata_are_ignored_or_refused(channel, route):
    asker = Asker(channel, route)
    request = next(iter(hostile_requests(route, TENANT))).SerializeToString()
    for metadata in hostile_metadata():
        asker.ask(request, metadata)
