"""Compiled schemas as base.v1.SchemaDefinition."""

from __future__ import annotations

from typing import Final, assert_never

from google.protobuf.any_pb2 import Any as PackedAny
from google.protobuf.message import DecodeError

from grantlog.api.v1 import base_pb2, cel_checked_pb2
from grantlog.errors import CorruptionError, LimitError
from grantlog.model.attributes import AttributeType
from grantlog.schema.compiled import (
    Arrow,
    Call,
    CompiledSchema,
    ComputedAttribute,
    ComputedUserset,
    EntityDef,
    Expr,
    Operator,
    PermissionDef,
    RelationDef,
    Rewrite,
    RuleDef,
)

OPERATORS_NESTED_MAX: Final = 40
"""Each nested operator is two nested messages; clients refuse more than a hundred of those."""


def schema_definition(schema: CompiledSchema) -> base_pb2.SchemaDefinition:
    """The message of a compiled schema.

    Raises:
        LimitError: an expression nests deeper than clients can read.
        CorruptionError: a stored rule is not readable.
    """
    definition = base_pb2.SchemaDefinition()
    for name, entity in schema.entities.items():
        definition.references[name] = base_pb2.SchemaDefinition.REFERENCE_ENTITY
        _fill_entity(definition.entity_definitions[name], entity)
    for name, rule in schema.rules.items():
        definition.references[name] = base_pb2.SchemaDefinition.REFERENCE_RULE
        definition.rule_definitions[name].CopyFrom(_rule(rule))
    return definition


def _fill_entity(message: base_pb2.EntityDefinition, entity: EntityDef) -> None:
    message.name = entity.name
    for name, relation in entity.relations.items():
        message.references[name] = base_pb2.EntityDefinition.REFERENCE_RELATION
        message.relations[name].CopyFrom(_relation(relation))
    for name, type_ in entity.attributes.items():
        message.references[name] = base_pb2.EntityDefinition.REFERENCE_ATTRIBUTE
        message.attributes[name].name = name
        message.attributes[name].type = _attribute_type(type_)
    for name, permission in entity.permissions.items():
        message.references[name] = base_pb2.EntityDefinition.REFERENCE_PERMISSION
        _fill_permission(message.permissions[name], entity.name, permission)


def _relation(relation: RelationDef) -> base_pb2.RelationDefinition:
    references = [
        base_pb2.RelationReference(type=kind.type, relation=kind.relation)
        for kind in relation.types
    ]
    return base_pb2.RelationDefinition(name=relation.name, relation_references=references)


def _attribute_type(type_: AttributeType) -> base_pb2.AttributeType.ValueType:
    return base_pb2.AttributeType.ValueType(int(type_))


def _rule(rule: RuleDef) -> base_pb2.RuleDefinition:
    """The CEL library packs its `cel.expr.CheckedExpr`, the same bytes as the contract's type."""
    try:
        packed = PackedAny.FromString(rule.checked)
        expression = cel_checked_pb2.CheckedExpr.FromString(packed.value)
    except DecodeError as error:
        raise CorruptionError(f"the stored expression of rule {rule.name} is unreadable") from error
    arguments = {name: _attribute_type(type_) for name, type_ in rule.parameters.items()}
    return base_pb2.RuleDefinition(name=rule.name, arguments=arguments, expression=expression)


def _fill_permission(
    message: base_pb2.PermissionDefinition, entity: str, permission: PermissionDef
) -> None:
    """The tree as the schema nests it; only one too deep for clients has its chains flattened."""
    message.name = permission.name
    flat = _depth(permission.expr, flat=False) > OPERATORS_NESTED_MAX
    if flat and _depth(permission.expr, flat=True) > OPERATORS_NESTED_MAX:
        raise LimitError(
            f"{entity}.{permission.name} nests more than {OPERATORS_NESTED_MAX} operators, "
            "deeper than clients can read; split it into several permissions"
        )
    _fill_child(message.child, permission.expr, flat=flat)


def _operands(expr: Rewrite, *, flat: bool) -> list[Expr]:
    """Left and right; if `flat`, all operands of a chain of the same operator, in source order."""
    operands = [expr.right]
    left = expr.left
    while flat and isinstance(left, Rewrite) and left.operator is expr.operator:
        operands.append(left.right)
        left = left.left
    return [left, *reversed(operands)]


def _depth(expr: Expr, *, flat: bool) -> int:
    """How many operators nest."""
    if not isinstance(expr, Rewrite):
        return 0
    return 1 + max(_depth(operand, flat=flat) for operand in _operands(expr, flat=flat))


_OPERATIONS: Final = {
    Operator.UNION: base_pb2.Rewrite.OPERATION_UNION,
    Operator.INTERSECTION: base_pb2.Rewrite.OPERATION_INTERSECTION,
    Operator.EXCLUSION: base_pb2.Rewrite.OPERATION_EXCLUSION,
}


def _fill_child(message: base_pb2.Child, expr: Expr, *, flat: bool) -> None:
    match expr:
        case Rewrite(operator):
            message.rewrite.rewrite_operation = _OPERATIONS[operator]
            for operand in _operands(expr, flat=flat):
                _fill_child(message.rewrite.children.add(), operand, flat=flat)
        case ComputedUserset(name):
            message.leaf.computed_user_set.relation = name
        case ComputedAttribute(name):
            message.leaf.computed_attribute.name = name
        case Arrow(relation, computed):
            message.leaf.tuple_to_user_set.tupleSet.relation = relation
            message.leaf.tuple_to_user_set.computed.relation = computed
        case Call(rule, arguments):
            message.leaf.call.rule_name = rule
            for name in arguments:
                message.leaf.call.arguments.add().computed_attribute.name = name
        case _:
            assert_never(expr)
