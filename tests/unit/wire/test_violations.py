"""Violated rules in the caller's words, for the texts that `validate` really has."""

import pytest

from grantlog.api.v1 import base_pb2, service_pb2
from grantlog.errors import FieldViolationError
from grantlog.wire.validate import validate
from grantlog.wire.violations import explain_violation

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
        (written("a b"), "tuples[1].subject.id", f"tuples[1].subject.id {CHARACTERS}"),
    ],
)
def test_a_violation_names_the_field_as_json_does(message, field, words):
    with pytest.raises(FieldViolationError) as refused:
        validate(message)
    assert explain_violation(refused.value.text) == (field, words)


def test_a_text_of_another_make_is_told_as_it_is():
    assert explain_violation("the body is no JSON") == ("", "the body is no JSON")
