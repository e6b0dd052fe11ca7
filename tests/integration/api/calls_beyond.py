"""Calls beyond a bound, and what their callers are told."""

from __future__ import annotations

from typing import Any

from tests.integration.api.refused_calls import SCHEMA, TENANT, Asked, attribute, check, fact, write

LONG = "a" * 129


def users(count: int) -> list[dict[str, Any]]:
    return [fact(subject={"type": "user", "id": str(n)}) for n in range(count)]


def deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


def schema(text: str) -> Asked:
    return Asked("Schema.Write", {"tenant_id": TENANT, "schema": text})


def bundle(**fields: Any) -> Asked:
    made = {"name": "b", "operations": [], **fields}
    return Asked("Bundle.Write", {"tenant_id": TENANT, "bundles": [made]})


def templates(count: int, text: str = "") -> list[dict[str, Any]]:
    return [{"relationships_write": [f"doc:{n}{text}#viewer@user:ann" for n in range(count)]}]


def lookup_in(ids: int) -> Asked:
    asked = {"tenant_id": TENANT, "metadata": {"depth": 20}, "entity_type": "doc"}
    scope = {"doc": {"data": [str(n) for n in range(ids)]}}
    more = {"permission": "view", "subject": {"type": "user", "id": "ann"}, "scope": scope}
    return Asked("Permission.LookupEntity", asked | more)


def letters(count: int) -> list[str]:
    return ["a" + "".join("bcdefghijk"[int(digit)] for digit in str(n)) for n in range(count)]


def rules(parameters: str, body: str) -> str:
    return f"entity user {{}} rule r({parameters}) {{{body}}}"


BULK_ITEM = {"entity": {"type": "doc", "id": "1"}, "permission": "view",
             "subject": {"type": "user", "id": "ann"}}  # fmt: skip
FILTERED = {"tenant_id": TENANT, "metadata": {}}

BEYOND: dict[str, tuple[Asked, str, str]] = {
    "id": (check(subject={"type": "user", "id": LONG}), "ERROR_CODE_VALIDATION", "128 bytes"),
    "name": (check(LONG), "ERROR_CODE_VALIDATION", "128 bytes"),
    "depth": (check(depth=1_001), "ERROR_CODE_VALIDATION", "at most 1000"),
    "bulk items": (
        Asked("Permission.BulkCheck", {"tenant_id": TENANT, "metadata": {"depth": 20},
                                       "items": [BULK_ITEM] * 101}),
        "ERROR_CODE_VALIDATION", "between 1 and 100",
    ),
    "context facts": (
        check(context={"tuples": users(10_001)}), "LIMIT_EXCEEDED", "at most 10000",
    ),
    "context data": (
        check(context={"data": {"a": "x" * 262_144}}), "LIMIT_EXCEEDED", "at most 262144",
    ),
    "filter values": (
        Asked("Data.ReadRelationships", {
            **FILTERED, "filter": {"entity": {"ids": [str(n) for n in range(10_001)]}},
        }),
        "LIMIT_EXCEEDED", "at most 10000",
    ),
    "scope": (lookup_in(100_001), "LIMIT_EXCEEDED", "at most 100000"),
    "staleness": (
        check(said=("grantlog-max-staleness-ms", "86400001")), "INVALID_MAX_STALENESS", "86400000",
    ),
    "watch filter": (
        Asked("Watch.Watch", {"tenant_id": TENANT},
              (("grantlog-watch-relations", ",".join(["a"] * 101)),)),
        "ERROR_CODE_VALIDATION", "at most 100",
    ),
    "facts": (write(users(1_001)), "ERROR_CODE_MAX_DATA_PER_WRITE_EXCEEDED", "at most 1000"),
    "value": (
        write((), [attribute("text", "type.googleapis.com/base.v1.StringValue", "x" * 65_537)]),
        "LIMIT_EXCEEDED", "65536",
    ),
    "bundle name": (bundle(name=LONG), "ERROR_CODE_INVALID_ARGUMENT", "1 to 128 bytes"),
    "bundle arguments": (
        bundle(arguments=letters(101)), "ERROR_CODE_INVALID_ARGUMENT", "at most 100 arguments",
    ),
    "bundle templates": (
        bundle(operations=templates(1_001)), "ERROR_CODE_INVALID_ARGUMENT", "1000 templates",
    ),
    "bundle": (
        bundle(operations=templates(900, "x" * 300)), "ERROR_CODE_INVALID_ARGUMENT",
        "at most 262144 bytes",
    ),
    "filled bundle": (
        Asked("Data.RunBundle", {"tenant_id": TENANT, "name": "filled",
                                 "arguments": {"a": "x" * 50_000}}),
        "ERROR_CODE_INVALID_ARGUMENT", "4194304 bytes",
    ),
    "bundles of a request": (
        Asked("Bundle.Write", {"tenant_id": TENANT, "bundles": [
            {"name": f"b{n}", "operations": []} for n in range(101)]}),
        "ERROR_CODE_VALIDATION", "at most 100",
    ),
    "schema": (schema(" " * 262_145), "ERROR_CODE_SCHEMA_PARSE", "at most 262,144"),
    "schema name": (schema(f"entity {LONG} {{}}"), "ERROR_CODE_SCHEMA_PARSE", "at most 128"),
    "entities": (
        schema("".join(f"entity {name} {{}}\n" for name in letters(1_001))),
        "ERROR_CODE_SCHEMA_COMPILE", "at most 1,000 entities",
    ),
    "members": (
        schema("entity a { " + "".join(f"relation {n} @a\n" for n in letters(1_001)) + "}"),
        "ERROR_CODE_SCHEMA_COMPILE", "at most 1,000 members",
    ),
    "rules": (
        schema("entity a {} " + "".join(f"rule {n}() {{ true }}\n" for n in letters(501))),
        "ERROR_CODE_SCHEMA_COMPILE", "at most 500 rules",
    ),
    "parameters": (
        schema(rules(", ".join(f"{name} string" for name in letters(65)), " true ")),
        "ERROR_CODE_SCHEMA_COMPILE", "at most 64 parameters",
    ),
    "operators": (
        schema("entity a { relation r @a permission p = r" + " or r" * 201 + "}"),
        "ERROR_CODE_SCHEMA_PARSE", "more than 200 operators",
    ),
    "rule body": (
        schema(rules("", "true" + " " * 16_384)), "ERROR_CODE_SCHEMA_PARSE", "16,384 bytes",
    ),
    "braces": (
        schema(rules("", "{" * 33 + "}" * 33)), "ERROR_CODE_SCHEMA_PARSE", "more than 32 deep",
    ),
    "rule loops": (
        check("loops", context={"data": {"l": list(range(150))}}), "LIMIT_EXCEEDED", "too many",
    ),
    "rule input": (
        check("high", context={"data": {"least": 1, "text": "x" * 65_536}}),
        "LIMIT_EXCEEDED", "65536",
    ),
    "slow rule input": (
        check("loops", context={"data": {"l": [], "text": "x" * 65_000}}),
        "LIMIT_EXCEEDED", "so that it ends in time",
    ),
    "slow rule": (
        schema(rules("", " context.data.l" + ".map(x, x + x)" * 25 + ".size() > 0 ")),
        "ERROR_CODE_SCHEMA_COMPILE", "128 characters",
    ),
}  # fmt: skip
"""Calls beyond a bound, the reason for which they are refused, and what the text says of it."""

LIMITED = SCHEMA.replace(
    "attribute public boolean",
    "attribute public boolean\n  attribute text string\n  permission loops = many(level)",
)
LIMITED += """
rule many(level integer) {
  context.data.l.all(a, context.data.l.all(b, a + b >= 0.0))
}
"""
