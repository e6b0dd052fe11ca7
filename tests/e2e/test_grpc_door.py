"""What a gRPC caller sees: statuses with details, health, reflection, deadlines, limits."""

from __future__ import annotations

import secrets

import grpc
import pytest
from google.protobuf import descriptor_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from grantlog.api.v1 import base_pb2, service_pb2, service_pb2_grpc
from tests.servers import Server

SCHEMA = "entity user {} entity doc { relation viewer @user  permission view = viewer }"


@pytest.fixture
def channel(server: Server):
    with grpc.insecure_channel(server.grpc) as channel:
        yield channel


@pytest.fixture
def tenant(channel):
    name = f"grpc-{secrets.token_hex(6)}"
    request = service_pb2.SchemaWriteRequest(tenant_id=name, schema=SCHEMA)
    service_pb2_grpc.SchemaStub(channel).Write(request)
    return name


def question(tenant, **changes):
    return service_pb2.PermissionCheckRequest(
        **{
            "tenant_id": tenant,
            "metadata": service_pb2.PermissionCheckRequestMetadata(depth=20),
            "entity": base_pb2.Entity(type="doc", id="1"),
            "permission": "view",
            "subject": base_pb2.Subject(type="user", id="ann"),
        }
        | changes
    )


def refused(call, request, **how):
    with pytest.raises(grpc.RpcError) as caught:
        call(request, **how)
    return caught.value


def test_a_refusal_has_the_contracts_message_and_says_more_in_details(channel, tenant):
    check = service_pb2_grpc.PermissionStub(channel).Check
    error = refused(check, question(tenant, permission="edit"))
    assert (error.code(), error.details()) == (
        grpc.StatusCode.NOT_FOUND, "ERROR_CODE_SCHEMA_NOT_FOUND",
    )  # fmt: skip
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "grantlog"
    assert "edit" in info.metadata["explanation"]


def test_a_broken_rule_of_a_field_is_named(channel, tenant):
    check = service_pb2_grpc.PermissionStub(channel).Check
    error = refused(check, question(tenant, entity=base_pb2.Entity(type="d0c", id="1")))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details().startswith("invalid PermissionCheckRequest.Entity: embedded message")


def test_a_message_over_the_limit_is_refused(channel):
    write = service_pb2_grpc.SchemaStub(channel).Write
    request = service_pb2.SchemaWriteRequest(tenant_id="t1", schema=" " * (4 * 1024 * 1024 + 1))
    assert refused(write, request).code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_deadline_that_passes_ends_the_call(channel):
    watching = health_pb2_grpc.HealthStub(channel).Watch(
        health_pb2.HealthCheckRequest(), timeout=1.5
    )
    with pytest.raises(grpc.RpcError) as caught:
        for _ in watching:  # it would never end by itself
            pass
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_check_can_be_asked_as_of_the_past(channel, tenant):
    data = service_pb2_grpc.DataStub(channel)
    fact = base_pb2.Tuple(
        entity=base_pb2.Entity(type="doc", id="1"),
        relation="viewer",
        subject=base_pb2.Subject(type="user", id="ann"),
    )
    metadata = service_pb2.DataWriteRequestMetadata()
    data.Write(service_pb2.DataWriteRequest(tenant_id=tenant, metadata=metadata, tuples=[fact]))
    check = service_pb2_grpc.PermissionStub(channel).Check
    answers = [check(question(tenant), metadata=[("grantlog-as-of", at)]).can for at in "12"]
    assert answers == [base_pb2.CHECK_RESULT_DENIED, base_pb2.CHECK_RESULT_ALLOWED]
    error = refused(check, question(tenant), metadata=[("grantlog-as-of", "3")])
    assert (error.code(), error.details().split(":")[0]) == (
        grpc.StatusCode.INVALID_ARGUMENT, "BEYOND_HEAD",
    )  # fmt: skip


def test_health_says_serving(channel):
    health = health_pb2_grpc.HealthStub(channel)
    assert health.Check(health_pb2.HealthCheckRequest()).status == 1
    watching = health.Watch(health_pb2.HealthCheckRequest())
    assert next(watching).status == 1
    watching.cancel()


def test_reflection_lists_the_services(channel):
    reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    answer = next(reflection.ServerReflectionInfo(iter([asked])))
    names = {service.name for service in answer.list_services_response.service}
    assert names >= {f"base.v1.{name}" for name in
                     ("Permission", "Schema", "Data", "Bundle", "Tenancy", "Watch")}  # fmt: skip


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
@pytest.mark.parametrize(
    ("symbol", "file"),
    [
        ("base.v1.Permission", "grantlog/api/v1/service.proto"),
        ("base.v1.Permission.Check", "grantlog/api/v1/service.proto"),
        ("base.v1.Tuple", "grantlog/api/v1/base.proto"),
        ("grpc.health.v1.Health.Watch", "grpc_health/v1/health.proto"),
        ("base.v1.Permission.Guess", None),
        ("base.v1.Nothing.Check", None),
        ("nothing", None),
        ("", None),
    ],
)
def test_reflection_tells_the_file_of_a_symbol(channel, version, symbol, file):
    ask = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
    answer = next(ask(iter([asked])))
    if file is None:
        assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    else:
        protos = answer.file_descriptor_response.file_descriptor_proto
        assert descriptor_pb2.FileDescriptorProto.FromString(protos[0]).name == file


def test_bytes_that_are_no_message_do_no_harm(channel, tenant):
    raw = channel.unary_unary(
        "/base.v1.Permission/Check", request_serializer=bytes, response_deserializer=bytes
    )
    for damaged in (b"\xff\xff\xff", b"\n\x02\xff\xfe", b"\x1a\x05"):
        assert refused(raw, damaged).code() is grpc.StatusCode.INVALID_ARGUMENT
    check = service_pb2_grpc.PermissionStub(channel).Check
    assert check(question(tenant)).can == base_pb2.CHECK_RESULT_DENIED
