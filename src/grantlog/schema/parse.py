"""Text to AST. What a name refers to is compile.py's question; what went wrong is diagnose.py's."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lark import Lark, Token, Transformer, UnexpectedInput, v_args

from grantlog.schema import ast, limits
from grantlog.schema.compiled import Operator
from grantlog.schema.diagnose import bad_character, bad_name, unexpected
from grantlog.schema.source import Position, RefusalError, normalise, point_at, position_of

_OPERATORS: Final = {
    "or": Operator.UNION,
    "and": Operator.INTERSECTION,
    "not": Operator.EXCLUSION,
}
_NAME: Final = re.compile(r"[A-Za-z_]+")
_UNREADABLE: Final = re.compile("[\x00\ud800-\udfff]")
_NOT_NEWLINE: Final = re.compile(r"[^\n]")


def parse_schema(text: str) -> ast.Schema:
    """Read a schema text; nothing is known yet about what its names refer to.

    Raises:
        SchemaError: the text does not follow the grammar, at the first place where it does not.
    """
    text = normalise(text)
    try:
        return parse_normalised(text)
    except RefusalError as refusal:
        raise point_at(text, refusal) from None


def parse_normalised(text: str) -> ast.Schema:
    """As `parse_schema`, for a text that `normalise` made.

    Raises:
        RefusalError: the text does not follow the grammar.
    """
    _check_text(text)
    try:
        schema: object = _parser().parse(text, start="schema")
    except UnexpectedInput as error:
        raise unexpected(text, error) from None
    assert isinstance(schema, ast.Schema)
    return schema


def parse_member(text: str) -> ast.Member:
    """Read one relation, attribute or permission, as it stands in an entity.

    Raises:
        SchemaError: the text is not exactly one of them.
    """
    text = normalise(text)
    try:
        _check_text(text)
        member: object = _parser().parse(text, start="member")
    except UnexpectedInput as error:
        raise point_at(text, unexpected(text, error)) from None
    except RefusalError as refusal:
        raise point_at(text, refusal) from None
    assert isinstance(member, ast.Relation | ast.Attribute | ast.Permission)
    return member


def _check_text(text: str) -> None:
    """Refuse what no parser should see.

    Raises:
        RefusalError: the text is too long, or holds a character that no schema may hold.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > limits.schema_bytes_max:
        raise RefusalError(
            f"the schema has {size:,} bytes; at most {limits.schema_bytes_max:,} are allowed",
            Position(1, 1),
        )
    unreadable = _UNREADABLE.search(text)
    if unreadable:
        raise bad_character(unreadable[0], position_of(text, unreadable.start()))


@functools.cache
def _parser() -> Lark:
    """The parser; it builds the AST while it reads, so that no step recurses over the text."""
    return Lark(
        Path(__file__).with_name("grammar.lark").read_text(encoding="utf-8"),
        parser="lalr",
        lexer="contextual",
        start=["schema", "member"],
        transformer=_Builder(),
    )


@dataclass(frozen=True, slots=True)
class _Body:
    """What stands between a pair of braces in a rule."""

    text: str
    expression: str
    at: Position
    depth: int


@v_args(inline=True)
class _Builder(Transformer[Token, ast.Schema]):
    """Lark's callbacks, one per rule of the grammar, in the order of the text."""

    def NAME(self, token: Token) -> Token:  # noqa: N802 - lark calls it by the terminal's name
        if not _NAME.fullmatch(token) or len(token) > limits.name_bytes_max:
            raise bad_name(str(token), _at(token))
        return token

    def schema(self, *statements: ast.Statement) -> ast.Schema:
        return ast.Schema(statements)

    def entity(self, name: Token, *members: ast.Member) -> ast.Entity:
        return ast.Entity(_name(name), members)

    def member(self, member: ast.Member) -> ast.Member:
        return member

    def relation(self, name: Token, *types: ast.SubjectType) -> ast.Relation:
        return ast.Relation(_name(name), types)

    def subject_type(self, type_: Token, relation: Token | None = None) -> ast.SubjectType:
        return ast.SubjectType(_name(type_), _name(relation) if relation is not None else None)

    def attribute(self, name: Token, type_: ast.TypeWord) -> ast.Attribute:
        return ast.Attribute(_name(name), type_)

    def permission(self, name: Token, expr: ast.Expr) -> ast.Permission:
        return ast.Permission(_name(name), expr)

    def type_word(self, word: Token, brackets: bool = False) -> ast.TypeWord:  # noqa: FBT001, FBT002 - lark passes children by position
        return ast.TypeWord(_name(word), brackets)

    def brackets(self) -> bool:
        return True

    def binary(self, left: ast.Expr, operator: Token, right: ast.Expr) -> ast.Binary:
        depth = 1 + max(_depth(left), _depth(right))
        if depth > limits.expression_depth_max:
            raise RefusalError(
                f"this expression is more than {limits.expression_depth_max} operators deep "
                "(a chain counts each of its operators): split it into several permissions",
                _at(operator),
            )
        return ast.Binary(_OPERATORS[operator], left, right, _at(operator), depth)

    def operator(self, first: Token, then: Token | None = None) -> Token:
        """`and not` is `not`: its place is that of `and`."""
        return first if then is None else first.update(value=str(then))

    def path(self, *parts: Token) -> ast.Path:
        return ast.Path(tuple(map(_name, parts)))

    def call(self, rule: Token, *arguments: ast.Path) -> ast.Call:
        return ast.Call(_name(rule), arguments)

    def rule(self, name: Token, *rest: ast.Parameter | _Body) -> ast.Rule:
        parameters = tuple(part for part in rest if isinstance(part, ast.Parameter))
        body = rest[-1]
        assert isinstance(body, _Body)
        return ast.Rule(_name(name), parameters, body.text, body.at, body.expression)

    def parameter(self, name: Token, type_: ast.TypeWord) -> ast.Parameter:
        return ast.Parameter(_name(name), type_)

    def body(self, *pieces: Token | _Body) -> _Body:
        return _enclosed(pieces)

    def nested(self, *pieces: Token | _Body) -> _Body:
        return _enclosed(pieces)


def _enclosed(pieces: Sequence[Token | _Body]) -> _Body:
    """What stands between the first piece, an opening brace, and the last, the closing one."""
    opening, inner = pieces[0], pieces[1:-1]
    assert isinstance(opening, Token)
    at = _at(opening)
    depth = 1 + max((p.depth for p in inner if isinstance(p, _Body)), default=0)
    if depth > limits.rule_nesting_max:
        raise RefusalError(f"braces nest more than {limits.rule_nesting_max} deep in this rule", at)
    text = "".join(f"{{{p.text}}}" if isinstance(p, _Body) else p for p in inner)
    if len(text.encode()) > limits.rule_bytes_max:
        raise RefusalError(
            f"the body of this rule is longer than {limits.rule_bytes_max:,} bytes: "
            "split it into several rules",
            at,
        )
    start = Position(at.line, at.column + 1)
    return _Body(text, "".join(map(_for_cel, inner)), start, depth)


def _at(token: Token) -> Position:
    assert token.line is not None
    assert token.column is not None
    return Position(token.line, token.column)


def _name(token: Token) -> ast.Name:
    return ast.Name(str(token), _at(token))


def _depth(expr: ast.Expr) -> int:
    return expr.depth if isinstance(expr, ast.Binary) else 0


def _for_cel(piece: Token | _Body) -> str:
    """The piece with block comments, which CEL lacks, made blank: every position stays."""
    if isinstance(piece, _Body):
        return f"{{{piece.expression}}}"
    return _NOT_NEWLINE.sub(" ", piece) if piece.startswith("/*") else str(piece)
