"""What the names in a permission's expression refer to. Recursion is at most one frame a level."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from grantlog.model.attributes import AttributeType
from grantlog.schema import ast
from grantlog.schema.compiled import (
    Arrow,
    Call,
    ComputedAttribute,
    ComputedUserset,
    Expr,
    Rewrite,
)
from grantlog.schema.declared import Declared, Subjects, attribute_type
from grantlog.schema.source import RefusalError

UNDEFINED = "ERROR_CODE_UNDEFINED_RELATION_REFERENCE"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint with the nearest known name, or nothing."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


@dataclass(frozen=True, slots=True)
class Resolver:
    """Turns the expressions of one entity into what the engine reads."""

    names: Declared
    subjects: Subjects
    entity: str

    def expression(self, expr: ast.Expr) -> Expr:
        """The compiled expression.

        Raises:
            RefusalError: at the first name, left to right, that does not fit its place.
        """
        match expr:
            case ast.Binary():
                left = self.expression(expr.left)
                return Rewrite(expr.operator, left, self.expression(expr.right))
            case ast.Call():
                return self._call(expr)
            case ast.Path(parts=(name,)):
                return self._single(name)
            case ast.Path(parts=(relation, computed)):
                return self._arrow(relation, computed)
            case ast.Path():
                raise RefusalError(
                    f"`{expr}` walks more than one step: write a permission that walks on in the "
                    f"entities behind `{expr.parts[0]}`, and refer to it as "
                    f"`{expr.parts[0]}.that_permission`",
                    expr.at,
                    "ERROR_CODE_NOT_SUPPORTED_RELATION_WALK",
                )

    def _single(self, name: ast.Name) -> Expr:
        member = self.names.members[self.entity].get(name.text)
        match member:
            case ast.Relation() | ast.Permission():
                return ComputedUserset(name.text)
            case ast.Attribute():
                if attribute_type(member.type) in (AttributeType.BOOLEAN, None):
                    return ComputedAttribute(name.text)
                raise RefusalError(
                    f"the attribute `{name}` is of type {member.type}; only a boolean attribute "
                    "can stand alone: pass this one to a rule",
                    name.at,
                    "ERROR_CODE_SCHEMA_COMPILE",
                )
            case None:
                raise self._undefined(name)

    def _undefined(self, name: ast.Name) -> RefusalError:
        hint = did_you_mean(name.text, self.names.members[self.entity])
        if isinstance(self.names.statements.get(name.text), ast.Rule):
            hint = f"; a rule is called with attributes, as `{name}(an_attribute)`"
        return RefusalError(
            f"`{name}` is not a relation, permission or attribute of `{self.entity}`{hint}",
            name.at,
            UNDEFINED,
        )

    def _arrow(self, relation: ast.Name, computed: ast.Name) -> Arrow:
        members = self.names.members[self.entity]
        if not isinstance(members.get(relation.text), ast.Relation):
            if relation.text not in members:
                hint = did_you_mean(
                    relation.text, [m for m in members if self.names.relation(self.entity, m)]
                )
            else:
                hint = ": what stands before a dot must be a relation"
            raise RefusalError(
                f"`{relation}` is not a relation of `{self.entity}`{hint}", relation.at, UNDEFINED
            )
        reached = self.subjects.direct[self.entity, relation.text]
        lacking = reached & ~self.subjects.offering.get(computed.text, 0)
        if lacking:
            raise self._lacking(relation, computed, lacking)
        return Arrow(relation.text, computed.text)

    def _lacking(self, relation: ast.Name, computed: ast.Name, lacking: int) -> RefusalError:
        type_ = self.names.types[(lacking & -lacking).bit_length() - 1]
        problem = (
            f"`{relation}` leads to `{type_}`, which has no relation or permission `{computed}`"
        )
        if computed.text in self.names.members[type_]:
            problem += f": `{computed}` is an attribute there, so wrap it in a permission"
        else:
            problem += ": every type that the relation leads to needs one"
        return RefusalError(problem, computed.at, UNDEFINED)

    def _call(self, call: ast.Call) -> Call:
        rule = self.names.statements.get(call.rule.text)
        if not isinstance(rule, ast.Rule):
            rules = [n for n, s in self.names.statements.items() if isinstance(s, ast.Rule)]
            raise RefusalError(
                f"there is no rule `{call.rule}`{did_you_mean(call.rule.text, rules)}",
                call.at,
                "ERROR_CODE_INVALID_RULE_REFERENCE",
            )
        parameters = {p.name.text: p for p in reversed(rule.parameters)}
        if not call.arguments or len(call.arguments) != len(parameters):
            raise RefusalError(
                f"the rule `{call.rule}` takes {_listed(reversed(parameters))}, this call passes "
                f"{len(call.arguments)}: pass the attribute of each parameter's name once",
                call.at,
                "ERROR_CODE_MISSING_ARGUMENT",
            )
        arguments: dict[str, None] = {}
        for argument in call.arguments:
            self._check_argument(argument, parameters, rule)
            if str(argument) in arguments:
                raise RefusalError(
                    f"`{argument}` is passed twice", argument.at, "ERROR_CODE_INVALID_ARGUMENT"
                )
            arguments[str(argument)] = None
        return Call(call.rule.text, tuple(arguments))

    def _check_argument(
        self, argument: ast.Path, parameters: dict[str, ast.Parameter], rule: ast.Rule
    ) -> None:
        name = str(argument)
        if len(argument.parts) > 1:
            raise RefusalError(
                f"`{name}` has a dot; arguments are attributes of `{self.entity}` itself (data of "
                "the request is read in the rule as context.data.x)",
                argument.at,
                "ERROR_CODE_NOT_SUPPORTED_WALK",
            )
        members = self.names.members[self.entity]
        attribute = members.get(name)
        if not isinstance(attribute, ast.Attribute):
            attributes = [m for m, member in members.items() if isinstance(member, ast.Attribute)]
            raise RefusalError(
                f"`{name}` is not an attribute of `{self.entity}`{did_you_mean(name, attributes)}",
                argument.at,
                "ERROR_CODE_INVALID_RULE_REFERENCE",
            )
        parameter = parameters.get(name)
        if parameter is None:
            raise RefusalError(
                f"the rule `{rule.name}` has no parameter `{name}` (arguments bind by name); it "
                f"takes {_listed(reversed(parameters))}",
                argument.at,
                "ERROR_CODE_INVALID_ARGUMENT",
            )
        # An unknown type word is an error of its own, at its own place.
        both = attribute_type(attribute.type), attribute_type(parameter.type)
        if None not in both and both[0] != both[1]:
            raise RefusalError(
                f"the attribute `{name}` is of type {attribute.type}, the parameter of "
                f"`{rule.name}` of type {parameter.type}: they must be the same",
                argument.at,
                "ERROR_CODE_INVALID_ARGUMENT",
            )


def _listed(parameters: Iterable[str]) -> str:
    names = list(parameters)
    if not names:
        return "no arguments (and so cannot be called)"
    return f"{len(names)} argument{'s' * (len(names) > 1)} ({', '.join(names)})"
