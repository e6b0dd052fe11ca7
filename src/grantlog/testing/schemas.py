"""Hypothesis strategies of schemas: any AST that the grammar allows, and ASTs that compile.

Positions in them are meaningless; print the AST to get a text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from hypothesis import strategies as st

from grantlog.model.attributes import TYPES_BY_WORD
from grantlog.schema import ast
from grantlog.schema.compiled import Operator
from grantlog.schema.diagnose import KEYWORDS
from grantlog.schema.source import Position

NOWHERE: Final = Position(0, 0)
_PIECES: Final = (
    *("a", "> 1", "&&", "'x'", '"}"', "'{'", "{'k': {'l': 1}}", "// }\n", "/* } */", "\n"),
    *('r"\\"', "'\\''", '"""a"}b"""', "'''\n'''", "br'}'", "1 / 2", "é", "context.data.x"),
)

# ---------------------------------------------------------------------------------------------
# Any AST


def names() -> st.SearchStrategy[ast.Name]:
    """Names as the language has them, often equal to each other."""
    texts = st.sampled_from(("a", "b", "c", "entity_", "Not", "_", "in_range")) | st.from_regex(
        r"[A-Za-z_]{1,64}", fullmatch=True
    ).filter(lambda text: text not in KEYWORDS)
    return texts.map(lambda text: ast.Name(text, NOWHERE))


def paths() -> st.SearchStrategy[ast.Path]:
    """Paths of one to three names."""
    return st.lists(names(), min_size=1, max_size=3).map(lambda parts: ast.Path(tuple(parts)))


def expressions() -> st.SearchStrategy[ast.Expr]:
    """Expressions over undefined names, of any shape."""
    calls = st.builds(ast.Call, names(), st.lists(paths(), max_size=3).map(tuple))
    return st.recursive(paths() | calls, _binaries, max_leaves=12)


def _binaries(inner: st.SearchStrategy[ast.Expr]) -> st.SearchStrategy[ast.Expr]:
    return st.builds(binary, st.sampled_from(Operator), inner, inner)


def binary(operator: Operator, left: ast.Expr, right: ast.Expr) -> ast.Binary:
    """An operator over two expressions, with its depth."""
    depths = (e.depth if isinstance(e, ast.Binary) else 0 for e in (left, right))
    return ast.Binary(operator, left, right, NOWHERE, 1 + max(depths))


def _type_words() -> st.SearchStrategy[ast.TypeWord]:
    return st.builds(ast.TypeWord, names(), st.booleans())


def _members() -> st.SearchStrategy[ast.Member]:
    subject_types = st.builds(ast.SubjectType, names(), st.none() | names())
    return (
        st.builds(ast.Relation, names(), st.lists(subject_types, min_size=1, max_size=3).map(tuple))
        | st.builds(ast.Attribute, names(), _type_words())
        | st.builds(ast.Permission, names(), expressions())
    )


def _rules() -> st.SearchStrategy[ast.Rule]:
    bodies = st.lists(st.sampled_from(_PIECES), max_size=8).map(lambda p: f" {' '.join(p)} ")
    parameters = st.lists(st.builds(ast.Parameter, names(), _type_words()), max_size=3).map(tuple)
    return st.builds(ast.Rule, names(), parameters, bodies, st.just(NOWHERE), st.just(""))


def schema_asts(*, rules: bool = True) -> st.SearchStrategy[ast.Schema]:
    """Schemas that follow the grammar; most do not compile."""
    entities: st.SearchStrategy[ast.Statement] = st.builds(
        ast.Entity, names(), st.lists(_members(), max_size=5).map(tuple)
    )
    statements = entities | _rules() if rules else entities
    return st.lists(statements, max_size=4).map(lambda s: ast.Schema(tuple(s)))


# ---------------------------------------------------------------------------------------------
# ASTs that compile

_RelationTypes: TypeAlias = "Mapping[tuple[str, str], Sequence[tuple[str, str]]]"
_ENTITIES: Final = ("user", "team", "folder", "doc")
_RELATIONS: Final = ("owner", "member", "parent")
_PERMISSIONS: Final = ("view", "edit", "admin")
_ATTRIBUTES: Final = (("public", "boolean"), ("level", "integer"), ("tags", "string[]"))
_RULES: Final = (
    ("is_public", ("public",), " public || context.data.open == true "),
    ("high", ("level",), " level > 2 "),
    ("marked", ("tags", "level"), " 'x' in tags && level <= context.data.level "),
)


@st.composite
def valid_schemas(draw: st.DrawFn) -> ast.Schema:
    """Schemas that compile, with usersets, arrows, attributes and rules, cycles included."""
    types = _ENTITIES[: draw(st.integers(1, len(_ENTITIES)))]
    relations = {t: draw(st.lists(st.sampled_from(_RELATIONS), unique=True)) for t in types}
    permissions = {t: draw(st.lists(st.sampled_from(_PERMISSIONS), unique=True)) for t in types}
    attributes = {t: draw(st.lists(st.sampled_from(_ATTRIBUTES), unique=True)) for t in types}
    usersets = [(t, r) for t in types for r in relations[t]]
    kinds = [(t, "") for t in types] + usersets
    admits = {
        userset: draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3, unique=True))
        for userset in usersets
    }
    statements: list[ast.Statement] = []
    for type_ in types:
        members: list[ast.Member] = [
            ast.Relation(_name(r), tuple(_subject_type(*kind) for kind in admits[type_, r]))
            for r in relations[type_]
        ]
        members += [ast.Attribute(_name(n), _type_word(word)) for n, word in attributes[type_]]
        own = [*relations[type_], *permissions[type_]]
        operands = st.sampled_from(
            [ast.Path((_name(n),)) for n in own]
            + [ast.Path((_name(n),)) for n, word in attributes[type_] if word == "boolean"]
            + _arrows(type_, admits, {t: [*relations[t], *permissions[t]] for t in types})
            + _calls([n for n, _ in attributes[type_]])
            or [None]
        )
        for name in permissions[type_]:
            # A permission is an operand itself, so here there is always one.
            members.append(ast.Permission(_name(name), draw(_expression(operands))))
        statements.append(ast.Entity(_name(type_), tuple(draw(st.permutations(members)))))
    statements += [_rule(*rule) for rule in _RULES]
    return ast.Schema(tuple(draw(st.permutations(statements))))


def _expression(operands: st.SearchStrategy[ast.Expr | None]) -> st.SearchStrategy[ast.Expr]:
    real: st.SearchStrategy[ast.Expr] = operands.map(_present)
    return st.recursive(real, _binaries, max_leaves=5)


def _present(operand: ast.Expr | None) -> ast.Expr:
    assert operand is not None
    return operand


def _arrows(
    type_: str, admits: _RelationTypes, offers: Mapping[str, Sequence[str]]
) -> list[ast.Expr]:
    """The arrows of a type that every subject of their relation can answer."""
    arrows: list[ast.Expr] = []
    for of, relation in admits:
        ends = _ends((of, relation), admits) if of == type_ else set[str]()
        common = [n for n in (*_RELATIONS, *_PERMISSIONS) if all(n in offers[e] for e in ends)]
        if ends:
            arrows += [ast.Path((_name(relation), _name(n))) for n in common]
    return arrows


def _ends(start: tuple[str, str], admits: _RelationTypes) -> set[str]:
    """The types of plain subjects that a relation leads to through usersets."""
    ends: set[str] = set()
    seen, pending = {start}, [start]
    while pending:
        for type_, relation in admits[pending.pop()]:
            if not relation:
                ends.add(type_)
            elif (type_, relation) not in seen:
                seen.add((type_, relation))
                pending.append((type_, relation))
    return ends


def _calls(attributes: Sequence[str]) -> list[ast.Expr]:
    return [
        ast.Call(_name(rule), tuple(ast.Path((_name(p),)) for p in parameters))
        for rule, parameters, _ in _RULES
        if all(p in attributes for p in parameters)
    ]


def _rule(name: str, parameters: Sequence[str], body: str) -> ast.Rule:
    words = dict(_ATTRIBUTES)
    typed = tuple(ast.Parameter(_name(p), _type_word(words[p])) for p in parameters)
    return ast.Rule(_name(name), typed, body, NOWHERE, body)


def _name(text: str) -> ast.Name:
    return ast.Name(text, NOWHERE)


def _subject_type(type_: str, relation: str) -> ast.SubjectType:
    return ast.SubjectType(_name(type_), _name(relation) if relation else None)


def _type_word(word: str) -> ast.TypeWord:
    type_ = TYPES_BY_WORD[word]
    return ast.TypeWord(_name(type_.scalar.word), type_.is_array)
