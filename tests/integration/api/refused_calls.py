"""Calls that are refused, one for each reason that a request alone can provoke."""

from __future__ import annotations

from typing import Any, NamedTuple

SCHEMA = """
entity user {}
entity team { relation member @user @team#member }
entity doc {
  relation viewer @user
  relation owner @user
  relation next @doc
  attribute level integer
  attribute public boolean
  permission view = viewer or next.view
  permission high = enough(level)
}
rule enough(level integer) {
  context.data.least <= level
}
"""
TENANT = "reasons"
DOC = {"type": "doc", "id": "1"}
ANN = {"type": "user", "id": "ann"}
IN = {"tenant_id": TENANT, "metadata": {}}
INTEGER = "type.googleapis.com/base.v1.IntegerValue"
STRING = "type.googleapis.com/base.v1.StringValue"


class Asked(NamedTuple):
    """A call that is refused."""

    method: str
    body: dict[str, Any]
    metadata: tuple[tuple[str, str], ...] = ()


def check(permission="view", *, depth=20, token="", said=(), **fields) -> Asked:
    """A check; `said` is a key and a value of its metadata."""
    metadata = {"depth": depth, "snap_token": token}
    body = {"tenant_id": TENANT, "metadata": metadata, "entity": DOC, "subject": ANN}
    return Asked(
        "Permission.Check", body | {"permission": permission} | fields, (said,) if said else ()
    )


def write(tuples=(), attributes=()) -> Asked:
    return Asked("Data.Write", {**IN, "tuples": list(tuples), "attributes": list(attributes)})


def fact(relation="viewer", subject=ANN, entity=DOC) -> dict[str, Any]:
    return {"entity": entity, "relation": relation, "subject": subject}


def attribute(name, kind=INTEGER, data: object = 1) -> dict[str, Any]:
    return {"entity": DOC, "attribute": name, "value": {"@type": kind, "data": data}}


def schema(text) -> Asked:
    return Asked("Schema.Write", {"tenant_id": TENANT, "schema": f"entity user {{}} {text}"})


def edit(entity="doc", version="", **edits) -> Asked:
    body = {"tenant_id": TENANT, "metadata": {"schema_version": version}, "partials": {}}
    return Asked("Schema.PartialWrite", body | {"partials": {entity: edits}})


def bundle(*operations, **fields) -> Asked:
    made = {"name": "b", "operations": list(operations), **fields}
    return Asked("Bundle.Write", {"tenant_id": TENANT, "bundles": [made]})


def run(name="made", **arguments) -> Asked:
    return Asked("Data.RunBundle", {"tenant_id": TENANT, "name": name, "arguments": arguments})


READ = Asked("Data.ReadRelationships", {**IN, "filter": {}})
MADE = bundle(
    {"relationships_write": ["doc:{{.id}}#viewer@user:ann"]}, name="made", arguments=["id"]
)
TEXT_TWICE = {"relationships_write": ["doc:1#viewer@user:1"] * 2}

REFUSED = {
    "ERROR_CODE_VALIDATION": check(entity={"type": "d0c", "id": "1"}),
    "ERROR_CODE_DEPTH_NOT_ENOUGH": check(
        depth=3,
        context={"tuples": [
            fact("next", {"type": "doc", "id": str(n + 1)}, {"type": "doc", "id": str(n)})
            for n in range(1, 9)
        ]},
    ),
    "ERROR_CODE_INVALID_CONTINUOUS_TOKEN": Asked(
        READ.method, {**READ.body, "continuous_token": "x"}
    ),
    "ERROR_CODE_ENTITY_AND_SUBJECT_CANNOT_BE_EQUAL": write(
        [fact("viewer", {**DOC, "relation": "viewer"})]
    ),
    "ERROR_CODE_UNIQUE_CONSTRAINT": Asked("Tenancy.Create", {"id": "t1", "name": "again"}),
    "ERROR_CODE_MAX_DATA_PER_WRITE_EXCEEDED": write(
        [fact("viewer", {"type": "user", "id": str(n)}) for n in range(1_001)]
    ),
    "ERROR_CODE_INVALID_ARGUMENT": run(id="1#owner@user:eve"),
    "ERROR_CODE_MISSING_ARGUMENT": run(),
    "ERROR_CODE_ALREADY_EXIST": bundle(TEXT_TWICE),
    "ERROR_CODE_CANNOT_CONVERT_TO_ENTITY_STATEMENT": edit("enough", write=["relation a @user"]),
    "ERROR_CODE_SCHEMA_PARSE": schema("entity doc { relation }"),
    "ERROR_CODE_SCHEMA_COMPILE": schema("entity d { attribute a integer permission p = a }"),
    "ERROR_CODE_NO_ENTITY_REFERENCES_FOUND_IN_SCHEMA": Asked(
        "Schema.Write", {"tenant_id": TENANT, "schema": ""}
    ),
    "ERROR_CODE_DUPLICATED_ENTITY_REFERENCE": schema("entity user {}"),
    "ERROR_CODE_DUPLICATED_RELATION_REFERENCE": schema(
        "entity d { relation a @user attribute a boolean }"
    ),
    "ERROR_CODE_DUPLICATED_PERMISSION_REFERENCE": schema(
        "entity d { relation a @user permission a = a }"
    ),
    "ERROR_CODE_RELATION_REFERENCE_NOT_FOUND_IN_ENTITY_REFERENCES": schema(
        "entity d { relation a @nobody }"
    ),
    "ERROR_CODE_UNDEFINED_RELATION_REFERENCE": schema("entity d { permission p = a }"),
    "ERROR_CODE_NOT_SUPPORTED_RELATION_WALK": schema(
        "entity d { relation a @d permission p = a.a.a }"
    ),
    "ERROR_CODE_INVALID_RULE_REFERENCE": schema("entity d { permission p = nothing(a) }"),
    "ERROR_CODE_NOT_SUPPORTED_WALK": schema(
        "entity d { relation n @d attribute a boolean permission p = r(n.a) } "
        "rule r(a boolean) { a }"
    ),
    "ERROR_CODE_NOT_FOUND": Asked("Tenancy.Delete", {"id": "nobody"}),
    "ERROR_CODE_SCHEMA_NOT_FOUND": check("edit"),
    "ERROR_CODE_ENTITY_DEFINITION_NOT_FOUND": check(entity={"type": "enough", "id": "1"}),
    "ERROR_CODE_RULE_DEFINITION_NOT_FOUND": check("user"),
    "ERROR_CODE_RELATION_DEFINITION_NOT_FOUND": write([fact("view")]),
    "ERROR_CODE_SUBJECT_TYPE_NOT_FOUND": write([fact("viewer", DOC)]),
    "ERROR_CODE_ATTRIBUTE_DEFINITION_NOT_FOUND": write((), [attribute("size")]),
    "ERROR_CODE_ATTRIBUTE_TYPE_MISMATCH": write((), [attribute("level", STRING, "x")]),
    "ERROR_CODE_BUNDLE_NOT_FOUND": run("nothing"),
    "ERROR_CODE_ENTITY_STATEMENT_NOT_FOUND": edit("page", write=["relation a @user"]),
    "ERROR_CODE_REFERENCE_NOT_FOUND": edit(delete=["nothing"]),
    "INVALID_SNAP_TOKEN": check(token="garbled"),
    "BEYOND_HEAD": check(said=("grantlog-as-of", "1000000")),
    "INVALID_AS_OF": check(said=("grantlog-as-of", "yesterday")),
    "AS_OF_IN_FUTURE": check(said=("grantlog-as-of", "2999-01-01T00:00:00Z")),
    "INVALID_CONSISTENCY": check(said=("grantlog-consistency", "nothing")),
    "INVALID_MAX_STALENESS": check(said=("grantlog-max-staleness-ms", "soon")),
    "UNKNOWN_METADATA": check(said=("grantlog-asof", "7")),
    "RULE_EVALUATION_FAILED": check(
        "high", context={"attributes": [attribute("level")], "data": {"other": 1}}
    ),
    "LIMIT_EXCEEDED": check("high", context={"data": {"least": 1, "text": "x" * 70_000}}),
}  # fmt: skip
"""A call for every reason that a request alone can provoke."""
