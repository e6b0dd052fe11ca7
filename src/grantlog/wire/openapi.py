"""The OpenAPI 3.1 document of the REST API, from the descriptors and the routes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final, cast

from google.protobuf.descriptor import Descriptor

from grantlog.wire.openapi_schemas import reference, schemas_of
from grantlog.wire.transcode import ROUTES, Route, path_variables

EVENTS_PATH: Final = "/v1/tenants/{tenant_id}/watch/events"
"""Watching by server-sent events: the one path that is not an RPC's."""

_ERROR: Final = "google.rpc.Status"
_TAGS: Final = {
    "Permission": "Questions about who may do what.",
    "Watch": "The stream of changes of a tenant.",
    "Schema": "Schema versions of a tenant.",
    "Data": "Relationships and attributes of a tenant.",
    "Bundle": "Named templates of data writes.",
    "Tenancy": "The list of tenants.",
}


def openapi_document() -> dict[str, Any]:
    """The document as a JSON value; the same for every call of one version."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path_template, {})[route.verb.lower()] = _operation(route)
    paths[EVENTS_PATH] = {"get": _events()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Grantlog",
            "version": version("grantlog"),
            "description": "Authorization from relationships, attributes and a schema.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas_of(_messages(ROUTES)),
            "securitySchemes": {
                "ApiKeyAuth": {"type": "apiKey", "in": "header", "name": "Authorization"}
            },
        },
        "security": [{}, {"ApiKeyAuth": []}],
    }


def _events() -> dict[str, Any]:
    """Watching by server-sent events, which no RPC's annotation describes."""
    texts = {
        "snap_token": "Go on behind this token; without one, behind the head.",
        "entity_types": "Only changes about entities of these types, separated by commas.",
        "relations": "Only changes of these relations or attributes.",
        "subjects": "Only changes of tuples with these subjects: user, user:1, team:2#member.",
    }
    query = [
        {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}
        for name, text in texts.items()
    ]
    tenant = {"name": "tenant_id", "in": "path", "required": True, "schema": {"type": "string"}}
    resumed = {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}}
    answer = {"text/event-stream": {"schema": {"type": "string"}}}
    return {
        "operationId": "watch.events",
        "tags": ["Watch"],
        "summary": "Watch as server-sent events",
        "description": "The id of an event is the token to go on from, its data a WatchResponse.",
        "parameters": [tenant, *query, resumed],
        "responses": {
            "200": {"description": "Events without an end.", "content": answer},
            "default": {"description": "An error.", "content": _json(reference(_ERROR))},
        },
    }


def _messages(routes: Sequence[Route]) -> list[Descriptor]:
    """What bodies hold; a call without a body has its request in the address."""
    kinds = [route.request_class for route in routes if route.body]
    kinds.extend(route.response_class for route in routes)
    return [cast("Descriptor", kind.DESCRIPTOR) for kind in kinds]


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.operation_id,
        "tags": [route.tag],
        "summary": route.full_method.removeprefix("/base.v1."),
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in path_variables(route.path_template)
        ],
        "responses": {"200": _answer(route), "default": _failure(route)},
    }
    if route.body:
        request = reference(route.request_class.DESCRIPTOR.full_name)
        operation["requestBody"] = {"required": True, "content": _json(request)}
    return operation


def _answer(route: Route) -> dict[str, Any]:
    schema = reference(route.response_class.DESCRIPTOR.full_name)
    if not route.server_streaming:
        return {"description": "The answer.", "content": _json(schema)}
    line = {
        "type": "object",
        "properties": {"result": schema, "error": reference(_ERROR)},
        "description": "One line of the stream; `error` only as the last one.",
    }
    return {"description": "Newline-delimited JSON objects.", "content": _json(line)}


def _failure(route: Route) -> dict[str, Any]:
    schema: dict[str, Any] = reference(_ERROR)
    if route.server_streaming:
        schema = {"type": "object", "properties": {"error": schema}}
    return {"description": "An error.", "content": _json(schema)}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
