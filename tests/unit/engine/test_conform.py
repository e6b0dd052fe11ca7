from __future__ import annotations

import pytest

from grantlog.engine.conform import check_attribute, check_tuple
from grantlog.errors import GrantlogError
from grantlog.model.attributes import parse_attribute
from grantlog.model.tuples import Subject, parse_tuple
from grantlog.schema.compile import compile_schema

SCHEMA = compile_schema("""
entity user {}
entity group { relation member @user @group#member }
entity doc {
  relation viewer @user @group#member
  attribute public boolean
  permission view = viewer or public
}
rule odd(level integer) {
  level % 2 == 1
}
""")


@pytest.mark.parametrize("fact", ["doc:1#viewer@user:1", "doc:1#viewer@group:1#member"])
def test_what_the_relation_admits_is_accepted(fact: str):
    assert check_tuple(SCHEMA, parse_tuple(fact)) == parse_tuple(fact)


def test_the_ellipsis_is_no_relation():
    fact = parse_tuple("doc:1#viewer@user:1")
    assert check_tuple(SCHEMA, fact._replace(subject=Subject("user", "1", "..."))) == fact


@pytest.mark.parametrize(
    ("fact", "reason"),
    [
        ("page:1#viewer@user:1", "SCHEMA_NOT_FOUND"),
        ("odd:1#viewer@user:1", "ENTITY_DEFINITION_NOT_FOUND"),
        ("group:1#member@group:1#member", "ENTITY_AND_SUBJECT_CANNOT_BE_EQUAL"),
        ("doc:1#view@user:1", "RELATION_DEFINITION_NOT_FOUND"),
        ("doc:1#public@user:1", "RELATION_DEFINITION_NOT_FOUND"),
        ("doc:1#owner@user:1", "RELATION_DEFINITION_NOT_FOUND"),
        ("doc:1#viewer@group:1", "SUBJECT_TYPE_NOT_FOUND"),
        ("doc:1#viewer@doc:2#viewer", "SUBJECT_TYPE_NOT_FOUND"),
        ("doc:1#viewer@martian:2", "SUBJECT_TYPE_NOT_FOUND"),
    ],
)
def test_what_it_does_not_admit_is_refused_with_its_code(fact: str, reason: str):
    with pytest.raises(GrantlogError) as caught:
        check_tuple(SCHEMA, parse_tuple(fact))
    assert caught.value.reason == f"ERROR_CODE_{reason}"


@pytest.mark.parametrize(
    ("fact", "reason"),
    [
        ("page:1$public|boolean:true", "SCHEMA_NOT_FOUND"),
        ("doc:1$viewer|boolean:true", "ATTRIBUTE_DEFINITION_NOT_FOUND"),
        ("doc:1$public|string:true", "ATTRIBUTE_TYPE_MISMATCH"),
        ("doc:1$public|boolean[]:true", "ATTRIBUTE_TYPE_MISMATCH"),
    ],
)
def test_attributes_that_are_not_declared_so_are_refused(fact: str, reason: str):
    with pytest.raises(GrantlogError) as caught:
        check_attribute(SCHEMA, parse_attribute(fact))
    assert caught.value.reason == f"ERROR_CODE_{reason}"


def test_a_declared_attribute_is_accepted():
    check_attribute(SCHEMA, parse_attribute("doc:1$public|boolean:false"))
