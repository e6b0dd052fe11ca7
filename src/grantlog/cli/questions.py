"""Single calls to a running server."""

from __future__ import annotations

from typing import Final, NamedTuple

import orjson
from grpc_health.v1 import health_pb2

from grantlog.api.v1 import base_pb2, service_pb2, service_pb2_grpc
from grantlog.cli.address import Address, Greeting, greet
from grantlog.cli.grpc_client import connected, errors_told
from grantlog.errors import NotFoundError, UnavailableError
from grantlog.model.tuples import parse_entity, parse_subject
from grantlog.wire.convert import entity_message, subject_message
from grantlog.wire.protojson import encode

CALL_S_MAX: Final = 30.0
HEALTH_S_MAX: Final = 3.0
_HEALTH: Final = "/grpc.health.v1.Health/Check"


class Question(NamedTuple):
    """A check as typed on the command line."""

    tenant: str
    entity: str
    permission: str
    subject: str
    schema_version: str
    snap_token: str
    depth: int


async def ask(address: str, question: Question) -> bool:
    """Whether the server says allowed.

    Raises:
        InvalidInputError: entity or subject are not written as such.
        CallFailedError: the server refused the question.
    """
    request = service_pb2.PermissionCheckRequest(
        tenant_id=question.tenant,
        metadata=service_pb2.PermissionCheckRequestMetadata(
            schema_version=question.schema_version,
            snap_token=question.snap_token,
            depth=question.depth,
        ),
        entity=entity_message(parse_entity(question.entity)),
        permission=question.permission,
        subject=subject_message(parse_subject(question.subject)),
    )
    async with connected(address) as channel:
        with errors_told():
            answer = await service_pb2_grpc.PermissionStub(channel).Check(
                request, timeout=CALL_S_MAX
            )
    return answer.can == base_pb2.CHECK_RESULT_ALLOWED


async def write_schema(address: str, tenant: str, source: str) -> str:
    """Write a schema; its version.

    Raises:
        CallFailedError: the server refused it; the text has line and column.
    """
    request = service_pb2.SchemaWriteRequest(tenant_id=tenant, schema=source)
    async with connected(address) as channel:
        with errors_told():
            answer = await service_pb2_grpc.SchemaStub(channel).Write(request, timeout=CALL_S_MAX)
    return answer.schema_version


async def read_schema(address: str, tenant: str, version: str) -> str:
    """A schema's definition as indented JSON.

    Raises:
        CallFailedError: there is no such schema.
    """
    request = service_pb2.SchemaReadRequest(
        tenant_id=tenant, metadata=service_pb2.SchemaReadRequestMetadata(schema_version=version)
    )
    async with connected(address) as channel:
        with errors_told():
            answer = await service_pb2_grpc.SchemaStub(channel).Read(request, timeout=CALL_S_MAX)
    members = orjson.loads(encode(answer.schema))
    return orjson.dumps(members, option=orjson.OPT_INDENT_2).decode()


async def require_watch_serving(host: str, port: int) -> None:
    """Return if the watch service there says over gRPC that it serves.

    Raises:
        UnavailableError: it does not, or nobody answers.
        CallFailedError: it knows of no health.
    """
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    await _require_watch_there(place, Address(host, port))
    async with connected(place) as channel:
        ask_health = channel.unary_unary(
            _HEALTH,
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        with errors_told():
            answer = await ask_health(health_pb2.HealthCheckRequest(), timeout=HEALTH_S_MAX)
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise UnavailableError(f"the watch service at {place} is not serving; its log says why")


async def _require_watch_there(place: str, address: Address) -> None:
    told = "(--host and --grpc-port, or GRANTLOG_HOST and GRANTLOG_GRPC_PORT, say where it is)"
    try:
        greeting = await greet(address)
    except NotFoundError as error:
        raise NotFoundError(f"there is no host {address.host!r} {told}") from error
    if greeting is Greeting.NOBODY:
        raise UnavailableError(
            f"no watch service answers at {place}: start `grantlog run watch` {told}"
        )
    if greeting is not Greeting.HTTP2:
        raise UnavailableError(f"what listens at {place} is no watch service {told}")
