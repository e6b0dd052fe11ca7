"""A compiled schema becomes a plan, once per schema version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import TypeAlias

from grantlog.engine.algebra import OPCODES, UNION
from grantlog.engine.conform import find_entity
from grantlog.engine.rules import RuleProgram
from grantlog.engine.steps import (
    ArrowStep,
    AttributeStep,
    ExpressionStep,
    RelationStep,
    RuleStep,
    Step,
    UnionStep,
)
from grantlog.errors import CorruptionError, InvalidInputError, NotFoundError
from grantlog.model.attributes import AttributeType
from grantlog.schema.compiled import (
    Arrow,
    Call,
    CompiledSchema,
    ComputedAttribute,
    ComputedUserset,
    EntityDef,
    Expr,
    Rewrite,
)

Leaf: TypeAlias = ComputedUserset | ComputedAttribute | Arrow | Call


@dataclass(frozen=True, slots=True)
class Plan:
    """What a schema version means, ready to be run.

    Attributes:
        steps: entity type -> name of a relation, permission or attribute -> its step.
        programs: rule name -> its program.
    """

    schema: CompiledSchema
    steps: Mapping[str, Mapping[str, Step]]
    programs: Mapping[str, RuleProgram]

    def find(self, entity_type: str, name: str, arguments: tuple[str, ...] = ()) -> Step:
        """The step that a question names.

        Args:
            entity_type: the type of the entity asked about.
            name: a permission, attribute or relation of the type, or a rule.
            arguments: attributes of the entity, for a rule only.

        Raises:
            NotFoundError: nothing has that name; `reason` tells what it was taken for.
            InvalidInputError: an attribute that is not boolean, or a rule without its arguments.
        """
        entity = find_entity(self.schema, entity_type)
        step = self.steps[entity_type].get(name)
        if step is None:
            return self._rule(entity, name, arguments)
        if isinstance(step, AttributeStep) and step.value_type is not AttributeType.BOOLEAN:
            raise InvalidInputError(
                f"{entity_type}${name} is {step.value_type.word}; only a boolean can be checked",
                reason="ERROR_CODE_ATTRIBUTE_TYPE_MISMATCH",
            )
        return step

    def _rule(self, entity: EntityDef, name: str, arguments: tuple[str, ...]) -> RuleStep:
        program = self.programs.get(name)
        if program is None:
            if name in self.steps:
                raise NotFoundError(
                    f"{name} is an entity type", reason="ERROR_CODE_RULE_DEFINITION_NOT_FOUND"
                )
            raise NotFoundError(
                f"{entity.name} has no permission, relation or attribute {name!r}, "
                "and the schema no such rule",
                reason="ERROR_CODE_SCHEMA_NOT_FOUND",
            )
        for argument in arguments:
            if argument not in entity.attributes:
                raise NotFoundError(
                    f"{argument} is not an attribute of {entity.name}",
                    reason="ERROR_CODE_ATTRIBUTE_DEFINITION_NOT_FOUND",
                )
        for parameter, kind in program.parameters.items():
            if parameter not in arguments or entity.attributes[parameter] is not kind:
                raise InvalidInputError(
                    f"rule {name} needs the argument {parameter}, of type {kind.word}",
                    reason="ERROR_CODE_MISSING_ARGUMENT",
                )
        return RuleStep(-1, entity.name, program, tuple(program.parameters))


def build_plan(schema: CompiledSchema) -> Plan:
    """Compile every permission and rule of a schema.

    Raises:
        CorruptionError: the schema breaks a promise of a compiled one.
    """
    return _Builder(schema).build()


class _Builder:
    """Makes the steps first, then ties them together: they may refer to one another in circles."""

    def __init__(self, schema: CompiledSchema) -> None:
        self._schema = schema
        self._numbers = count()
        self._programs = {name: RuleProgram(rule) for name, rule in schema.rules.items()}
        self._steps: dict[str, dict[str, Step]] = {}
        self._arrows: dict[tuple[str, str, str], ArrowStep] = {}
        self._calls: dict[tuple[str, str], RuleStep] = {}

    def build(self) -> Plan:
        entities = self._schema.entities.values()
        try:
            self._steps = {entity.name: dict(self._own(entity)) for entity in entities}
            for entity in entities:
                self._tie(entity)
        except KeyError as error:
            raise CorruptionError(f"a compiled schema names {error}, which it lacks") from error
        return Plan(self._schema, self._steps, self._programs)

    def _own(self, entity: EntityDef) -> Iterable[tuple[str, Step]]:
        """The steps of an entity's names, not yet tied to others."""
        numbers, type_ = self._numbers, entity.name
        for name, relation in entity.relations.items():
            kinds = frozenset((kind.type, kind.relation) for kind in relation.types)
            yield name, RelationStep(next(numbers), type_, name, kinds)
        for name, value_type in entity.attributes.items():
            yield name, AttributeStep(next(numbers), type_, name, value_type)
        for name, permission in entity.permissions.items():
            _, program = flatten(permission.expr)
            step = UnionStep if all(c >= 0 or c == UNION for c in program) else ExpressionStep
            yield name, step(next(numbers), type_, name)

    def _tie(self, entity: EntityDef) -> None:
        for name in entity.relations:
            relation = self._relation(entity.name, name)
            relation.usersets = {kind: self._relation(*kind) for kind in relation.kinds if kind[1]}
            relation.leads = bool(relation.usersets)
        for name, permission in entity.permissions.items():
            step = self._steps[entity.name][name]
            leaves, program = flatten(permission.expr)
            if isinstance(step, UnionStep | ExpressionStep):
                step.operands = tuple(self._operand(entity.name, leaf) for leaf in leaves)
            if isinstance(step, ExpressionStep):
                step.program = program

    def _relation(self, type_: str, name: str) -> RelationStep:
        step = self._steps[type_][name]
        if isinstance(step, RelationStep):
            return step
        raise CorruptionError(f"a compiled schema uses {type_}#{name} as a relation")

    def _operand(self, type_: str, leaf: Leaf) -> Step:
        match leaf:
            case ComputedUserset(name) | ComputedAttribute(name):
                return self._steps[type_][name]
            case Arrow(relation, computed):
                key = (type_, relation, computed)
                if key not in self._arrows:
                    self._arrows[key] = self._arrow(*key)
                return self._arrows[key]
            case Call(rule, arguments):
                # The rule alone names the call: arguments bind by name to its parameters.
                if (type_, rule) not in self._calls:
                    step = RuleStep(next(self._numbers), type_, self._programs[rule], arguments)
                    self._calls[type_, rule] = step
                return self._calls[type_, rule]

    def _arrow(self, type_: str, relation: str, computed: str) -> ArrowStep:
        step = ArrowStep(next(self._numbers), self._relation(type_, relation), computed)
        targets: dict[str, Step] = {}
        for subject_type, _ in sorted(step.relation.kinds):
            target = self._steps[subject_type].get(computed)
            if target is not None and not isinstance(target, AttributeStep):
                targets[subject_type] = target
        step.targets = targets
        kinds = step.relation.kinds
        step.followed = {kind: targets[kind[0]] for kind in kinds if kind[0] in targets}
        return step


def flatten(expr: Expr) -> tuple[tuple[Leaf, ...], tuple[int, ...]]:
    """An expression as its distinct leaves in source order and a postfix program over them.

    It does not recurse: chains nest to the left as deep as the text is long.
    """
    places: dict[Leaf, int] = {}
    program: list[int] = []
    pending: list[Expr | int] = [expr]
    while pending:
        item = pending.pop()
        if isinstance(item, int):
            program.append(item)
        elif isinstance(item, Rewrite):
            pending += (OPCODES[item.operator], item.right, item.left)
        else:
            program.append(places.setdefault(item, len(places)))
    return tuple(places), tuple(program)
