"""AST to text, in one canonical form: what is printed parses to an equal AST."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from grantlog.schema import ast
from grantlog.schema.compiled import Operator

_WORDS: Final = {
    Operator.UNION: "or",
    Operator.INTERSECTION: "and",
    Operator.EXCLUSION: "not",
}


def print_schema(schema: ast.Schema) -> str:
    """The schema as text: source order kept, comments gone, `action` as `permission`.

    Brackets stand where the tree needs them and, for the reader, where operators mix. Bodies of
    rules are printed as written.
    """
    return "\n".join(_statement(statement) for statement in schema.statements)


def print_expression(expr: ast.Expr) -> str:
    """One expression as text; recursion is one frame a level."""
    match expr:
        case ast.Path():
            return str(expr)
        case ast.Call():
            return f"{expr.rule}({', '.join(map(str, expr.arguments))})"
        case ast.Binary(left=left, right=right):
            before, after = print_expression(left), print_expression(right)
            if isinstance(left, ast.Binary) and left.operator is not expr.operator:
                before = f"({before})"
            if isinstance(right, ast.Binary):
                after = f"({after})"
            return f"{before} {_WORDS[expr.operator]} {after}"


def _statement(statement: ast.Statement) -> str:
    if isinstance(statement, ast.Rule):
        parameters = ", ".join(f"{p.name} {p.type}" for p in statement.parameters)
        return f"rule {statement.name}({parameters}) {{{statement.body}}}\n"
    if not statement.members:
        return f"entity {statement.name} {{}}\n"
    return "\n".join([f"entity {statement.name} {{", *_members(statement), "}\n"])


def _members(entity: ast.Entity) -> Iterator[str]:
    for member in entity.members:
        match member:
            case ast.Relation():
                types = " ".join(f"@{_subject_type(subject)}" for subject in member.types)
                yield f"    relation {member.name} {types}"
            case ast.Attribute():
                yield f"    attribute {member.name} {member.type}"
            case ast.Permission():
                yield f"    permission {member.name} = {print_expression(member.expr)}"


def _subject_type(subject: ast.SubjectType) -> str:
    return str(subject.type) if subject.relation is None else f"{subject.type}#{subject.relation}"
