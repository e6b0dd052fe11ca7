"""Violated rules in the caller's words, for the texts that `validate` really has."""

import pytest

from grantlog.api.v1 import base_pb2, service_pb2
from grantlog.errors import FieldViolationError
from grantlog.wire.status import details_trailer, error_of, status_of
from grantlog.wire.validate import validate

CHARACTERS = "must be 1 to 128 of the characters a-z A-Z 0-9 _ - @ . : + (or a single *)"


def asked(**changes) -> service_pb2.PermissionCheckRequest:
    fields = {
        "tenant_id": "t1",
        "metadata": service_pb2.PermissionCheckRequestMetadata(depth=20),
        "entity": base_pb2.Entity(type="doc", id="1"),
        "permission": "view",
        "subject": base_pb2.Subject(type="user", id="ann"),
    }
    return service_pb2.PermissionCheckRequest(**{**fields, **changes})


def written(subject_id: str) -> service_pb2.DataWriteRequest:
    facts = [
        base_pb2.Tuple(
            entity=base_pb2.Entity(type="doc", id="1"),
            relation="viewer",
            subject=base_pb2.Subject(type="user", id=each),
        )
        for each in ("ann", subject_id)
    ]
    metadata = service_pb2.DataWriteRequestMetadata()
    return service_pb2.DataWriteRequest(tenant_id="t1", metadata=metadata, tuples=facts)


@pytest.mark.parametrize(
    ("message", "field", "words"),
    [
        (asked(tenant_id="a b"), "tenant_id", f"tenant_id {CHARACTERS}"),
        (
            asked(metadata=service_pb2.PermissionCheckRequestMetadata(depth=1)),
            "metadata.depth",
            "metadata.depth must be at least 3",
        ),
        (
            asked(entity=base_pb2.Entity(id="1")),
            "entity.type",
            "entity.type must not be empty, and of the characters a-z A-Z _ alone",
        ),
        (
            asked(entity=base_pb2.Entity(type="d" * 129, id="1")),
            "entity.type",
            "entity.type must have at most 128 bytes",
        ),
        (
            service_pb2.PermissionCheckRequest(tenant_id="t1"),
            "metadata",
            "metadata is required",
        ),
        (
            asked(context={"tuples": [base_pb2.Tuple(relation="viewer")]}),
            "context.tuples[0].entity",
            "context.tuples[0].entity is required",
        ),
        (base_pb2.DataChange(), "type", "type is required"),
        (
            service_pb2.PermissionBulkCheckRequest(tenant_id="t1", metadata={"depth": 20}),
            "items",
            "items must contain between 1 and 100 items, inclusive",
        ),
        (written("a b"), "tuples[1].subject.id", f"tuples[1].subject.id {CHARACTERS}"),
    ],
)
def test_a_violation_names_the_field_as_json_does(message, field, words):
    with pytest.raises(FieldViolationError) as refused:
        validate(message)
    violation = refused.value
    assert (violation.field, f"{violation.field} {violation.meaning}") == (field, words)


def test_the_field_and_the_words_stand_in_the_details_of_the_status():
    with pytest.raises(FieldViolationError) as refused:
        validate(written("a b"))
    (info,) = status_of(refused.value).details
    field = "tuples[1].subject.id"
    assert dict(info.metadata) == {"field": field, "explanation": f"{field} {CHARACTERS}"}


def test_a_violation_told_by_another_process_is_told_on_as_it_is():
    with pytest.raises(FieldViolationError) as refused:
        validate(written("a b"))
    status = status_of(refused.value)
    again = error_of(status.code, status.message, dict(details_trailer(status)).popitem()[1])
    assert again is not None
    assert status_of(again) == status


def test_a_text_without_a_field_is_told_as_it_is():
    (info,) = status_of(FieldViolationError("the body is no JSON")).details
    assert dict(info.metadata) == {"explanation": "the body is no JSON"}
