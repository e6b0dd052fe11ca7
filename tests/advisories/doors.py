"""Calls by the contract's names through either door, with JSON in and out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import grpc
import httpx
from google.protobuf import json_format
from grpc import aio

from grantlog.model.attributes import Attribute, parse_attribute
from grantlog.model.tuples import RelationTuple, parse_entity, parse_subject, parse_tuple
from grantlog.wire.transcode import ROUTES, Route, path_variables
from tests.conformance.corpus import attribute_json, tuple_json

BY_NAME = {f"{route.service}/{route.method}": route for route in ROUTES}
CALL_S_MAX = 60


class RefusedError(Exception):
    """A call that did not end well."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        """The gRPC code's number."""
        self.reason = message.partition(":")[0]
        self.message = message

    @property
    def is_ours(self) -> bool:
        """UNKNOWN, INTERNAL or DATA_LOSS: what no caller may ever provoke."""
        return self.code in {2, 13, 15}


class Door(Protocol):
    """One of the two ways in."""

    name: str

    async def call(self, name: str, tenant: str, body: Any, **metadata: str) -> dict:
        """Answer `Permission/Check`; raises RefusedError."""
        ...

    async def stream(self, name: str, tenant: str, body: Any) -> list[dict]:
        """All messages of a stream; raises RefusedError."""
        ...


class Rest:
    """REST."""

    name = "rest"

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def call(self, name: str, tenant: str, body: Any, **metadata: str) -> dict:
        route = BY_NAME[name]
        answer = await self.client.request(
            route.verb, path_of(route, tenant), json=body if route.body else None,
            headers={key.replace("_", "-"): value for key, value in metadata.items()},
        )  # fmt: skip
        if answer.status_code != 200:
            raise refused(answer.json())
        return answer.json()

    async def stream(self, name: str, tenant: str, body: Any) -> list[dict]:
        route = BY_NAME[name]
        found = []
        async with self.client.stream("POST", path_of(route, tenant), json=body) as answer:
            async for line in answer.aiter_lines():
                told = json.loads(line)
                if "error" in told:
                    raise refused(told["error"])
                found.append(told["result"])
        return found


def path_of(route: Route, tenant: str) -> str:
    """The path of a call."""
    (variable,) = path_variables(route.path_template) or ("",)
    return route.path_template.replace("{%s}" % variable, tenant)  # noqa: UP031 - braces


def refused(body: dict) -> RefusedError:
    """The failure that a body tells."""
    return RefusedError(body["code"], body["message"])


class Grpc:
    """gRPC."""

    name = "grpc"

    def __init__(self, channel: aio.Channel) -> None:
        self.channel = channel

    async def call(self, name: str, tenant: str, body: Any, **metadata: str) -> dict:
        try:
            return as_json(await self.begun(name, tenant, body, **metadata))
        except aio.AioRpcError as error:
            raise _refused(error) from None

    def begun(
        self, name: str, tenant: str, body: Any, *, call_s_max: float = CALL_S_MAX, **metadata: str
    ) -> aio.UnaryUnaryCall:
        """A call that the test ends itself."""
        route = BY_NAME[name]
        pairs = tuple((key.replace("_", "-"), value) for key, value in metadata.items())
        open_call = self.channel.unary_unary(
            route.full_method,
            request_serializer=route.request_class.SerializeToString,
            response_deserializer=route.response_class.FromString,
        )
        return open_call(request_of(route, tenant, body), timeout=call_s_max, metadata=pairs)

    async def stream(self, name: str, tenant: str, body: Any) -> list[dict]:
        try:
            return [as_json(m) async for m in self.opened(name, tenant, body)]
        except aio.AioRpcError as error:
            raise _refused(error) from None

    def opened(self, name: str, tenant: str, body: Any) -> aio.UnaryStreamCall:
        """A stream that the test reads itself."""
        route = BY_NAME[name]
        open_call = self.channel.unary_stream(
            route.full_method,
            request_serializer=route.request_class.SerializeToString,
            response_deserializer=route.response_class.FromString,
        )
        return open_call(request_of(route, tenant, body), timeout=CALL_S_MAX)


def request_of(route: Route, tenant: str, body: Any) -> Any:
    """The message of a call."""
    (variable,) = path_variables(route.path_template) or ("",)
    named = {variable: tenant} if variable else {}
    return json_format.ParseDict(body | named, route.request_class())


def as_json(message: Any) -> dict:
    """A message with all its fields."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _refused(error: aio.AioRpcError) -> RefusedError:
    code: grpc.StatusCode = error.code()
    return RefusedError(code.value[0], error.details() or "")


@asynccontextmanager
async def both_doors(rest: str, grpc_address: str) -> AsyncIterator[tuple[Rest, Grpc]]:
    """Clients of both doors."""
    async with (
        httpx.AsyncClient(base_url=rest, timeout=CALL_S_MAX) as client,
        aio.insecure_channel(grpc_address) as channel,
    ):
        yield Rest(client), Grpc(channel)


# ---------------------------------------------------------------------------------------------
# Bodies

META = {"depth": 100, "snap_token": "", "schema_version": ""}


def facts_of(words: str | list[str]) -> tuple[list[RelationTuple], list[Attribute]]:
    """Tuples `doc:1#viewer@user:1` and attributes `doc:1$public|boolean:true`."""
    found = words.split() if isinstance(words, str) else words
    return (
        [parse_tuple(word) for word in found if "|" not in word],
        [parse_attribute(word) for word in found if "|" in word],
    )


def facts_json(words: str | list[str]) -> dict:
    """Facts as the fields `tuples` and `attributes`."""
    tuples, attributes = facts_of(words)
    return {
        "tuples": [tuple_json(fact) for fact in tuples],
        "attributes": [attribute_json(fact) for fact in attributes],
    }


def context_json(words: str | list[str] = "", data: Any = None) -> dict:
    """A request's context."""
    return facts_json(words) | ({"data": data} if data is not None else {})


def item(question: str) -> dict:
    """`doc:1#view@user:1` as entity, permission and subject."""
    place, _, subject = question.partition("@")
    entity, _, permission = place.partition("#")
    return {
        "entity": parse_entity(entity)._asdict(),
        "permission": permission,
        "subject": parse_subject(subject)._asdict(),
    }


async def check(
    door: Door, tenant: str, question: str, *, context: dict | None = None, **meta: Any
) -> bool:
    """Whether a question is allowed."""
    body = {"metadata": META | meta, **item(question)}
    if context is not None:
        body["context"] = context
    answer = await door.call("Permission/Check", tenant, body)
    return allowed(answer["can"])


def allowed(can: str) -> bool:
    """What an answer says; nothing but the two words is one."""
    return {"CHECK_RESULT_ALLOWED": True, "CHECK_RESULT_DENIED": False}[can]


async def bulk(
    door: Door, tenant: str, questions: list[str], *, context: dict | None = None, **meta: Any
) -> list[bool]:
    """The answers to up to a hundred questions."""
    body = {"metadata": META | meta, "items": [item(q) for q in questions]}
    if context is not None:
        body["context"] = context
    answer = await door.call("Permission/BulkCheck", tenant, body)
    return [allowed(result["can"]) for result in answer["results"]]


async def put_schema(door: Door, tenant: str, schema: str) -> str:
    """Put a schema in force; its version."""
    return (await door.call("Schema/Write", tenant, {"schema": schema}))["schema_version"]


async def put(door: Door, tenant: str, words: str | list[str]) -> str:
    """Write facts; the token."""
    body = {"metadata": {"schema_version": ""}, **facts_json(words)}
    return (await door.call("Data/Write", tenant, body))["snap_token"]


async def remove(door: Door, tenant: str, word: str) -> str:
    """Delete one tuple; the token."""
    fact = parse_tuple(word)
    where = {
        "entity": {"type": fact.entity.type, "ids": [fact.entity.id]},
        "relation": fact.relation,
        "subject": {"type": fact.subject.type, "ids": [fact.subject.id],
                    "relation": fact.subject.relation},
    }  # fmt: skip
    body = {"tuple_filter": where, "attribute_filter": {}}
    return (await door.call("Data/Delete", tenant, body))["snap_token"]
