"""Validation texts are the wire contract's, the first violation only."""

from contextlib import suppress
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from grantlog.api.v1 import base_pb2, service_pb2
from grantlog.errors import FieldViolationError
from grantlog.wire.validate import validate

ID_TEXT = r'value does not match regex pattern "^([a-zA-Z0-9_\\-@\\.:+]{1,128}|\\*)$"'
NAME_TEXT = 'value does not match regex pattern "^[a-zA-Z_]{1,64}$"'
EMBEDDED = "embedded message failed validation | caused by: "


def check_request(**changes: Any) -> service_pb2.PermissionCheckRequest:
    fields: dict[str, Any] = {
        "tenant_id": "t1",
        "metadata": {"depth": 3},
        "entity": {"type": "doc", "id": "1"},
        "permission": "view",
        "subject": {"type": "user", "id": "1"},
    }
    return service_pb2.PermissionCheckRequest(**{**fields, **changes})


def text_of(message: Message) -> str:
    with pytest.raises(FieldViolationError) as caught:
        validate(message)
    assert str(caught.value).endswith(caught.value.text)
    return caught.value.text


@pytest.mark.parametrize("id_", ["1", "*", "a-b_c@d.e:f+g", "x" * 128])
def test_ids_of_the_contract_pass(id_: str) -> None:
    validate(check_request(entity={"type": "doc", "id": id_}))


@pytest.mark.parametrize("id_", ["", "a/b", "a#b", "a|b", "a b", "a=b", "a%b", "é", "**", "1\n"])
def test_other_ids_are_refused_with_doubled_backslashes(id_: str) -> None:
    assert text_of(check_request(entity={"type": "doc", "id": id_})) == (
        f"invalid PermissionCheckRequest.Entity: {EMBEDDED}invalid Entity.Id: {ID_TEXT}"
    )


def test_a_trailing_newline_is_not_the_end_of_the_text() -> None:
    assert text_of(check_request(tenant_id="t1\n")) == (
        f"invalid PermissionCheckRequest.TenantId: {ID_TEXT}"
    )


def test_length_counts_bytes_and_comes_before_the_pattern() -> None:
    name = "é" * 33  # 66 bytes, 33 code points
    assert text_of(check_request(permission=name)) == (
        "invalid PermissionCheckRequest.Permission: value length must be at most 64 bytes"
    )
    assert text_of(check_request(permission="é" * 32)) == (
        f"invalid PermissionCheckRequest.Permission: {NAME_TEXT}"
    )


def test_a_name_of_letters_may_have_128_bytes() -> None:
    validate(check_request(permission="a" * 128))
    assert text_of(check_request(permission="a" * 129)) == (
        "invalid PermissionCheckRequest.Permission: value length must be at most 128 bytes"
    )
    assert text_of(check_request(permission="a" * 64 + "1")) == (
        "invalid PermissionCheckRequest.Permission: value length must be at most 64 bytes"
    )


def test_only_the_first_violation_in_field_order_is_told() -> None:
    request = service_pb2.PermissionCheckRequest(permission="view2")
    assert text_of(request) == f"invalid PermissionCheckRequest.TenantId: {ID_TEXT}"
    request.tenant_id = "t1"
    assert text_of(request) == "invalid PermissionCheckRequest.Metadata: value is required"
    request.metadata.depth = 2
    assert text_of(request) == (
        f"invalid PermissionCheckRequest.Metadata: {EMBEDDED}invalid "
        "PermissionCheckRequestMetadata.Depth: value must be greater than or equal to 3"
    )
    request.metadata.depth = 3
    assert text_of(request) == "invalid PermissionCheckRequest.Entity: value is required"


def test_names_have_no_digits() -> None:
    assert text_of(check_request(permission="view2")) == (
        f"invalid PermissionCheckRequest.Permission: {NAME_TEXT}"
    )


def test_a_subject_relation_may_be_empty_but_not_the_ellipsis() -> None:
    validate(check_request(subject={"type": "user", "id": "1", "relation": ""}))
    assert text_of(check_request(subject={"type": "user", "id": "1", "relation": "..."})) == (
        f"invalid PermissionCheckRequest.Subject: {EMBEDDED}invalid Subject.Relation: {NAME_TEXT}"
    )


def test_context_is_checked_only_when_present_and_items_are_numbered() -> None:
    context = base_pb2.Context(
        tuples=[
            base_pb2.Tuple(
                entity=base_pb2.Entity(type="doc", id="1"),
                relation="owner",
                subject=base_pb2.Subject(type="user", id="1"),
            ),
            base_pb2.Tuple(relation="owner"),
        ]
    )
    assert text_of(check_request(context=context)) == (
        f"invalid PermissionCheckRequest.Context: {EMBEDDED}"
        f"invalid Context.Tuples[1]: {EMBEDDED}invalid Tuple.Entity: value is required"
    )


def test_bulk_checks_have_one_to_a_hundred_items() -> None:
    item = service_pb2.PermissionBulkCheckRequestItem(
        entity=base_pb2.Entity(type="doc", id="1"),
        permission="view",
        subject=base_pb2.Subject(type="user", id="1"),
    )
    request = service_pb2.PermissionBulkCheckRequest(tenant_id="t1", metadata={"depth": 3})
    reason = "value must contain between 1 and 100 items, inclusive"
    assert text_of(request) == f"invalid PermissionBulkCheckRequest.Items: {reason}"
    request.items.extend([item] * 100)
    validate(request)
    request.items.append(item)
    assert text_of(request) == f"invalid PermissionBulkCheckRequest.Items: {reason}"


def test_relationship_writes_need_a_tuple_and_data_writes_do_not() -> None:
    assert text_of(service_pb2.RelationshipWriteRequest(tenant_id="t1", metadata={})) == (
        "invalid RelationshipWriteRequest.Tuples: value must contain at least 1 item(s)"
    )
    validate(service_pb2.DataWriteRequest(tenant_id="t1", metadata={}))


def test_page_size_is_free_when_unset() -> None:
    validate(service_pb2.TenantListRequest())
    validate(service_pb2.TenantListRequest(page_size=1, continuous_token="x"))


def test_an_unanchored_pattern_needs_one_allowed_character_anywhere() -> None:
    validate(service_pb2.TenantCreateRequest(id="a b", name=""))
    assert text_of(service_pb2.TenantCreateRequest(id="__")) == (
        'invalid TenantCreateRequest.Id: value does not match regex pattern "[a-zA-Z0-9-,]+"'
    )


def test_required_oneofs_are_checked_behind_the_fields() -> None:
    assert text_of(base_pb2.DataChange()) == "invalid DataChange.Type: value is required"
    leaf = base_pb2.Leaf(computed_attribute=base_pb2.ComputedAttribute(name="9"))
    assert text_of(base_pb2.Child(leaf=leaf)) == (
        f"invalid Child.Leaf: {EMBEDDED}invalid Leaf.ComputedAttribute: {EMBEDDED}"
        f"invalid ComputedAttribute.Name: {NAME_TEXT}"
    )


def test_maps_name_the_key() -> None:
    definition = base_pb2.EntityDefinition(
        name="doc", relations={"b": base_pb2.RelationDefinition(name="1")}
    )
    assert text_of(definition) == (
        f"invalid EntityDefinition.Relations[b]: {EMBEDDED}"
        f"invalid RelationDefinition.Name: {NAME_TEXT}"
    )


def test_delete_needs_both_filters() -> None:
    request = service_pb2.DataDeleteRequest(tenant_id="t1", tuple_filter={})
    assert text_of(request) == "invalid DataDeleteRequest.AttributeFilter: value is required"


def test_messages_that_contain_themselves_are_checked_below() -> None:
    node = base_pb2.Expand(entity=base_pb2.Entity(type="doc", id="1"))
    node.expand.children.add().expand.children.add().entity.id = "x"
    assert text_of(node).endswith(f"invalid Entity.Type: {NAME_TEXT}")


def test_every_rule_of_the_contract_is_one_that_is_checked() -> None:
    for file in (base_pb2.DESCRIPTOR, service_pb2.DESCRIPTOR):
        for kind in file.message_types_by_name.values():
            message = GetMessageClass(kind)()
            with suppress(FieldViolationError):
                validate(message)
