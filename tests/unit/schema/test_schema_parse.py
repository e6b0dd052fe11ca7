"""Reading the language: what is accepted, and that it means the same however it is laid out."""

from __future__ import annotations

import pytest

from grantlog.schema import ast
from grantlog.schema.compile import compile_schema
from grantlog.schema.compiled import (
    Arrow,
    Call,
    ComputedAttribute,
    ComputedUserset,
    Expr,
    Operator,
    RelationType,
    Rewrite,
)
from grantlog.schema.parse import parse_schema
from grantlog.schema.print import print_expression

A, B, C = ComputedUserset("a"), ComputedUserset("b"), ComputedUserset("c")


def expression(text: str) -> Expr:
    schema = compile_schema(
        f"""entity user {{}}
entity doc {{
    relation a @user
    relation b @user
    relation c @user
    relation parent @doc
    attribute public boolean
    attribute level integer
    permission x = {text}
}}
rule high(level integer) {{ level > 1 }}"""
    )
    return schema.entities["doc"].permissions["x"].expr


def rewrite(operator: Operator, left: Expr, right: Expr) -> Rewrite:
    return Rewrite(operator, left, right)


def union(left: Expr, right: Expr) -> Rewrite:
    return rewrite(Operator.UNION, left, right)


def test_a_leaf_is_what_its_name_refers_to() -> None:
    assert expression("a") == A
    assert expression("public") == ComputedAttribute("public")
    assert expression("parent.a") == Arrow("parent", "a")
    assert expression("parent.x") == Arrow("parent", "x")
    assert expression("high(level)") == Call("high", ("level",))


def test_operators_have_one_precedence_and_associate_left() -> None:
    assert expression("a or b and c") == rewrite(Operator.INTERSECTION, union(A, B), C)
    assert expression("a or b not c") == rewrite(Operator.EXCLUSION, union(A, B), C)
    assert expression("a or b or c") == union(union(A, B), C)
    assert expression("a not b not c") == rewrite(
        Operator.EXCLUSION, rewrite(Operator.EXCLUSION, A, B), C
    )


def test_brackets_group() -> None:
    assert expression("a or (b and c)") == union(A, rewrite(Operator.INTERSECTION, B, C))
    assert expression("((((a))))") == A
    assert expression("(a or (b)) or ((c))") == union(union(A, B), C)


def test_and_not_is_not() -> None:
    assert expression("a and not b") == rewrite(Operator.EXCLUSION, A, B)
    assert expression("a and\n not\n b") == expression("a not b")


@pytest.mark.parametrize(
    "text",
    [
        "a or b",
        "a or\nb",
        "a\nor b",
        "a\n\n\nor\n\n\nb",
        "a or\r\nb",
        "a\r\nor\r\nb",
        "(\na\nor\nb\n)",
        "\n\na or b",
        "a // or c\n or // }\n b",
        "a/* and c */or/**/b",
        "(a\tor\tb)",
    ],
)
def test_an_expression_may_be_laid_out_freely(text: str) -> None:
    assert expression(text) == union(A, B)


def test_windows_line_ends_change_nothing() -> None:
    text = "entity user {}\nentity doc {\n relation a @user\n permission x = a or\n a\n}\n"
    assert parse_schema(text.replace("\n", "\r\n")) == parse_schema(text)
    assert parse_schema(text.replace("\n", "\r")) == parse_schema(text)


def test_a_byte_order_mark_is_passed_over() -> None:
    assert parse_schema("\ufeffentity user {}") == parse_schema("entity user {}")


def test_statements_need_neither_newlines_nor_semicolons_between_them() -> None:
    together = "entity user {} entity d { relation a @user permission x = a attribute p boolean }"
    apart = ";entity user {};;entity d {; relation a @user; permission x = a; attribute p boolean;}"
    assert parse_schema(together) == parse_schema(apart)


def test_the_types_of_a_relation_may_continue_on_the_next_line() -> None:
    schema = compile_schema(
        """entity user {}
        entity group {
            relation member
                @user
                @group#member
                @ group # member
        }"""
    )
    assert schema.entities["group"].relations["member"].types == (
        RelationType("user"),
        RelationType("group", "member"),
    )


def test_action_is_permission() -> None:
    with_action = "entity user { action a = a }"
    assert parse_schema(with_action) == parse_schema("entity user { permission a = a }")


def test_words_that_begin_like_keywords_are_names() -> None:
    text = "entity entity_ { relation relations @entity_ permission nota = relations }"
    (entity,) = parse_schema(text).statements
    assert isinstance(entity, ast.Entity)
    assert [member.name.text for member in entity.members] == ["relations", "nota"]


def test_keywords_are_case_sensitive() -> None:
    (entity,) = parse_schema("entity Entity {}").statements
    assert entity.name.text == "Entity"


def test_names_carry_their_place() -> None:
    (_, doc) = parse_schema("entity user {}\r\n\tentity doc {\r\n  relation a @user }").statements
    assert isinstance(doc, ast.Entity)
    assert doc.name.at == (2, 9)
    assert doc.members[0].name.at == (3, 12)


def test_places_count_code_points() -> None:
    (doc,) = parse_schema("/* 😀é */ entity doc {}").statements
    assert doc.name.at == (1, 17)


def test_rule_parameters_may_lack_commas_or_end_in_one() -> None:
    plain = "rule r(a string, b integer[]) { true }"
    assert parse_schema("rule r(a string b integer [ ],) { true }") == parse_schema(plain)


def test_a_path_of_many_names_parses_so_that_the_compiler_can_explain() -> None:
    (doc,) = parse_schema("entity doc { permission x = a.b.c.d }").statements
    assert isinstance(doc, ast.Entity)
    (permission,) = doc.members
    assert isinstance(permission, ast.Permission)
    assert print_expression(permission.expr) == "a.b.c.d"


@pytest.mark.parametrize(
    "body",
    [
        " a == '}' ",
        ' a == "}" ',
        " {'k': {'l': 1}}.k.l == 1 ",
        " a // }\n == 1 ",
        " a /* } ' */ == 1 ",
        ' r"\\" == "x" ',
        " '\\'}' == a ",
        ' """ " } """ == a ',
        " br'}' == b'}' ",
        " 4 / 2 == 2 ",
        "\n\n",
        "",
    ],
)
def test_the_body_of_a_rule_is_kept_as_written(body: str) -> None:
    (rule, after) = parse_schema(f"rule r() {{{body}}} entity user {{}}").statements
    assert isinstance(rule, ast.Rule)
    assert rule.body == body
    assert rule.body_at == (1, 11)
    assert after.name.text == "user"


def test_block_comments_in_a_body_become_blanks_of_equal_length_for_cel() -> None:
    (rule,) = parse_schema("rule r() { a /* ' }\n x */ > '/* no */' // /* }\n}").statements
    assert isinstance(rule, ast.Rule)
    assert rule.expression == " a " + " " * 6 + "\n" + " " * 5 + " > '/* no */' // /* }\n"
    assert len(rule.expression) == len(rule.body)
