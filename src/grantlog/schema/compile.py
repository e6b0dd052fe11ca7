"""AST to compiled schema, with every check that needs more than the grammar.

The first error in source order is the one reported; a check that meets another statement's error
passes over it, because it is reported at its own place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grantlog.model.attributes import AttributeType
from grantlog.schema import ast, limits
from grantlog.schema.compiled import (
    CompiledSchema,
    EntityDef,
    PermissionDef,
    RelationDef,
    RelationType,
    RuleDef,
)
from grantlog.schema.declared import Declared, Subjects, attribute_type, declared, subjects
from grantlog.schema.parse import parse_normalised
from grantlog.schema.resolve import Resolver, did_you_mean
from grantlog.schema.source import Position, RefusalError, normalise, point_at
from grantlog.schema.typecheck import CONTEXT, check_rule
from grantlog.schema.warn import warnings

_SCALAR_WORDS: Final = "boolean, string, integer, double or one of them with []"


def compile_schema(text: str) -> CompiledSchema:
    """Read and check a schema; every name in the result is known to exist.

    Takes about a second for each 300 KB, so callers on an event loop use a thread.

    Raises:
        SchemaError: the first error in source order, with its place and the wire's reason.
    """
    normalised = normalise(text)
    try:
        schema = parse_normalised(normalised)
        return _compile(schema, text)
    except RefusalError as refusal:
        raise point_at(normalised, refusal) from None


def _compile(schema: ast.Schema, text: str) -> CompiledSchema:
    names = declared(schema)
    if not any(isinstance(statement, ast.Entity) for statement in schema.statements):
        raise RefusalError(
            "the schema declares no entity: write at least one, as `entity user {}`",
            Position(1, 1),
            "ERROR_CODE_NO_ENTITY_REFERENCES_FOUND_IN_SCHEMA",
        )
    reach = subjects(names)
    entities: dict[str, EntityDef] = {}
    rules: dict[str, RuleDef] = {}
    for statement in schema.statements:
        name = statement.name
        _check_first(
            name, names.statements[name.text].name, "ERROR_CODE_DUPLICATED_ENTITY_REFERENCE"
        )
        if isinstance(statement, ast.Entity):
            _check_count(name, len(entities), limits.entities_max, "entities")
            entities[name.text] = _entity(statement, names, reach)
        else:
            _check_count(name, len(rules), limits.rules_max, "rules")
            rules[name.text] = _rule(statement)
    return CompiledSchema(text, entities, rules, warnings(names, reach))


def _check_first(name: ast.Name, first: ast.Name, reason: str) -> None:
    if name is not first:
        raise RefusalError(
            f"`{name}` is declared twice, first at {first.at.line}:{first.at.column}: "
            "rename or remove one",
            name.at,
            reason,
        )


def _check_count(name: ast.Name, before: int, most: int, what: str) -> None:
    if before >= most:
        raise RefusalError(
            f"`{name}` is one too many: at most {most:,} {what} are allowed",
            name.at,
            "ERROR_CODE_SCHEMA_COMPILE",
        )


def _entity(entity: ast.Entity, names: Declared, reach: Subjects) -> EntityDef:
    own = names.members[entity.name.text]
    resolver = Resolver(names, reach, entity.name.text)
    relations: dict[str, RelationDef] = {}
    attributes: dict[str, AttributeType] = {}
    permissions: dict[str, PermissionDef] = {}
    for count, member in enumerate(entity.members):
        name = member.name.text
        kind = "PERMISSION" if isinstance(member, ast.Permission) else "RELATION"
        _check_first(member.name, own[name].name, f"ERROR_CODE_DUPLICATED_{kind}_REFERENCE")
        _check_count(member.name, count, limits.members_max, "members of an entity")
        match member:
            case ast.Relation():
                relations[name] = RelationDef(name, _relation_types(member, names))
            case ast.Attribute():
                attributes[name] = _type(member.type)
            case ast.Permission():
                permissions[name] = PermissionDef(name, resolver.expression(member.expr))
    return EntityDef(entity.name.text, relations, attributes, permissions)


def _relation_types(relation: ast.Relation, names: Declared) -> tuple[RelationType, ...]:
    types: dict[RelationType, None] = {}
    for subject in relation.types:
        type_, userset = subject.type, subject.relation
        if type_.text not in names.members:
            raise RefusalError(
                f"there is no entity `{type_}`{did_you_mean(type_.text, names.types)}",
                type_.at,
                "ERROR_CODE_RELATION_REFERENCE_NOT_FOUND_IN_ENTITY_REFERENCES",
            )
        if userset is not None and names.relation(type_.text, userset.text) is None:
            raise _no_userset(type_, userset, names)
        types[RelationType(type_.text, userset.text if userset else "")] = None
    return tuple(types)


def _no_userset(type_: ast.Name, userset: ast.Name, names: Declared) -> RefusalError:
    members = names.members[type_.text]
    if userset.text in members:
        hint = f": only a relation can follow `#`, not a permission or attribute of `{type_}`"
    else:
        hint = did_you_mean(userset.text, [m for m in members if names.relation(type_.text, m)])
    return RefusalError(
        f"`{userset}` is not a relation of `{type_}`{hint}",
        userset.at,
        "ERROR_CODE_RELATION_REFERENCE_NOT_FOUND_IN_ENTITY_REFERENCES",
    )


def _type(word: ast.TypeWord) -> AttributeType:
    type_ = attribute_type(word)
    if type_ is None:
        raise RefusalError(
            f"`{word}` is not a type: write {_SCALAR_WORDS}",
            word.word.at,
            "ERROR_CODE_INVALID_ARGUMENT",
        )
    return type_


def _rule(rule: ast.Rule) -> RuleDef:
    parameters = _parameters(rule.parameters)
    return RuleDef(rule.name.text, parameters, rule.expression, check_rule(rule, parameters))


def _parameters(parameters: Sequence[ast.Parameter]) -> dict[str, AttributeType]:
    types: dict[str, AttributeType] = {}
    for parameter in parameters:
        name = parameter.name
        _check_count(name, len(types), limits.parameters_max, "parameters of a rule")
        problem = ""
        if name.text in types:
            problem = f"the parameter `{name}` is declared twice: rename or remove one"
        elif name.text == CONTEXT:
            problem = f"`{CONTEXT}` is always there, with the data of the request: rename this one"
        if problem:
            raise RefusalError(problem, name.at, "ERROR_CODE_INVALID_ARGUMENT")
        types[name.text] = _type(parameter.type)
    return types
