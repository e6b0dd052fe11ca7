"""The canonical text of an AST."""

from __future__ import annotations

import pytest

from grantlog.schema.parse import parse_schema
from grantlog.schema.print import print_schema

MESSY = """// a comment
entity   user{}entity doc{relation owner @user@group # member
attribute tags string [ ];action view=owner or(public)and not
(tags_ or banned) permission x = check(tags,b) attribute public boolean}
rule check ( tags string[] b integer , ) { 'x' in tags /* } */ && b > 1 }"""

CANONICAL = """entity user {}

entity doc {
    relation owner @user @group#member
    attribute tags string[]
    permission view = (owner or public) not (tags_ or banned)
    permission x = check(tags, b)
    attribute public boolean
}

rule check(tags string[], b integer) { 'x' in tags /* } */ && b > 1 }
"""


def test_a_schema_is_printed_in_source_order_with_comments_gone() -> None:
    assert print_schema(parse_schema(MESSY)) == CANONICAL


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("a or b or c", "a or b or c"),
        ("((a or b) or c)", "a or b or c"),
        ("a or (b or c)", "a or (b or c)"),
        ("a or b and c", "(a or b) and c"),
        ("a and not b", "a not b"),
        ("a not b not c", "a not b not c"),
        ("a not (b not c)", "a not (b not c)"),
        ("r( a ,b )", "r(a, b)"),
        ("a . b", "a.b"),
    ],
)
def test_brackets_stand_where_needed_and_where_operators_mix(written: str, printed: str) -> None:
    text = print_schema(parse_schema(f"entity d {{ permission x = {written} }}"))
    assert text == f"entity d {{\n    permission x = {printed}\n}}\n"


def test_an_empty_schema_prints_as_nothing() -> None:
    assert print_schema(parse_schema(" // nothing")) == ""
