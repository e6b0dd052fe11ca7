"""Compiled schemas are described as the contract's SchemaDefinition."""

from functools import reduce

import pytest

from grantlog.api.v1 import base_pb2, service_pb2
from grantlog.errors import CorruptionError, LimitError
from grantlog.model.attributes import AttributeType
from grantlog.schema.compile import compile_schema
from grantlog.schema.compiled import (
    CompiledSchema,
    ComputedUserset,
    EntityDef,
    Expr,
    Operator,
    PermissionDef,
    Rewrite,
    RuleDef,
)
from grantlog.wire.protojson import encode
from grantlog.wire.schema import OPERATORS_NESTED_MAX, schema_definition

TEXT = """
entity user {}
entity group { relation member @user @group#member }
entity doc {
  relation parent @doc
  relation viewer @user @group#member
  attribute public boolean
  attribute tags string[]
  attribute level integer
  permission view = (viewer or public) not cleared(level) and parent.view
  action open = viewer
}
rule cleared(level integer) { level <= context.data.clearance }
"""


def of_expression(expr: Expr) -> base_pb2.Child:
    permission = PermissionDef("p", expr)
    entity = EntityDef("doc", relations={}, attributes={}, permissions={"p": permission})
    definition = schema_definition(CompiledSchema("", {"doc": entity}, {}))
    response = service_pb2.SchemaReadResponse(schema=definition)
    assert encode(response)
    read = service_pb2.SchemaReadResponse.FromString(response.SerializeToString())
    return read.schema.entity_definitions["doc"].permissions["p"].child


def chain(operator: Operator, names: str) -> Expr:
    leaves: list[Expr] = [ComputedUserset(name) for name in names]
    return reduce(lambda left, right: Rewrite(operator, left, right), leaves)


def test_entities_and_their_members_are_listed_with_references() -> None:
    definition = schema_definition(compile_schema(TEXT))
    assert dict(definition.references) == {"user": 1, "group": 1, "doc": 1, "cleared": 2}
    doc = definition.entity_definitions["doc"]
    assert dict(doc.references) == {
        "parent": 1, "viewer": 1, "view": 2, "open": 2, "public": 3, "tags": 3, "level": 3,
    }  # fmt: skip
    assert [(r.type, r.relation) for r in doc.relations["viewer"].relation_references] == [
        ("user", ""),
        ("group", "member"),
    ]
    assert doc.attributes["tags"].type == base_pb2.ATTRIBUTE_TYPE_STRING_ARRAY
    assert doc.attributes["tags"].name == "tags"
    assert doc.permissions["open"].child.leaf.computed_user_set.relation == "viewer"


def test_expressions_nest_to_the_left_with_two_children() -> None:
    definition = schema_definition(compile_schema(TEXT))
    child = definition.entity_definitions["doc"].permissions["view"].child
    assert child.rewrite.rewrite_operation == base_pb2.Rewrite.OPERATION_INTERSECTION
    exclusion, arrow = child.rewrite.children
    assert arrow.leaf.tuple_to_user_set.tupleSet.relation == "parent"
    assert arrow.leaf.tuple_to_user_set.computed.relation == "view"
    assert exclusion.rewrite.rewrite_operation == base_pb2.Rewrite.OPERATION_EXCLUSION
    union, call = exclusion.rewrite.children
    assert call.leaf.call.rule_name == "cleared"
    assert [a.computed_attribute.name for a in call.leaf.call.arguments] == ["level"]
    left, right = union.rewrite.children
    assert left.leaf.computed_user_set.relation == "viewer"
    assert right.leaf.computed_attribute.name == "public"


def test_rules_carry_their_checked_expression() -> None:
    rule = schema_definition(compile_schema(TEXT)).rule_definitions["cleared"]
    assert dict(rule.arguments) == {"level": base_pb2.ATTRIBUTE_TYPE_INTEGER}
    assert rule.expression.expr.call_expr.function == "_<=_"
    assert "BOOL" in str(rule.expression.type_map)


def test_a_chain_that_clients_can_read_keeps_its_nesting() -> None:
    names = "a" * (OPERATORS_NESTED_MAX + 1)
    child = of_expression(chain(Operator.UNION, names))
    assert len(child.rewrite.children) == 2


@pytest.mark.parametrize("operator", Operator)
def test_a_longer_chain_is_shown_flat_in_source_order(operator: Operator) -> None:
    names = "abcdefghij" * 20
    child = of_expression(chain(operator, names))
    shown = [c.leaf.computed_user_set.relation for c in child.rewrite.children]
    assert "".join(shown) == names


def test_what_nests_too_deep_even_flat_is_refused_with_advice() -> None:
    expr: Expr = ComputedUserset("a")
    for i in range(OPERATORS_NESTED_MAX + 1):
        operator = Operator.UNION if i % 2 else Operator.INTERSECTION
        expr = Rewrite(operator, expr, ComputedUserset("b"))
    with pytest.raises(LimitError, match=r"doc\.p nests more than 40 operators"):
        of_expression(expr)


def test_an_unreadable_stored_rule_is_corruption() -> None:
    rule = RuleDef("r", {"x": AttributeType.STRING}, "true", b"\xff")
    with pytest.raises(CorruptionError, match="rule r"):
        schema_definition(CompiledSchema("", {}, {"r": rule}))
