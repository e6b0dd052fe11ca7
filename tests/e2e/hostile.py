"""Requests of the right shape whose content means harm: texts, numbers, facts that form cycles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from google.protobuf.message import Message

from grantlog.wire.json_decode import BodyError
from grantlog.wire.protojson import decode_object
from grantlog.wire.transcode import Route

SCHEMA = """
entity user {}
entity team { relation member @user @team#member }
entity doc {
  relation viewer @user @team#member
  relation parent @doc
  relation banned @user
  attribute public boolean
  attribute level integer
  permission view = viewer or public or parent.view
  permission odd = viewer not parent.odd
  permission edit = (view not banned) and high(level)
}
rule high(level integer) {
  level > 3 && context.data.ok == true
}
"""
URL = "type.googleapis.com/base.v1."
ANN = {"type": "user", "id": "ann"}
DOC = {"type": "doc", "id": "1"}
FACT = {"entity": DOC, "relation": "viewer", "subject": ANN}
LEVEL = {"entity": DOC, "attribute": "level", "value": {"@type": URL + "IntegerValue", "data": 4}}
CONTEXT = {"tuples": [FACT], "attributes": [LEVEL], "data": {"ok": True}}
ASKED = {"metadata": {"depth": 20}, "permission": "edit", "context": CONTEXT}
ENTITIES = {**ASKED, "entity_type": "doc", "subject": ANN, "scope": {"doc": {"data": ["1"]}}}
TUPLES = {"entity": {"type": "doc", "ids": ["1"]}, "relation": "viewer",
          "subject": {"type": "user", "ids": ["ann"], "relation": ""}}  # fmt: skip
ATTRIBUTES = {"entity": {"type": "doc", "ids": ["1"]}, "attributes": ["level"]}
OPERATION = {"relationships_write": ["doc:{{.id}}#viewer@user:ann"],
             "attributes_write": ["doc:{{.id}}$level|integer:4"]}  # fmt: skip
SHAPES: dict[str, dict[str, Any]] = {
    "Permission.Check": {**ASKED, "entity": DOC, "subject": ANN},
    "Permission.BulkCheck": {
        "metadata": {"depth": 20}, "context": CONTEXT,
        "items": [{"entity": DOC, "permission": "edit", "subject": ANN}],
    },
    "Permission.Expand": {"metadata": {}, "entity": DOC, "permission": "edit", "context": CONTEXT},
    "Permission.LookupEntity": ENTITIES,
    "Permission.LookupEntityStream": ENTITIES,
    "Permission.LookupSubject": {**ASKED, "entity": DOC, "subject_reference": {"type": "user"}},
    "Permission.SubjectPermission": {
        "metadata": {"depth": 20}, "entity": DOC, "subject": ANN, "context": CONTEXT,
    },
    "Watch.Watch": {},
    "Schema.Write": {"schema": SCHEMA},
    "Schema.PartialWrite": {
        "metadata": {}, "partials": {"doc": {"write": [], "update": ["relation banned @user"]}},
    },
    "Schema.Read": {"metadata": {}},
    "Schema.List": {"page_size": 2},
    "Data.Write": {"metadata": {}, "tuples": [FACT], "attributes": [LEVEL]},
    "Data.WriteRelationships": {"metadata": {}, "tuples": [FACT]},
    "Data.ReadRelationships": {"metadata": {}, "filter": TUPLES, "page_size": 2},
    "Data.ReadAttributes": {"metadata": {}, "filter": ATTRIBUTES, "page_size": 2},
    "Data.Delete": {"tuple_filter": TUPLES, "attribute_filter": ATTRIBUTES},
    "Data.DeleteRelationships": {"filter": TUPLES},
    "Data.RunBundle": {"name": "b", "arguments": {"id": "1"}},
    "Bundle.Write": {"bundles": [{"name": "b", "arguments": ["id"], "operations": [OPERATION]}]},
    "Bundle.Read": {"name": "b"},
    "Bundle.Delete": {"name": "c"},
    "Tenancy.Create": {"id": "hostile", "name": "x"},
    "Tenancy.Delete": {"id": "hostile"},
    "Tenancy.List": {"page_size": 2},
}  # fmt: skip
"""A request that is answered, once the bundle `b` is there, by the call's short name."""

TEXTS = (
    "", "\0", "a\0b", "*", "a" * 128, ":" * 128, "é" * 60, "\u202e\u2066\U0001f600\ufeff", "\ud7ff",
    "x" * 100_000, "'; DROP TABLE heads; --", "%s%n{0}{{.id}}", "../../etc", "1\n2\r\n", "AAAA",
)  # fmt: skip
NUMBERS = (-(2**31), -1, 0, 1, 3, 1_000, 2**31 - 1, 2**32 - 1)
MANY = 2_000


def hostile_requests(route: Route, tenant: str) -> Iterator[Message]:
    """The call's own shape, then with one thing after the other replaced by what means harm."""
    shape: dict[str, Any] = SHAPES[f"{route.service}.{route.method}"]
    if "tenant_id" in route.request_class.DESCRIPTOR.fields_by_name:
        shape = {"tenant_id": tenant, **shape}
    bodies = [shape, *_changed(shape)]
    if "context" in shape:
        bodies += [{**shape, "context": context} for context in _contexts()]
    for body in bodies:
        with suppress(BodyError):  # a JSON value that no message can hold
            yield decode_object(route.request_class, body)


def _changed(value: Any) -> Iterator[Any]:
    """The value with each of its parts replaced, one at a time."""
    if isinstance(value, dict):
        for key, part in value.items():
            for changed in _changed(part):
                yield {**value, key: changed}
            yield {name: other for name, other in value.items() if name != key}
    elif isinstance(value, list):
        yield []
        yield value * MANY
        for changed in _changed(value[0]) if value else ():
            yield [changed, *value[1:]]
    elif isinstance(value, str):
        yield from TEXTS
    elif not isinstance(value, bool):
        yield from NUMBERS


def _fact(entity: tuple[str, str], relation: str, subject: tuple[str, str, str]) -> dict[str, Any]:
    type_, id_, userset = subject
    return {
        "entity": {"type": entity[0], "id": entity[1]},
        "relation": relation,
        "subject": {"type": type_, "id": id_, "relation": userset},
    }


def _contexts() -> Iterator[dict[str, Any]]:
    """Contexts with cycles, crowds, deep data and values that are none."""
    ring = [_fact(("doc", str(n)), "parent", ("doc", str((n + 1) % 50), "")) for n in range(50)]
    teams = [
        _fact(("team", str(n)), "member", ("team", str(m), "member"))
        for n in range(30) for m in range(30)
    ]  # fmt: skip
    into = _fact(("doc", "1"), "viewer", ("team", "1", "member"))
    yield {"tuples": [*ring, into, *teams], "data": {"ok": True}}
    yield {"tuples": [_fact(("doc", "1"), "parent", ("doc", "1", ""))], "data": {"ok": True}}
    yield {"tuples": [_fact(("doc", "1"), "parent", ("doc", str(n), "")) for n in range(MANY)]}
    yield {"tuples": [FACT] * MANY}
    for levels in (30, 45):
        value: Any = True
        for level in range(levels):
            value = [value] if level % 2 else {"a": value}
        yield {"tuples": [FACT], "attributes": [LEVEL], "data": {"ok": value}}
    odd: tuple[Any, ...] = (
        float("nan"), float("inf"), -1e308, None, "", "true", [], {}, 2**70, "\0", "x" * 60_000,
    )  # fmt: skip
    for data in odd:
        yield {"tuples": [FACT], "attributes": [LEVEL], "data": {"ok": data, "": data, "\0": data}}
    for value in _values():
        yield {"tuples": [FACT], "attributes": [{**LEVEL, "value": value}], "data": {"ok": True}}


def _values() -> Iterator[dict[str, Any] | None]:
    yield None
    yield {"@type": URL + "IntegerValue", "data": -(2**31)}
    yield {"@type": URL + "DoubleValue", "data": "NaN"}
    yield {"@type": URL + "StringValue", "data": "\0"}
    yield {"@type": URL + "IntegerArrayValue", "data": list(range(MANY))}
    yield {"@type": URL + "StringArrayValue", "data": ["x" * 1_000] * 100}


def hostile_metadata() -> Iterator[list[tuple[str, str | bytes]]]:
    """Metadata under every name that means something, and under others."""
    times = ("", "0", "-1", "9" * 30, "2026-11-21T20:26:00", "0001-01-01T00:00:00+23:59",
             "9999-12-31T23:59:59-23:59", "nan", "a" * 3_000)  # fmt: skip
    lists = ("", ",,,,", "a" * 3_000, "user:1,user:", "%00", "*")
    meant = {
        "grantlog-as-of": times,
        "grantlog-max-staleness-ms": times,
        "grantlog-consistency": ("", "nothing"),
        "grantlog-watch-entity-types": lists,
        "grantlog-watch-relations": lists,
        "grantlog-watch-subjects": lists,
        "grantlog-watch-nothing": ("1",),
        "grantlog-": ("1",),
        "authorization": ("", "Bearer " + "a" * 3_000),
    }
    for name, texts in meant.items():
        for text in texts:
            yield [(name, text)]
        yield [(name, "1"), (name, "2")]
        yield [(f"{name}-bin", b"\x00\xff\x80")]
