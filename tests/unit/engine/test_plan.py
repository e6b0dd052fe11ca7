from __future__ import annotations

import pytest

from grantlog.engine.plan import build_plan, flatten
from grantlog.engine.steps import ExpressionStep, UnionStep
from grantlog.errors import GrantlogError
from grantlog.schema.compile import compile_schema
from grantlog.schema.compiled import ComputedUserset, Operator, Rewrite
from tests.unit.engine.asking import Asking

SCHEMA = """
entity user {}
entity doc {
  relation viewer @user
  relation editor @user
  attribute public boolean
  attribute level integer
  permission view = viewer or editor or public
  permission edit = viewer and editor
}
rule is_open(public boolean) {
  public
}
"""


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("page:1#view@user:1", "ERROR_CODE_SCHEMA_NOT_FOUND"),
        ("is_open:1#view@user:1", "ERROR_CODE_ENTITY_DEFINITION_NOT_FOUND"),
        ("doc:1#delete@user:1", "ERROR_CODE_SCHEMA_NOT_FOUND"),
        ("doc:1#user@user:1", "ERROR_CODE_RULE_DEFINITION_NOT_FOUND"),
        ("doc:1#level@user:1", "ERROR_CODE_ATTRIBUTE_TYPE_MISMATCH"),
        ("doc:1#is_open@user:1", "ERROR_CODE_MISSING_ARGUMENT"),
    ],
)
def test_a_name_that_cannot_be_asked_is_refused_with_its_code(question: str, reason: str):
    with pytest.raises(GrantlogError) as caught:
        Asking(SCHEMA).check(question)
    assert caught.value.reason == reason


def test_an_argument_that_is_no_attribute_is_refused():
    with pytest.raises(GrantlogError) as caught:
        Asking(SCHEMA).check("doc:1#is_open@user:1", arguments=("public", "viewer"))
    assert caught.value.reason == "ERROR_CODE_ATTRIBUTE_DEFINITION_NOT_FOUND"


def test_unknown_subjects_and_ids_are_denied_not_refused():
    asking = Asking(SCHEMA)
    assert not asking.allowed("doc:9#view@user:1")
    assert not asking.allowed("doc:1#view@martian:1")
    assert not asking.allowed("doc:1#view@doc:2#nothing")


def test_a_rule_asked_by_name_takes_its_arguments_from_the_request():
    asking = Asking(SCHEMA, "doc:1$public|boolean:true")
    assert asking.allowed("doc:1#is_open@user:1", arguments=("public",))
    assert not asking.allowed("doc:2#is_open@user:1", arguments=("public",))


def test_relations_permissions_and_boolean_attributes_can_be_asked():
    asking = Asking(SCHEMA, "doc:1#viewer@user:1 doc:1$public|boolean:true")
    assert asking.allowed("doc:1#viewer@user:1")
    assert asking.allowed("doc:1#public@user:2")
    assert asking.allowed("doc:1#view@user:2")
    assert not asking.allowed("doc:1#edit@user:1")


def test_chains_of_or_become_unions_and_the_rest_programs():
    steps = build_plan(compile_schema(SCHEMA)).steps["doc"]
    assert isinstance(steps["view"], UnionStep)
    assert len(steps["view"].operands) == 3
    assert isinstance(steps["edit"], ExpressionStep)


def test_flattening_a_very_long_chain_does_not_recurse():
    expr = ComputedUserset("viewer")
    for _ in range(20_000):
        expr = Rewrite(Operator.UNION, expr, ComputedUserset("editor"))
    leaves, program = flatten(expr)
    assert leaves == (ComputedUserset("viewer"), ComputedUserset("editor"))
    assert len(program) == 40_001
