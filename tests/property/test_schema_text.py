"""Text and AST of a schema say the same, whatever the schema."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grantlog.errors import SchemaError
from grantlog.schema.ast import Schema
from grantlog.schema.compile import compile_schema
from grantlog.schema.parse import parse_schema
from grantlog.schema.print import print_schema
from grantlog.testing.schemas import schema_asts, valid_schemas

at_any_speed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""

_BLANKS = (" ", "\n", "\t", "\r\n", "\r", " // or } @\n", "/* ' \n { */", " \n \n ")
_LANGUAGE = st.sampled_from(
    [
        *("entity ", "relation ", "permission ", "attribute ", "rule ", "not ", "and ", "or "),
        *("user", "doc", "a", "\n", "{", "}", "(", ")", "@", "#", ".", ",", "=", "[", "]", ";"),
        *("'", '"', "/*", "*/", "//", "\\", "1", "-", "é", "\0", "\ud800", "\ufeff", "\r", "in "),
    ]
)


@at_any_speed
@given(schema_asts())
def test_what_is_printed_parses_to_an_equal_ast(schema: Schema) -> None:
    assert parse_schema(print_schema(schema)) == schema


@at_any_speed
@given(schema_asts())
def test_printing_again_changes_nothing(schema: Schema) -> None:
    text = print_schema(schema)
    assert print_schema(parse_schema(text)) == text


@at_any_speed
@given(schema_asts(rules=False), st.data())
def test_blanks_newlines_and_comments_mean_nothing_between_words(
    schema: Schema, data: st.DataObject
) -> None:
    words = print_schema(schema).split()
    blanks = st.lists(st.sampled_from(_BLANKS), min_size=len(words), max_size=len(words))
    noisy = "".join(word + blank for word, blank in zip(words, data.draw(blanks), strict=True))
    assert parse_schema(noisy) == schema


@at_any_speed
@given(valid_schemas())
def test_valid_schemas_compile_and_keep_source_order(schema: Schema) -> None:
    compiled = compile_schema(print_schema(schema))
    assert [*compiled.entities] == [
        s.name.text for s in schema.statements if s.name.text in compiled.entities
    ]
    for statement in schema.statements:
        if statement.name.text in compiled.rules:
            continue
        entity = compiled.entities[statement.name.text]
        order = [m.name.text for m in statement.members]
        for part in (entity.relations, entity.attributes, entity.permissions):
            assert [*part] == [name for name in order if name in part]


@at_any_speed
@given(st.lists(_LANGUAGE, max_size=30).map("".join) | st.text(max_size=60))
def test_any_text_compiles_or_is_refused_at_a_place_inside_it(text: str) -> None:
    _compiles_or_is_refused(text)


@at_any_speed
@given(valid_schemas(), st.data())
def test_any_small_damage_compiles_or_is_refused_at_a_place_inside_it(
    schema: Schema, data: st.DataObject
) -> None:
    text = print_schema(schema)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 3)))
    _compiles_or_is_refused(text[:start] + data.draw(st.just("") | _LANGUAGE) + text[end:])


def _compiles_or_is_refused(text: str) -> None:
    error = _error_of(text)
    if error is None:
        return
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert 1 <= error.line <= len(lines)
    assert 1 <= error.column <= len(lines[error.line - 1]) + 1
    assert error.reason.startswith("ERROR_CODE_")
    assert error.problem
    assert error.explanation.startswith(f"{error.line}:{error.column}: {error.problem}")


def _error_of(text: str) -> SchemaError | None:
    try:
        compile_schema(text)
    except SchemaError as error:
        return error
    return None
