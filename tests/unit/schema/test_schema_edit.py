"""Editing a text by statements: what is named changes, all else stays to the letter."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grantlog.errors import InvalidInputError, NotFoundError, SchemaError
from grantlog.schema import ast
from grantlog.schema.edit import EntityEdits, edit_schema
from grantlog.schema.parse import parse_schema
from grantlog.schema.print import print_schema
from grantlog.testing.schemas import schema_asts

TEXT = """// The schema of the library.
entity user {}

entity doc { // what people read
    // Who wrote it.
    relation owner @user /* one */ // or several
    relation viewer @user
        @team#member
    attribute tags string[]permission view = owner or viewer
    permission edit = owner; permission share = edit
}
rule high(level integer) { level > 1 }
entity team { relation member @user }
"""


def doc(**edits):
    return edit_schema(TEXT, {"doc": EntityEdits(**{k: tuple(v) for k, v in edits.items()})})


def test_no_edit_changes_nothing():
    assert edit_schema(TEXT, {}) == TEXT
    assert doc() == TEXT


def test_a_statement_is_added_before_the_brace():
    added = doc(write=["relation banned @user // not these", "permission read = view not banned"])
    assert added == TEXT.replace(
        "share = edit\n}",
        "share = edit\n    relation banned @user // not these\n"
        "    permission read = view not banned\n}",
    )


def test_an_entity_on_one_line_gets_lines():
    edits = {
        "team": EntityEdits(write=("attribute open boolean",)),
        "user": EntityEdits(write=("attribute active boolean",)),
    }
    assert edit_schema(TEXT, edits) == TEXT.replace(
        "@user }\n", "@user \n    attribute open boolean\n}\n"
    ).replace("user {}", "user {\n    attribute active boolean\n}")


def test_a_statement_is_replaced_where_it_stands():
    assert doc(update=["  relation owner @user @team#member ; // new"]) == TEXT.replace(
        "relation owner @user /*", "relation owner @user @team#member /*"
    )
    assert doc(update=["relation viewer @user"]) == TEXT.replace(
        "@user\n        @team#member", "@user"
    )
    assert doc(update=["attribute tags string"]) == TEXT.replace("string[]", "string ")


def test_another_kind_may_take_the_name():
    assert doc(update=["attribute share boolean"]) == TEXT.replace(
        "permission share = edit", "attribute share boolean"
    )


def test_a_statement_is_removed_with_its_line_where_it_is_alone():
    assert doc(delete=["viewer"]) == TEXT.replace(
        "    relation viewer @user\n        @team#member\n", ""
    )
    assert doc(delete=["owner"]) == TEXT.replace("relation owner @user ", " ")
    assert doc(delete=["edit"]) == TEXT.replace("permission edit = owner;", ";")
    assert doc(delete=["view"]) == TEXT.replace("permission view = owner or viewer", "")


def test_edits_of_one_entity_follow_each_other():
    written = doc(write=["relation a @user"], update=["relation a @team"], delete=["view"])
    assert "relation a @team\n}" in written
    assert doc(write=["relation a @user"], delete=["a"]) == TEXT
    assert doc(update=["relation owner @team"], delete=["owner"]) == doc(delete=["owner"])


def test_line_ends_of_other_systems_are_understood():
    text = TEXT.replace("\n", "\r\n")
    edits = {"doc": EntityEdits(write=("permission read =\r\n  view",))}
    assert edit_schema(text, edits) == doc(write=["permission read =\n  view"])


@pytest.mark.parametrize(
    ("name", "edits", "reason", "kind"),
    [
        ("film", EntityEdits(), "ENTITY_STATEMENT_NOT_FOUND", NotFoundError),
        ("high", EntityEdits(), "CANNOT_CONVERT_TO_ENTITY_STATEMENT", InvalidInputError),
        ("doc", EntityEdits(write=("relation view @user",)), "ALREADY_EXIST", InvalidInputError),
        ("doc", EntityEdits(write=("relation x @user",) * 2), "ALREADY_EXIST", InvalidInputError),
        ("doc", EntityEdits(update=("relation x @user",)), "REFERENCE_NOT_FOUND", NotFoundError),
        ("doc", EntityEdits(delete=("x",)), "REFERENCE_NOT_FOUND", NotFoundError),
        ("doc", EntityEdits(delete=("view", "view")), "REFERENCE_NOT_FOUND", NotFoundError),
        ("doc", EntityEdits(write=("",)), "SCHEMA_PARSE", SchemaError),
        (
            "doc",
            EntityEdits(write=("relation x @user relation y @user",)),
            "SCHEMA_PARSE",
            SchemaError,
        ),
        ("doc", EntityEdits(write=("relation x @user }",)), "SCHEMA_PARSE", SchemaError),
        ("doc", EntityEdits(write=("entity x {}",)), "SCHEMA_PARSE", SchemaError),
        ("doc", EntityEdits(update=("relation us3r @user",)), "SCHEMA_PARSE", SchemaError),
        ("doc", EntityEdits(write=("relation x @user /* open",)), "SCHEMA_PARSE", SchemaError),
        ("doc", EntityEdits(write=("relation x @user\0",)), "SCHEMA_PARSE", SchemaError),
    ],
)
def test_what_cannot_be_edited_is_refused(name, edits, reason, kind):
    with pytest.raises(kind) as caught:
        edit_schema(TEXT, {name: edits})
    assert caught.value.reason == f"ERROR_CODE_{reason}"


def test_a_statement_that_does_not_parse_is_named_with_its_place():
    with pytest.raises(SchemaError) as caught:
        doc(write=["relation a @user", "permission b ="])
    assert "in doc.write[1]: " in caught.value.explanation
    assert (caught.value.line, caught.value.column) == (1, 15)


_NOISE = st.sampled_from([" ", "\n", "\t", " // } a\n", "/* { \n */", "\n\n", " ; "])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(schema_asts(), st.data())
def test_the_text_says_what_the_edited_tree_says(schema, data):
    seen = set()
    entities = []
    for statement in schema.statements:  # names are unique in what compiles
        if isinstance(statement, ast.Entity) and statement.name.text not in seen:
            members = {member.name.text: member for member in statement.members}
            entities.append(ast.Entity(statement.name, tuple(members.values())))
        elif statement.name.text not in seen:
            entities.append(statement)
        seen.add(statement.name.text)
    words = [print_schema(ast.Schema((s,))) for s in entities]
    noisy = [
        text if isinstance(s, ast.Rule) else _noisy(text, data)
        for text, s in zip(words, entities, strict=True)
    ]
    text = "\n".join(noisy)
    assert parse_schema(text) == ast.Schema(tuple(entities))
    edits, expected = {}, []
    for statement in entities:
        if isinstance(statement, ast.Rule):
            expected.append(statement)
            continue
        done, after = _edits(statement, data)
        edits[statement.name.text] = done
        expected.append(after)
    assert parse_schema(edit_schema(text, edits)) == ast.Schema(tuple(expected))


def _noisy(text, data):
    words = text.split()
    blanks = data.draw(st.lists(_NOISE, min_size=len(words), max_size=len(words)))
    safe = [" " if ";" in b and w not in "{}" else b for w, b in zip(words, blanks, strict=True)]
    return "".join(w + b for w, b in zip(words, safe, strict=True))


def _edits(entity, data):
    members = {member.name.text: member for member in entity.members}
    names = list(members)
    gone = data.draw(st.sets(st.sampled_from(names))) if names else set()
    updated = data.draw(st.sets(st.sampled_from(names))) if names else set()
    edits = EntityEdits(
        write=("relation fresh_one @user // new", "\n permission fresh_two = fresh_one ;"),
        update=tuple(f"/* x */ attribute {name} string[]" for name in sorted(updated)),
        delete=tuple(sorted(gone)),
    )
    extra = (
        parse_schema(
            "entity e { relation fresh_one @user permission fresh_two = fresh_one"
            + "".join(f" attribute {name} string[]" for name in sorted(updated))
            + " }"
        )
        .statements[0]
        .members
    )
    by_name = {member.name.text: member for member in extra}
    kept = [by_name.get(name, member) for name, member in members.items() if name not in gone]
    after = (*kept, by_name["fresh_one"], by_name["fresh_two"])
    return edits, ast.Entity(entity.name, after)
