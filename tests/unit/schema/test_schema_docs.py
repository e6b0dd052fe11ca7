"""The examples of docs/schema-language.md compile; its errors and warnings are the real ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from grantlog.errors import SchemaError
from grantlog.schema import limits
from grantlog.schema.compile import compile_schema
from grantlog.schema.diagnose import KEYWORDS
from grantlog.schema.parse import parse_schema
from grantlog.schema.print import print_schema

PAGE = Path(__file__).parents[3].joinpath("docs/schema-language.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```grantlog ?(\w*)\n(.*?)```\n(?:```text\n(.*?)```)?", PAGE, re.DOTALL)
COMPILING = [schema for kind, schema, _ in BLOCKS if not kind]
REFUSED = [(schema, shown) for kind, schema, shown in BLOCKS if kind == "refused"]
WARNED = [(schema, shown) for kind, schema, shown in BLOCKS if kind == "warns"]


def test_the_page_has_examples_of_each_kind() -> None:
    assert len(COMPILING) >= 7
    assert len(REFUSED) >= 5
    assert len(WARNED) == 3
    assert len(COMPILING) + len(REFUSED) + len(WARNED) == PAGE.count("```grantlog")


@pytest.mark.parametrize("schema", COMPILING)
def test_an_example_compiles_without_a_warning(schema: str) -> None:
    assert compile_schema(schema).warnings == ()


@pytest.mark.parametrize("schema", COMPILING)
def test_an_example_means_the_same_when_printed(schema: str) -> None:
    printed = print_schema(parse_schema(schema))
    first, second = compile_schema(schema), compile_schema(printed)
    assert (first.entities, first.rules.keys()) == (second.entities, second.rules.keys())


@pytest.mark.parametrize(("schema", "shown"), REFUSED)
def test_an_error_is_shown_as_it_is(schema: str, shown: str) -> None:
    with pytest.raises(SchemaError) as caught:
        compile_schema(schema)
    assert caught.value.explanation + "\n" == shown


@pytest.mark.parametrize(("schema", "shown"), WARNED)
def test_a_warning_is_shown_as_it_is(schema: str, shown: str) -> None:
    found = compile_schema(schema).warnings
    assert "".join(f"{w.line}:{w.column}: {w.text}\n" for w in found) == shown


def test_the_bounds_on_the_page_are_those_of_the_code() -> None:
    table = PAGE[PAGE.index("## Bounds") : PAGE.index("## Differences")]
    assert limits.schema_bytes_max == 256 * 1024
    assert limits.rule_bytes_max == 16 * 1024
    for bound in (
        limits.name_bytes_max,
        limits.entities_max,
        limits.members_max,
        limits.rules_max,
        limits.parameters_max,
        limits.expression_depth_max,
        limits.rule_nesting_max,
        limits.warnings_max,
        limits.warning_edges_max,
    ):
        assert f"{bound:,}" in table


def test_every_word_of_the_language_is_on_the_page() -> None:
    words = re.search(r"The words `([a-z ]+)` are not names", PAGE)
    assert words is not None
    assert sorted(words[1].split()) == sorted(KEYWORDS)


def test_every_reason_that_the_compiler_gives_is_on_the_page() -> None:
    folder = Path(__file__).parents[3] / "src/grantlog/schema"
    code = "".join(file.read_text(encoding="utf-8") for file in folder.glob("*.py"))
    given = set(re.findall(r"ERROR_CODE_[A-Z_]+[A-Z]", code)) - {"ERROR_CODE_DUPLICATED"}
    errors = PAGE[PAGE.index("## Errors") : PAGE.index("## Warnings")]
    assert given - set(re.findall(r"ERROR_CODE_[A-Z_]+", errors)) == {"ERROR_CODE_DEPTH_NOT_ENOUGH"}
