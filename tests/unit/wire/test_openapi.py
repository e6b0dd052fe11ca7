"""The OpenAPI document is complete, consistent and the same each time."""

import json
from collections.abc import Iterator
from typing import Any

from grantlog.wire.openapi import openapi_document
from grantlog.wire.transcode import ROUTES

VERBS = {"get", "put", "post", "delete", "patch"}


def walk(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from walk(item)
    elif isinstance(value, list):
        for item in value:
            yield from walk(item)


def test_every_route_is_described_once() -> None:
    paths = openapi_document()["paths"]
    described = {
        (verb.upper(), path, operation["operationId"], *operation["tags"])
        for path, item in paths.items()
        for verb, operation in item.items()
    }
    described.remove(("GET", "/v1/tenants/{tenant_id}/watch/events", "watch.events", "Watch"))
    assert described == {(r.verb, r.path_template, r.operation_id, r.tag) for r in ROUTES}
    assert all(set(item) <= VERBS for item in paths.values())


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    document = openapi_document()
    schemas = document["components"]["schemas"]
    used = {node["$ref"] for node in walk(document) if "$ref" in node}
    assert used == {f"#/components/schemas/{name}" for name in schemas}


def test_path_variables_are_required_parameters() -> None:
    operation = openapi_document()["paths"]["/v1/tenants/{id}"]["delete"]
    assert operation["parameters"] == [
        {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    ]
    assert "requestBody" not in operation


def test_errors_have_the_contracts_body() -> None:
    document = openapi_document()
    operation = document["paths"]["/v1/tenants/{tenant_id}/permissions/check"]["post"]
    schema = operation["responses"]["default"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/google.rpc.Status"}
    assert document["components"]["schemas"]["google.rpc.Status"]["required"] == [
        "code",
        "message",
        "details",
    ]


def test_messages_are_described_as_the_codec_reads_them() -> None:
    schemas = openapi_document()["components"]["schemas"]
    request = schemas["base.v1.PermissionCheckRequest"]
    assert request["required"] == ["metadata", "entity", "subject"]
    assert request["properties"]["entity"] == {"$ref": "#/components/schemas/base.v1.Entity"}
    assert schemas["base.v1.PermissionCheckRequestMetadata"]["properties"]["depth"] == {
        "type": "integer",
        "format": "int32",
        "minimum": 3,
    }
    scope = schemas["base.v1.PermissionLookupEntityRequest"]["properties"]["scope"]
    assert scope["additionalProperties"]["$ref"].endswith("base.v1.StringArrayValue")


def test_the_document_is_deterministic() -> None:
    assert json.dumps(openapi_document()) == json.dumps(openapi_document())
    assert openapi_document()["openapi"] == "3.1.0"
