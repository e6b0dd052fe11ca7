"""The examples of the OpenAPI document work on a fresh server, and are answered as documented."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema_rs
import pytest

from grantlog.wire.openapi_examples import EXAMPLES, PATH
from tests.servers import Server

NDJSON = "application/x-ndjson"
EVENTS = "/v1/tenants/{tenant_id}/watch/events"
CANNOT_MISS = [
    ("bundle.read", {}),
    ("bundle.delete", {}),
    ("bundle.run", {"arguments": {}}),
    ("bundle.write", {"bundles": [{"arguments": [], "operations": []}]}),
    ("schemas.write", {}),
    ("data.write", {"metadata": {}, "attributes": [{"entity": {"type": "doc", "id": "1"}}]}),
]
"""Bodies without a field that the document requires beyond the contract's rules."""


class Api:
    """A service that is called by what its document says."""

    def __init__(self, client: httpx.Client, path: dict[str, str]) -> None:
        self.client = client
        self.path = path
        self.document: dict[str, Any] = client.get("/openapi.json").json()

    def found(self, operation_id: str) -> tuple[str, str, dict[str, Any]]:
        """The verb, the path and the description of an operation."""
        for path, item in self.document["paths"].items():
            for verb, operation in item.items():
                if operation["operationId"] == operation_id:
                    return verb, path.format(**self.path), operation
        raise LookupError(operation_id)

    def call(self, operation_id: str, body: Any) -> httpx.Response:
        verb, path, _ = self.found(operation_id)
        return self.client.request(verb, path, json=body)

    def validate(self, operation_id: str, status: int, media_type: str, value: Any) -> None:
        """Return if an answer is what the document says."""
        answer = self.found(operation_id)[2]["responses"][str(status)]
        if "$ref" in answer:
            answer = self.document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
        schema = answer["content"][media_type]["schema"]
        whole = {**schema, "components": self.document["components"]}
        jsonschema_rs.validator_for(whole).validate(value)


@pytest.fixture(params=[PATH], ids=["t1"])
def api(own_server: Server, request: pytest.FixtureRequest) -> Iterator[Api]:
    """The service, called with the tenants of the examples unless told otherwise."""
    with httpx.Client(base_url=own_server.rest, timeout=30) as client:
        yield Api(client, request.param)


elsewhere = pytest.mark.parametrize("api", [{"tenant_id": "t2"}], indirect=True, ids=["t2"])
"""Leaves the tenants of the examples as fresh as they are."""


def first_line(api: Api, verb: str, path: str, **request: Any) -> str:
    """The first line of an endless answer that is not empty."""
    with api.client.stream(verb, path, **request) as answer:
        assert answer.status_code == 200, answer.read()
        return next(line for line in answer.iter_lines() if line)


def test_every_example_works_and_is_answered_as_documented(api: Api) -> None:
    for name, body in EXAMPLES.items():
        if name == "watch.watch":
            verb, path, _ = api.found(name)
            line = first_line(api, verb, path, json=body, headers={"accept": NDJSON})
            api.validate(name, 200, NDJSON, json.loads(line))
            continue
        answer = api.call(name, body)
        assert answer.status_code == 200, (name, answer.text)
        if name == "permissions.lookupEntityStream":
            found = [json.loads(line) for line in answer.text.splitlines()]
            assert [line["result"]["entity_id"] for line in found] == ["memo", "plan"]
            for line in found:
                api.validate(name, 200, NDJSON, line)
        else:
            api.validate(name, 200, "application/json", answer.json())
    assert first_line(api, "GET", EVENTS.format(**api.path)).startswith("retry: ")


@elsewhere
def test_the_examples_mean_what_they_say(api: Api) -> None:
    for name in ("schemas.write", "schemas.partial-write", "data.write", "relationships.write"):
        assert api.call(name, EXAMPLES[name]).status_code == 200
    asked = {
        name: api.call(f"permissions.{name}", EXAMPLES[f"permissions.{name}"]).json()
        for name in ("check", "bulk-check", "lookupSubject", "subjectPermission")
    }
    assert asked["check"]["can"] == "CHECK_RESULT_ALLOWED"
    assert [item["can"] for item in asked["bulk-check"]["results"]] == [
        "CHECK_RESULT_ALLOWED", "CHECK_RESULT_DENIED",
    ]  # fmt: skip
    assert asked["lookupSubject"]["subject_ids"] == ["ann", "bob"]
    assert asked["subjectPermission"]["results"]["audit"] == "CHECK_RESULT_DENIED"


@elsewhere
@pytest.mark.parametrize(("name", "body"), CANNOT_MISS, ids=[name for name, _ in CANNOT_MISS])
def test_what_the_document_requires_cannot_be_left_out(api: Api, name: str, body: Any) -> None:
    assert api.call("schemas.write", EXAMPLES["schemas.write"]).status_code == 200
    answer = api.call(name, body)
    assert answer.status_code in (400, 404), answer.text
    api.validate(name, answer.status_code, "application/json", answer.json())


@elsewhere
def test_a_stream_has_the_name_that_its_reader_accepts(api: Api) -> None:
    api.call("schemas.write", EXAMPLES["schemas.write"])
    name = "permissions.lookupEntityStream"
    _, path, _ = api.found(name)
    for accept, named in ((NDJSON, NDJSON), ("*/*", "application/json")):
        answer = api.client.post(path, json=EXAMPLES[name], headers={"accept": accept})
        assert answer.headers["content-type"] == named
