"""Both doors of a service behind one way to call: a path, a body, and what goes beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
from google.protobuf import json_format

from grantlog.wire.transcode import ROUTES, Route
from tests.servers import Server

Said = dict[str, str]
NOTHING: Mapping[str, str] = {}


@dataclass
class RefusedError(Exception):
    """A call that was refused."""

    code: str
    message: str


class Rest:
    """REST."""

    def __init__(self, server: Server) -> None:
        self.client = httpx.Client(base_url=server.rest, timeout=30)

    def call(
        self, tenant: str, path: str, body: dict[str, Any], beside: Mapping[str, str] = NOTHING
    ) -> tuple[Any, Said]:
        """The answer, of a stream a list of them, and what came along."""
        route = route_of(path)
        address = route.path_template.format(tenant_id=tenant, id=tenant)
        answer = self.client.request(route.verb, address, json=body, headers=beside)
        if answer.status_code != 200:
            told = answer.json()
            told = told.get("error", told)
            raise RefusedError(f"{answer.status_code}", told["message"])
        said = {k: v for k, v in answer.headers.items() if k.startswith("grantlog-")}
        if route.server_streaming:
            return [json.loads(line)["result"] for line in answer.text.splitlines()], said
        return answer.json(), said

    def close(self) -> None:
        """Let go of connections."""
        self.client.close()


class Grpc:
    """gRPC."""

    def __init__(self, server: Server) -> None:
        self.channel = grpc.insecure_channel(server.grpc)

    def call(
        self, tenant: str, path: str, body: dict[str, Any], beside: Mapping[str, str] = NOTHING
    ) -> tuple[Any, Said]:
        """The answer, of a stream a list of them, and what came along."""
        route = route_of(path)
        metadata = tuple(beside.items())
        try:
            if route.server_streaming:
                calling = self._stub(route, self.channel.unary_stream)(
                    request_of(route, tenant, body), metadata=metadata
                )
                shown: Any = [_shown(message) for message in calling]
            else:
                answer, calling = self._stub(route, self.channel.unary_unary).with_call(
                    request_of(route, tenant, body), metadata=metadata
                )
                shown = _shown(answer)
        except grpc.RpcError as error:
            raise RefusedError(error.code().name, error.details()) from error
        said = dict(calling.trailing_metadata() or ())
        return shown, {k: v for k, v in said.items() if k.startswith("grantlog-")}

    def _stub(self, route: Route, of: Any) -> Any:
        return of(
            route.full_method,
            request_serializer=route.request_class.SerializeToString,
            response_deserializer=route.response_class.FromString,
        )

    def close(self) -> None:
        """Let go of the channel."""
        self.channel.close()


def route_of(path: str) -> Route:
    """The call at a path below a tenant, or at a whole path."""
    wanted = {path, f"/v1/tenants/{{tenant_id}}/{path}"}
    return next(route for route in ROUTES if route.path_template in wanted)


def request_of(route: Route, tenant: str, body: dict[str, Any]) -> Any:
    """A request of the call that a route leads to."""
    for name in ("tenant_id", "id"):
        if f"{{{name}}}" in route.path_template:
            body = body | {name: tenant}
    return json_format.ParseDict(body, route.request_class())


def _shown(message: Any) -> Any:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
