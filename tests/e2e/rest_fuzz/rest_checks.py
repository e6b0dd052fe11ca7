"""What schemathesis loads: checks of ours, where JSON Schema has no words for the contract.

In a request null is the same as leaving a field out, and whole numbers may stand in quotes. So what
the document forbids must be refused unless it is admitted once those are taken away. And the schema
of a stream is the schema of each of its lines.
"""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema_rs
import schemathesis
from schemathesis.specs.openapi.checks import AcceptedNegativeData, negative_data_rejection

WHOLE = re.compile(r"-?[0-9]{1,10}")
COUNTS = {"depth", "page_size"}
HEADER = "HEADER"
TERMS = ("grantlog-as-of", "grantlog-consistency", "grantlog-max-staleness-ms")
NDJSON = "application/x-ndjson"


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Leave the terms of an answer out of the systematic requests that are about something else.

    They would all carry the same ones, which contradict each other: right and wrong would be
    refused alike.
    """
    phase = case.meta.phase
    place = getattr(phase.data, "parameter_location", None)
    if phase.name.value == "coverage" and (place is None or place.name != HEADER):
        for name in TERMS:
            case.headers.pop(name, None)


@schemathesis.check
def what_is_forbidden_is_refused(ctx: Any, response: Any, case: Any) -> None:
    """Fail where the service took what the document does not admit."""
    try:
        negative_data_rejection(ctx, response, case)
    except AcceptedNegativeData:
        if not only_lenient(case):
            raise


def only_lenient(case: Any) -> bool:
    """Whether body and headers were wrong only by what the contract lets pass."""
    wrong = {place.name for place, part in case.meta.components.items() if part.mode.is_negative}
    if not wrong <= {"BODY", HEADER}:
        return False
    if "BODY" in wrong:
        schema = case.operation.get_body_for_media_type(case.media_type).raw_schema
        if not jsonschema_rs.validator_for(schema).is_valid(plain(case.body)):
            return False
    return HEADER not in wrong or documented_headers_are_right(case)


def documented_headers_are_right(case: Any) -> bool:
    """Whether only headers that nobody reads are odd."""
    operation = case.operation.schema.raw_schema["paths"][case.operation.path]
    for parameter in operation[case.operation.method]["parameters"]:
        value = case.headers.get(parameter["name"])
        if parameter["in"] == "header" and value is not None:
            is_whole = parameter["schema"].get("type") == "integer" and WHOLE.fullmatch(str(value))
            validator = jsonschema_rs.validator_for(parameter["schema"])
            if not validator.is_valid(int(value) if is_whole else value):
                return False
    return True


def plain(value: Any, key: str = "") -> Any:
    """A body without nulls as values of fields, and without quotes around whole numbers."""
    if isinstance(value, dict):
        return {k: plain(item, k) for k, item in value.items() if item is not None}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if key in COUNTS and isinstance(value, str) and WHOLE.fullmatch(value):
        return int(value)
    return value


@schemathesis.check
def each_line_is_as_documented(_ctx: Any, response: Any, case: Any) -> None:
    """Fail where a line of a stream is not what the document says."""
    if not response.headers.get("content-type", [""])[0].startswith(NDJSON):
        return
    document = case.operation.schema.raw_schema
    answers = document["paths"][case.operation.path][case.operation.method]["responses"]
    schema = answers[str(response.status_code)]["content"][NDJSON]["schema"]
    validator = jsonschema_rs.validator_for({**schema, "components": document["components"]})
    lines = response.content.decode().splitlines()
    for number, line in enumerate(lines, start=1):
        validator.validate(json.loads(line))
        assert number == len(lines) or "error" not in json.loads(line), "an error is the last line"
