"""ProtoJSON as the wire contract writes it."""

import json
from typing import Any

import pytest
from google.protobuf import struct_pb2, timestamp_pb2
from google.rpc import status_pb2

from grantlog.api.v1 import base_pb2, cel_syntax_pb2, service_pb2
from grantlog.errors import LimitError
from grantlog.wire.json_decode import BodyError
from grantlog.wire.protojson import decode, decode_object, encode

TYPE = "type.googleapis.com/base.v1."


def shown(message: Any) -> Any:
    return json.loads(encode(message))


def refused(kind: Any, value: Any) -> str:
    with pytest.raises(BodyError) as caught:
        decode_object(kind, value)
    return str(caught.value).removeprefix("ERROR_CODE_VALIDATION: ")


def test_every_field_is_emitted_by_its_proto_name() -> None:
    assert shown(service_pb2.PermissionCheckRequest()) == {
        "tenant_id": "",
        "metadata": None,
        "entity": None,
        "permission": "",
        "subject": None,
        "context": None,
        "arguments": [],
    }
    assert shown(service_pb2.PermissionCheckResponse()) == {
        "can": "CHECK_RESULT_UNSPECIFIED",
        "metadata": None,
    }
    assert shown(base_pb2.EntityDefinition())["relations"] == {}


def test_unset_oneof_members_are_left_out() -> None:
    assert shown(base_pb2.Leaf()) == {}
    leaf = base_pb2.Leaf(
        tuple_to_user_set=base_pb2.TupleToUserSet(
            tupleSet=base_pb2.TupleSet(relation="parent"),
        )
    )
    assert shown(leaf) == {
        "tuple_to_user_set": {"tupleSet": {"relation": "parent"}, "computed": None}
    }


def test_enums_are_names_and_unknown_numbers_stay_numbers() -> None:
    response = service_pb2.PermissionCheckResponse(can=1)
    assert shown(response)["can"] == "CHECK_RESULT_ALLOWED"
    assert shown(service_pb2.PermissionCheckResponse(can=77))["can"] == 77
    results = service_pb2.PermissionSubjectPermissionResponse(results={"b": 2, "a": 1})
    assert encode(results) == (
        b'{"results":{"a":"CHECK_RESULT_ALLOWED","b":"CHECK_RESULT_DENIED"}}'
    )


def test_64_bit_integers_are_strings_and_doubles_may_be_names() -> None:
    assert shown(cel_syntax_pb2.Constant(int64_value=2**62)) == {"int64_value": str(2**62)}
    assert shown(base_pb2.DoubleValue(data=float("inf"))) == {"data": "Infinity"}
    assert shown(base_pb2.DoubleValue(data=float("nan"))) == {"data": "NaN"}
    assert shown(base_pb2.DoubleValue(data=0.5)) == {"data": 0.5}
    assert shown(cel_syntax_pb2.Constant(bytes_value=b"\xff")) == {"bytes_value": "/w=="}
    assert shown(cel_syntax_pb2.Constant(null_value=0)) == {"null_value": None}


@pytest.mark.parametrize(
    ("seconds", "nanos", "text"),
    [
        (0, 0, "1970-01-01T00:00:00Z"),
        (1714557600, 500_000_000, "2024-05-01T10:00:00.500Z"),
        (1714557600, 123_456_000, "2024-05-01T10:00:00.123456Z"),
        (-1, 1, "1969-12-31T23:59:59.000000001Z"),
    ],
)
def test_timestamps_are_rfc_3339(seconds: int, nanos: int, text: str) -> None:
    stamp = timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos)
    assert shown(base_pb2.Tenant(id="t1", created_at=stamp))["created_at"] == text
    assert decode_object(base_pb2.Tenant, {"created_at": text}).created_at == stamp


def test_timestamps_with_an_offset_are_read() -> None:
    tenant = decode_object(base_pb2.Tenant, {"created_at": "1970-01-01T01:00:00+01:00"})
    assert tenant.created_at.seconds == 0
    for text in ("yesterday", "2024-13-01T00:00:00Z", "2024-05-01", 5):
        assert refused(base_pb2.Tenant, {"created_at": text}).startswith("created_at: expected")


def test_durations_are_seconds() -> None:
    constant = decode_object(cel_syntax_pb2.Constant, {"duration_value": "-1.5s"})
    assert constant.duration_value.ToNanoseconds() == -1_500_000_000
    assert shown(constant) == {"duration_value": "-1.500s"}
    assert refused(cel_syntax_pb2.Constant, {"duration_value": "1h"}) == (
        "duration_value: expected a duration as 1.5s"
    )


def test_structs_are_plain_json() -> None:
    data = {"a": [1, "x", None, True, {"b": {}}], "c": 1.5}
    request = decode_object(service_pb2.PermissionCheckRequest, {"context": {"data": data}})
    assert shown(request)["context"]["data"] == data


def test_values_carry_their_type() -> None:
    stated = {
        "entity": {"type": "doc", "id": "1"},
        "attribute": "tags",
        "value": {"@type": f"{TYPE}StringArrayValue", "data": ["x", "y"]},
    }
    attribute = decode_object(base_pb2.Attribute, stated)
    assert attribute.value.type_url == f"{TYPE}StringArrayValue"
    assert base_pb2.StringArrayValue.FromString(attribute.value.value).data == ["x", "y"]
    assert shown(attribute) == stated


def test_a_foreign_prefix_of_a_type_is_kept() -> None:
    value = {"@type": "example.com/base.v1.StringValue", "data": "x"}
    attribute = decode_object(base_pb2.Attribute, {"value": value})
    assert attribute.value.type_url == "example.com/base.v1.StringValue"
    assert shown(attribute)["value"] == value


def test_what_cannot_be_unpacked_stays_as_bytes() -> None:
    status = status_pb2.Status()
    status.details.add(type_url="x/unknown.Type", value=b"\xff")
    status.details.add(type_url=f"{TYPE}StringValue", value=b"\xff")
    status.details.add()
    assert shown(status)["details"] == [
        {"@type": "x/unknown.Type", "value": "/w=="},
        {"@type": f"{TYPE}StringValue", "value": "/w=="},
        {},
    ]


def test_well_known_types_are_packed_under_value() -> None:
    packed = {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "2s"}
    assert shown(decode_object(base_pb2.Attribute, {"value": packed}))["value"] == packed


def test_types_of_any_are_required_and_known() -> None:
    assert refused(base_pb2.Attribute, {"value": {"data": 1}}).startswith('value: expected an "@t')
    assert refused(base_pb2.Attribute, {"value": {"@type": "x/y"}}) == (
        "value: the \"@type\" 'x/y' is not known here"
    )
    assert refused(
        base_pb2.Attribute, {"value": {"@type": f"{TYPE}IntegerValue", "data": "x"}}
    ) == ("value.data: expected an integer")


def test_requests_accept_snake_case_only() -> None:
    both = {"metadata": {"snapToken": "a", "depth": 3}}
    assert decode_object(service_pb2.PermissionCheckRequest, both).metadata.snap_token == ""


def test_schema_messages_accept_both_spellings_but_not_at_once() -> None:
    assert decode_object(base_pb2.Call, {"ruleName": "r"}).rule_name == "r"
    assert decode_object(base_pb2.Call, {"rule_name": "r"}).rule_name == "r"
    assert refused(base_pb2.Call, {"ruleName": "r", "rule_name": "r"}) == (
        "given twice, as ruleName and as rule_name"
    )
    arrow = decode_object(base_pb2.TupleToUserSet, {"tupleSet": {"relation": "a"}})
    assert arrow.tupleSet.relation == "a"


def test_unknown_fields_and_enum_names_are_ignored_and_null_is_unset() -> None:
    request = decode_object(
        service_pb2.PermissionCheckRequest,
        {"nope": {"x": [1]}, "metadata": None, "arguments": None, "tenant_id": None},
    )
    assert request == service_pb2.PermissionCheckRequest()
    answer = decode_object(service_pb2.PermissionCheckResponse, {"can": "CHECK_RESULT_MAYBE"})
    assert answer.can == base_pb2.CHECK_RESULT_UNSPECIFIED
    results = {"results": {"a": "NOPE", "b": "CHECK_RESULT_DENIED"}}
    decoded = decode_object(service_pb2.PermissionSubjectPermissionResponse, results)
    assert dict(decoded.results) == {"b": base_pb2.CHECK_RESULT_DENIED}


def test_enums_are_read_by_number_too() -> None:
    answer = decode_object(service_pb2.PermissionCheckResponse, {"can": 2})
    assert answer.can == base_pb2.CHECK_RESULT_DENIED
    assert refused(service_pb2.PermissionCheckResponse, {"can": True}) == (
        "can: expected a name or number of an enum, got a boolean"
    )


@pytest.mark.parametrize("depth", [20, 20.0, "20", "2e1"])
def test_numbers_may_be_quoted_and_written_with_a_fraction(depth: Any) -> None:
    message = decode_object(service_pb2.PermissionCheckRequestMetadata, {"depth": depth})
    assert message.depth == 20


@pytest.mark.parametrize(
    "depth", [1.5, "x", "", " 3", "1_0", "٣", True, [], 2**31, str(-(2**31) - 1), "9" * 30, "1e999"]
)
def test_other_things_are_not_integers(depth: Any) -> None:
    assert refused(service_pb2.PermissionCheckRequestMetadata, {"depth": depth}).startswith(
        "depth: expected an integer"
    )


def test_doubles_are_read_in_all_their_forms() -> None:
    for given, read in (("Infinity", float("inf")), ("1.5e3", 1500.0), (3, 3.0)):
        assert decode_object(base_pb2.DoubleValue, {"data": given}).data == read
    for odd in ("nan", "1e999", True, "0x1"):
        assert refused(base_pb2.DoubleValue, {"data": odd}).startswith("data: expected a number")


def test_a_list_is_not_a_message_and_the_text_names_the_field() -> None:
    kind = service_pb2.PermissionCheckRequest
    assert refused(kind, []) == "expected an object, got a list"
    assert refused(kind, {"entity": []}) == "entity: expected an object, got a list"
    assert refused(kind, {"entity": {"type": 1}}) == "entity.type: expected a string, got a number"
    assert refused(kind, {"context": {"tuples": [{}, {"entity": "x"}]}}) == (
        "context.tuples[1].entity: expected an object, got a string"
    )
    assert refused(kind, {"context": {"tuples": [None]}}) == (
        "context.tuples[0]: expected an object, got null"
    )
    assert refused(kind, {"context": {"tuples": {}}}) == (
        "context.tuples: expected a list, got an object"
    )
    scope = {"scope": {"doc": {"data": ["1", 2]}}}
    assert refused(service_pb2.PermissionLookupEntityRequest, scope) == (
        "scope[doc].data[1]: expected a string, got a number"
    )


def test_only_one_member_of_a_choice_may_be_set() -> None:
    text = refused(base_pb2.Child, {"leaf": {}, "rewrite": {}})
    assert text == "rewrite: only one of a choice may be set, and leaf is set"


def test_nesting_is_bounded() -> None:
    value: Any = 1
    for _ in range(200):
        value = [value]
    body = {"context": {"data": {"x": value}}}
    assert "nested deeper than 100 levels" in refused(service_pb2.PermissionCheckRequest, body)


def test_answers_that_nest_too_deep_for_json_are_an_error() -> None:
    for levels in (150, 2_000):
        root = base_pb2.Expand()
        node = root
        for _ in range(levels):
            node = node.expand.children.add()
        with pytest.raises(LimitError, match="nests deeper"):
            encode(root)


def test_bodies_that_are_not_json_are_refused() -> None:
    for body in (b"{", b"\xff", b'{"a":1}}', b'"\\ud800"', b"NaN"):
        with pytest.raises(BodyError, match="the body is not JSON"):
            decode(service_pb2.PermissionCheckRequest, body)
    assert decode(service_pb2.PermissionCheckRequest, b"") == service_pb2.PermissionCheckRequest()


def test_values_in_messages_that_take_null_keep_it() -> None:
    constant = decode_object(cel_syntax_pb2.Constant, {"null_value": None})
    assert constant.WhichOneof("constant_kind") == "null_value"
    assert struct_pb2.Value() is not None


def test_booleans_are_not_quoted() -> None:
    kind = service_pb2.PermissionSubjectPermissionRequestMetadata
    assert decode_object(kind, {"only_permission": True}).only_permission
    assert refused(kind, {"only_permission": "true"}) == (
        "only_permission: expected a boolean, got a string"
    )
