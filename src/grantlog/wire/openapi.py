"""The OpenAPI 3.1 document of the REST API, from the descriptors and the routes."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from importlib.metadata import version
from typing import Final, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from grantlog.api.v1 import service_pb2
from grantlog.wire.openapi_examples import EXAMPLES, PATH
from grantlog.wire.openapi_schemas import STATUS, Json, Role, Schemas, path_schema, refer
from grantlog.wire.openapi_texts import (
    ABOUT,
    ANSWER_HEADERS,
    FILTERS,
    OPERATIONS,
    STANDING,
    STATUSES,
    TERMS,
    OperationText,
)
from grantlog.wire.transcode import ROUTES, Route, path_variables

EVENTS_PATH: Final = "/v1/tenants/{tenant_id}/watch/events"
"""Watching by server-sent events: the one path that is not an RPC's."""

NDJSON: Final = "application/x-ndjson"
_JSON: Final = "application/json"
_MISSING: Final = 404
_CLASH: Final = 409
_REFUSED: Final = 503
_OF_BODIES: Final = (413, 415)
_EVENTS: Final = "watch.events"
_LINES: Final = "Lines of JSON, named application/json unless the request accepts x-ndjson."
_TAGS: Final = {
    "Schema": "Schema versions of a tenant.",
    "Data": "Relationships and attributes of a tenant.",
    "Permission": "Questions about who may do what.",
    "Watch": "The stream of changes of a tenant.",
    "Bundle": "Named templates of data writes.",
    "Tenancy": "The list of tenants.",
}


def openapi_document(methods_with_terms: Collection[str]) -> Json:
    """The document as a JSON value; the same for every call of one version.

    Args:
        methods_with_terms: the full methods whose request may name the revision to answer at.
    """
    schemas = Schemas(
        _messages(r.request_class for r in ROUTES if r.body),
        _messages(r.response_class for r in ROUTES),
        bound_by_path=["tenant_id"],
    )
    paths: dict[str, Json] = {}
    for route in ROUTES:
        operation = _operation(route, schemas, timed=route.full_method in methods_with_terms)
        paths.setdefault(route.path_template, {})[route.verb.lower()] = operation
    paths[EVENTS_PATH] = {"get": _events()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Grantlog",
            "version": version("grantlog"),
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas.components(),
            "responses": {**_errors(streaming=False), **_errors(streaming=True)},
        },
    }


def _messages(kinds: Iterable[type[Message]]) -> list[Descriptor]:
    return [cast("Descriptor", kind.DESCRIPTOR) for kind in kinds]


def _operation(route: Route, schemas: Schemas, *, timed: bool) -> Json:
    text = OPERATIONS[route.operation_id]
    variables = _variables(route.path_template, cast("Descriptor", route.request_class.DESCRIPTOR))
    is_watch = route.service == "Watch"
    operation = _words(route.operation_id, route.tag, text)
    operation["parameters"] = [
        *variables,
        *(TERMS if timed else []),
        *(_filters() if is_watch else []),
    ]
    answer = schemas.reference(cast("Descriptor", route.response_class.DESCRIPTOR), Role.ANSWERED)
    operation["responses"] = {
        "200": _answer(answer, route, timed=timed),
        **_failures(text, body=route.body, streaming=route.server_streaming),
    }
    if route.body:
        operation["requestBody"] = _body(route, schemas)
    return operation


def _body(route: Route, schemas: Schemas) -> Json:
    """The body of a request; one that is left out stands for `{}`."""
    kind = cast("Descriptor", route.request_class.DESCRIPTOR)
    example = {"value": EXAMPLES[route.operation_id]}
    content = {"schema": schemas.reference(kind, Role.SENT), "examples": {"example": example}}
    return {"required": schemas.needs_body(kind), "content": {_JSON: content}}


def _words(operation_id: str, tag: str, text: OperationText) -> Json:
    return {
        "operationId": operation_id,
        "tags": [tag],
        "summary": text.summary,
        "description": text.description,
    }


def _variables(template: str, request: Descriptor) -> list[Json]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": path_schema(request.fields_by_name[name]),
            "example": PATH[name],
        }
        for name in path_variables(template)
    ]


def _filters() -> list[Json]:
    return [_query(name, text) for name, text in FILTERS.items()]


def _query(name: str, text: str) -> Json:
    return {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}


def _answer(schema: Json, route: Route, *, timed: bool) -> Json:
    answer: Json = {"description": "The answer.", "content": _json(schema)}
    if route.server_streaming:
        answer = _lines(schema)
    words = {**(STANDING if timed else {}), **ANSWER_HEADERS.get(route.operation_id, {})}
    headers = {
        name: {"description": said, "schema": {"type": "string"}} for name, said in words.items()
    }
    return {**answer, "headers": headers} if headers else answer


def _lines(schema: Json) -> Json:
    line = {
        "description": "One line; `error` only in the last one.",
        "oneOf": [
            {"type": "object", "properties": {"result": schema}, "required": ["result"]},
            _stream_error(),
        ],
    }
    return {"description": _LINES, "content": {NDJSON: {"schema": line}, **_json(line)}}


def _events() -> Json:
    """Watching by server-sent events, which no RPC's annotation describes."""
    operation = _words(_EVENTS, "Watch", OPERATIONS[_EVENTS])
    request = service_pb2.WatchRequest.DESCRIPTOR
    resumed = {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "Goes before `snap_token`; browsers send it when they connect again.",
        "schema": {"type": "string"},
    }
    token = _query("snap_token", "Go on after this token; without one, after the head.")
    operation["parameters"] = [*_variables(EVENTS_PATH, request), token, *_filters(), resumed]
    stream = {"text/event-stream": {"schema": {"type": "string"}}}
    operation["responses"] = {
        "200": {"description": "Events without an end.", "content": stream},
        **_failures(OPERATIONS[_EVENTS], body=False, streaming=False),
    }
    return operation


def _failures(text: OperationText, *, body: bool, streaming: bool) -> Json:
    """References to the errors that an operation may end with, by status."""
    occurs = {_MISSING: text.may_miss, _CLASH: text.may_clash, **dict.fromkeys(_OF_BODIES, body)}
    return {
        str(status): {"$ref": f"#/components/responses/{_error_name(status, streaming=streaming)}"}
        for status in STATUSES
        if occurs.get(status, True)
    }


def _errors(*, streaming: bool) -> Json:
    """The errors by their component's name; no stream writes, so none clashes."""
    schemas = dict.fromkeys(STATUSES, _stream_error() if streaming else refer(STATUS))
    if streaming:
        del schemas[_CLASH]
        # A node that is full or shutting down refuses before it knows what is called.
        schemas[_REFUSED] = {"anyOf": [_stream_error(), refer(STATUS)]}
    return {
        _error_name(status, streaming=streaming): {
            "description": STATUSES[status],
            "content": _json(schema),
        }
        for status, schema in schemas.items()
    }


def _error_name(status: int, *, streaming: bool) -> str:
    return f"StreamError{status}" if streaming else f"Error{status}"


def _stream_error() -> Json:
    return {"type": "object", "properties": {"error": refer(STATUS)}, "required": ["error"]}


def _json(schema: Json) -> Json:
    return {_JSON: {"schema": schema}}
