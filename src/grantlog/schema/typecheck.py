"""The bodies of rules, checked by CEL, with CEL's findings put at their place in the schema.

A parameter has its declared type, `context` is dynamic (`context.data` is the request's data).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cel_expr_python import cel

from grantlog.model.attributes import AttributeType
from grantlog.schema import ast, limits
from grantlog.schema.cel_cost import CONTEXT, NS_PER_MS, CostModel, has_open_pattern
from grantlog.schema.cel_tree import read_tree
from grantlog.schema.cel_words import first_finding, is_too_deep, taken_name
from grantlog.schema.source import Position, RefusalError

_SCALARS: Final = {
    AttributeType.BOOLEAN: cel.Type.BOOL,
    AttributeType.STRING: cel.Type.STRING,
    AttributeType.INTEGER: cel.Type.INT,
    AttributeType.DOUBLE: cel.Type.DOUBLE,
}
_COMPILE: Final = "ERROR_CODE_SCHEMA_COMPILE"


def cel_type(type_: AttributeType) -> cel.Type:
    """CEL's type for an attribute's."""
    scalar = _SCALARS[type_.scalar]
    return cel.Type.List(scalar) if type_.is_array else scalar


def environment(parameters: Mapping[str, AttributeType]) -> cel.Env:
    """The CEL environment in which a rule with these parameters is compiled and evaluated."""
    variables = {name: cel_type(type_) for name, type_ in parameters.items()}
    return cel.NewEnv(variables={**variables, CONTEXT: cel.Type.DYN})


def check_rule(rule: ast.Rule, parameters: Mapping[str, AttributeType]) -> bytes:
    """Compile the body to a serialised CheckedExpr of type bool, readable by `Env.deserialize`.

    Raises:
        RefusalError: the body is empty, not CEL, not well typed, not bool or nested too deeply.
    """
    if not rule.expression.strip() or not _without_line_comments(rule.expression):
        raise RefusalError(
            f"the body of the rule `{rule.name}` is empty: write a condition in CEL",
            rule.body_at,
            _COMPILE,
        )
    env = environment(parameters)
    try:
        compiled = env.compile(rule.expression)
    except RuntimeError as error:
        raise _refusal(str(error), rule) from None
    if compiled.return_type() != cel.Type.BOOL:
        raise _not_bool(rule, compiled.return_type())
    checked = compiled.serialize()
    try:
        # Macros within macros nest deeper in the checked form than a decoder reads back.
        env.deserialize(checked)
    except RuntimeError:
        raise _too_deep(rule) from None
    _check_time(rule, parameters, checked)
    return checked


def _check_time(rule: ast.Rule, parameters: Mapping[str, AttributeType], checked: bytes) -> None:
    """Refuse a rule that might take too long with next to no input."""
    tree = read_tree(checked)
    problem = ""
    if has_open_pattern(tree):
        problem = (
            f"the pattern of `matches` in the rule `{rule.name}` must be written out in the rule: "
            "one that is put together or comes with the data can take very long"
        )
    else:
        least = limits.rule_input_min
        spent_ms = CostModel(tree, parameters).nanoseconds(least) / NS_PER_MS
        if not spent_ms <= limits.rule_ms_max:
            problem = (
                f"the rule `{rule.name}` could take longer than {limits.rule_ms_max:.0f} ms with "
                f"{least} characters of input: it repeats or multiplies its input too often"
            )
    if problem:
        raise RefusalError(problem, _start(rule), _COMPILE)


def _without_line_comments(expression: str) -> str:
    lines = (line.strip() for line in expression.split("\n"))
    return "".join(line for line in lines if not line.startswith("//"))


def _start(rule: ast.Rule) -> Position:
    """Where the first character of the body stands that is not blank."""
    blank = rule.expression[: len(rule.expression) - len(rule.expression.lstrip())]
    return _place(rule, blank.count("\n") + 1, len(blank) - blank.rfind("\n"))


def _place(rule: ast.Rule, line: int, column: int) -> Position:
    """The place in the schema of a place in the body, both 1-based."""
    if line == 1:
        return Position(rule.body_at.line, rule.body_at.column + column - 1)
    return Position(rule.body_at.line + line - 1, column)


def _not_bool(rule: ast.Rule, found: cel.Type) -> RefusalError:
    name = found.name().lower()
    hint = " (data of the request has no type yet: compare it, as `context.data.x == true`)"
    return RefusalError(
        f"the body of the rule `{rule.name}` must be bool, this is {name}"
        f"{hint if found == cel.Type.DYN else ''}",
        _start(rule),
        _COMPILE,
    )


def _too_deep(rule: ast.Rule) -> RefusalError:
    return RefusalError(
        f"the body of the rule `{rule.name}` nests too deeply: CEL reads at most 32 brackets, "
        "arithmetic operators or selections within each other; split the rule",
        _start(rule),
        _COMPILE,
    )


def _refusal(text: str, rule: ast.Rule) -> RefusalError:
    """What to tell about CEL's error text."""
    taken = taken_name(text)
    if taken is not None:
        at = next(p.name.at for p in rule.parameters if p.name.text == taken)
        problem = f"`{taken}` is a name that CEL keeps for itself: rename the parameter"
        return RefusalError(problem, at, _COMPILE)
    line, column, problem = first_finding(text)
    if not line and is_too_deep(text):
        return _too_deep(rule)
    at = _place(rule, line, column) if line else _start(rule)
    return RefusalError(f"in the rule `{rule.name}`: {problem}", at, _COMPILE)
