"""The OpenAPI document is complete, consistent and says what is enforced."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from grantlog.api.v1 import service_pb2
from grantlog.app.terms import CONSISTENCY, KEYS, MAX_STALENESS, STALENESS_MS_MAX, Consistency
from grantlog.engine.question import DEPTH_MAX
from grantlog.errors import FieldViolationError
from grantlog.serving.metadata import ANSWERED
from grantlog.serving.watching import FILTERS
from grantlog.wire import openapi_texts
from grantlog.wire.openapi import openapi_document
from grantlog.wire.openapi_examples import EXAMPLES
from grantlog.wire.protojson import decode_object
from grantlog.wire.status import HTTP_OF_CODE
from grantlog.wire.transcode import ROUTES, Route, bind, path_variables
from grantlog.wire.validate import _field_checks, validate

VERBS = {"get", "put", "post", "delete", "patch"}
CHECK = "/base.v1.Permission/Check"
EVENTS_PATH = "/v1/tenants/{tenant_id}/watch/events"
DOCUMENT = openapi_document({CHECK})
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = {
    operation["operationId"]: operation
    for item in DOCUMENT["paths"].values()
    for operation in item.values()
}


def walk(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from walk(item)
    elif isinstance(value, list):
        for item in value:
            yield from walk(item)


def test_every_route_is_described_once() -> None:
    paths = DOCUMENT["paths"]
    described = {
        (verb.upper(), path, operation["operationId"], *operation["tags"])
        for path, item in paths.items()
        for verb, operation in item.items()
    }
    described.remove(("GET", EVENTS_PATH, "watch.events", "Watch"))
    assert described == {(r.verb, r.path_template, r.operation_id, r.tag) for r in ROUTES}
    assert all(set(item) <= VERBS for item in paths.values())


def test_every_reference_leads_somewhere_and_every_component_is_used() -> None:
    used = {node["$ref"] for node in walk(DOCUMENT) if "$ref" in node}
    assert used == {
        f"#/components/{kind}/{name}"
        for kind, found in DOCUMENT["components"].items()
        for name in found
    }


def test_every_text_is_about_something_that_is_there() -> None:
    assert openapi_texts.OPERATIONS.keys() == OPERATIONS.keys()
    assert openapi_texts.ANSWER_HEADERS.keys() <= OPERATIONS.keys()
    assert {route.operation_id for route in ROUTES} == EXAMPLES.keys()
    assert {name.replace("-", "_") for name in FILTERS} == openapi_texts.FILTERS.keys()
    assert openapi_texts.MESSAGES.keys() <= SCHEMAS.keys()
    said = {node.get("description") for node in walk(SCHEMAS)}
    assert set(openapi_texts.FIELDS.values()) <= said
    for operation in OPERATIONS.values():
        assert operation["summary"]
        assert operation["description"].endswith(".") or operation["description"].endswith("?")


def test_path_variables_are_required_parameters() -> None:
    operation = OPERATIONS["tenants.delete"]
    assert operation["parameters"] == [
        {
            "name": "id",
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1},
            "example": "acme",
        }
    ]
    assert "requestBody" not in operation
    (tenant,) = OPERATIONS["schemas.write"]["parameters"]
    assert tenant["schema"]["pattern"] == r"^([a-zA-Z0-9_\-@\.:+]{1,128}|\*)$"
    assert "tenant_id" not in SCHEMAS["base.v1.SchemaWriteRequest"]["properties"]


def test_every_operation_names_its_statuses_and_none_stands_for_the_rest() -> None:
    always = {"200", "400", "429", "500", "503", "504"}
    for name, operation in OPERATIONS.items():
        statuses = set(operation["responses"])
        assert always <= statuses <= always | {"404", "409", "413", "415"}, name
        assert ("413" in statuses) == ("415" in statuses) == ("requestBody" in operation), name
    made = set(HTTP_OF_CODE.values()) - {200}
    # Nobody is authenticated, every call is served, and nobody reads what a client left behind.
    assert made - {401, 403, 499, 501} == openapi_texts.STATUSES.keys() - {413, 415}


@pytest.mark.parametrize("name", OPERATIONS)
def test_errors_have_the_contracts_body(name: str) -> None:
    streaming = name in ("permissions.lookupEntityStream", "watch.watch")
    for status, answer in OPERATIONS[name]["responses"].items():
        if status == "200":
            continue
        component = answer["$ref"].rpartition("/")[2]
        found = DOCUMENT["components"]["responses"][component]["content"]["application/json"]
        schema = found["schema"]
        if streaming and status == "503":
            schema = schema["anyOf"][0]
        if streaming:
            schema = schema["properties"]["error"]
        assert schema == {"$ref": "#/components/schemas/google.rpc.Status"}
    assert SCHEMAS["google.rpc.Status"]["required"] == ["code", "message", "details"]


def test_streams_are_lines_and_events() -> None:
    lines = OPERATIONS["permissions.lookupEntityStream"]["responses"]["200"]["content"]
    assert lines.keys() == {"application/x-ndjson", "application/json"}
    result, error = lines["application/x-ndjson"]["schema"]["oneOf"]
    assert (result["required"], error["required"]) == (["result"], ["error"])
    events = OPERATIONS["watch.events"]["responses"]["200"]["content"]
    assert events.keys() == {"text/event-stream"}


@pytest.mark.parametrize("header", KEYS)
def test_only_what_has_terms_takes_their_headers(header: str) -> None:
    with_header = {
        name
        for name, operation in OPERATIONS.items()
        if header in {parameter["name"] for parameter in operation["parameters"]}
    }
    assert with_header == {"permissions.check"}


def test_headers_are_those_that_are_read_and_said() -> None:
    read = {each["name"]: each["schema"] for each in openapi_texts.TERMS}
    assert read.keys() == set(KEYS)
    assert read[CONSISTENCY]["enum"] == [each.value for each in Consistency]
    assert read[MAX_STALENESS]["maximum"] == STALENESS_MS_MAX
    of_some = [name for names in openapi_texts.ANSWER_HEADERS.values() for name in names]
    assert {*openapi_texts.STANDING, *of_some} == set(ANSWERED)


def test_only_what_stands_at_a_revision_says_so() -> None:
    saying = {
        name
        for name, operation in OPERATIONS.items()
        if "grantlog-token" in operation["responses"]["200"].get("headers", {})
    }
    assert saying == {"permissions.check"}


def test_nothing_is_said_about_authentication_that_is_not_there() -> None:
    assert "security" not in DOCUMENT
    assert "securitySchemes" not in DOCUMENT["components"]


def test_requests_and_answers_are_described_as_the_codec_reads_and_writes_them() -> None:
    request = SCHEMAS["base.v1.PermissionCheckRequest"]
    assert request["required"] == ["metadata", "entity", "permission", "subject"]
    assert request["properties"]["entity"] == {"$ref": "#/components/schemas/base.v1.Entity"}
    depth = SCHEMAS["base.v1.PermissionCheckRequestMetadata"]["properties"]["depth"]
    assert (depth["minimum"], depth["maximum"], depth["type"]) == (3, DEPTH_MAX, "integer")
    scope = SCHEMAS["base.v1.PermissionLookupEntityRequest"]["properties"]["scope"]
    assert scope["additionalProperties"]["$ref"].endswith("base.v1.StringArrayValue")
    items = SCHEMAS["base.v1.PermissionBulkCheckRequest"]["properties"]["items"]
    assert (items["minItems"], items["maxItems"]) == (1, 100)
    sent, answered = SCHEMAS["base.v1.Subject"], SCHEMAS["base.v1.Subject.Answer"]
    assert (sent["required"], answered["required"]) == (["type", "id"], ["type", "id", "relation"])
    check = SCHEMAS["base.v1.PermissionCheckResponse"]["properties"]
    assert {"type": "null"} in check["metadata"]["anyOf"]
    tree = SCHEMAS["base.v1.Expand"]
    assert tree["required"] == ["entity", "permission", "arguments"]  # one of the two others


def test_a_body_is_needed_where_a_field_is() -> None:
    assert OPERATIONS["permissions.check"]["requestBody"]["required"]
    assert not OPERATIONS["tenants.list"]["requestBody"]["required"]


def test_the_document_is_deterministic() -> None:
    assert json.dumps(openapi_document({CHECK})) == json.dumps(openapi_document({CHECK}))
    assert DOCUMENT["openapi"] == "3.1.0"


TEXTS = (
    "", "a", "_", "doc", "a" * 64, "a" * 65, "a" * 128, "a" * 129, "doc1", "a b", "a\n", "é", "*",
    "**", "a*", "1", "a@b.c:d+e-f_g", "a/b", "a#b", "1" * 128, "1" * 129, "%", "a,b", "...",
    "€" * 22,
)  # fmt: skip
KINDS = (
    "PermissionCheckRequest", "PermissionExpandRequest", "PermissionLookupEntityRequest", "Entity",
    "Subject", "RelationReference", "Tuple", "TupleFilter", "SubjectFilter", "EntityFilter",
    "ComputedAttribute", "TenantCreateRequest",
)  # fmt: skip
TEXT_FIELDS = [
    (field, SCHEMAS[f"base.v1.{name}"]["properties"][field.name])
    for name in KINDS
    for field in service_pb2.DESCRIPTOR.pool.FindMessageTypeByName(f"base.v1.{name}").fields
    if field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated
    if field.name != "tenant_id"
]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text[:12]))
def test_the_schema_of_a_text_admits_what_validation_admits(text: str) -> None:
    for field, shape in TEXT_FIELDS:
        pattern = shape.get("pattern", "").replace("$", r"\Z")  # as JSON Schema reads it
        is_short = len(text) <= shape.get("maxLength", len(text))
        admitted = is_short and re.search(pattern, text) is not None
        if passes(field, text):
            assert admitted, (field.full_name, text)
        elif pattern:  # without one the length counts, which is in bytes
            assert not admitted, (field.full_name, text)
    assert len(TEXT_FIELDS) > 15


def passes(field: FieldDescriptor, text: str) -> bool:
    """Whether the validation of a field finds nothing wrong with a text."""
    kind = GetMessageClass(field.containing_type)
    message = decode_object(kind, {field.name: text})
    try:
        for check in _field_checks(field):
            check(message)
    except FieldViolationError:
        return False
    return True


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.operation_id)
def test_examples_keep_the_rules(route: Route) -> None:
    example = EXAMPLES[route.operation_id]
    variables = dict.fromkeys(path_variables(route.path_template), "t1")
    validate(bind(route, variables, (), json.dumps(example).encode() if route.body else b""))


def without_each_required(value: Any, schema: dict[str, Any]) -> Iterator[Any]:
    """The value again and again, each time without another one of its required fields."""
    schema = SCHEMAS[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    for item, shape in parts(value, schema):
        for changed in without_each_required(value[item], shape):
            copy = value.copy()
            copy[item] = changed
            yield copy
    for name in schema.get("required", ()) if isinstance(value, dict) else ():
        yield {key: held for key, held in value.items() if key != name}


def parts(value: Any, schema: dict[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """What lies in an object or a list, with its schema."""
    if isinstance(value, list):
        yield from ((index, schema["items"]) for index in range(len(value)))
    elif isinstance(value, dict):
        shapes = schema.get("properties", {})
        yield from ((key, shapes[key]) for key in value if key in shapes)


BY_HANDLERS = re.compile(r"Attribute|Bundle|SchemaWrite")


@pytest.mark.parametrize("route", [r for r in ROUTES if r.body], ids=lambda r: r.operation_id)
def test_a_request_without_a_required_field_is_refused(route: Route) -> None:
    """Those that handlers refuse, beyond the contract's rules, are in e2e/test_openapi.py."""
    name = route.request_class.DESCRIPTOR.full_name
    schema = {"$ref": f"#/components/schemas/{name}"}
    for body in without_each_required(EXAMPLES[route.operation_id], schema):
        message = decode_object(route.request_class, {**body, "tenant_id": "t1"})
        try:
            validate(message)
        except FieldViolationError:
            continue
        assert BY_HANDLERS.search(name) or "attributes" in body, body
