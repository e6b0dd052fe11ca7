"""Templates of facts: arguments as they are, in the place they have and nowhere else."""

from __future__ import annotations

import pytest

from grantlog.errors import InvalidInputError
from grantlog.model.template import parse_template


def filled(text, **arguments):
    return parse_template(text).fill(arguments)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("doc:{{.id}}#viewer@user:{{.user}}", "doc:7#viewer@user:a+b&c'<d>"),
        ("doc:{{ .id }}#viewer@user:{{\t.user\t}}", "doc:7#viewer@user:a+b&c'<d>"),
        ("{{.id}}{{.id}}", "77"),
        ("no places", "no places"),
        ("a { brace } is text", "a { brace } is text"),
        ("doc:1$note|string:{{.user}}, {{.id}}", "doc:1$note|string:a+b&c'<d>, 7"),
    ],
)
def test_arguments_go_in_as_they_are(text, expected):
    assert filled(text, id="7", user="a+b&c'<d>") == expected


@pytest.mark.parametrize(
    "text",
    [
        "doc:{{id}}#viewer@user:1",
        "doc:{{.id",
        "doc:.id}}",
        "doc:{{if .id}}1{{end}}",
        "doc:{{.id | html}}",
        "doc:{{.}}",
        "doc:{{.1d}}",
        "doc:{{.a.b}}",
        "doc:{{/* note */}}",
        "doc:{{{.id}}}",
        "doc:{{.id\n}}",
    ],
)
def test_anything_else_in_double_braces_is_refused(text):
    with pytest.raises(InvalidInputError) as caught:
        parse_template(text)
    assert caught.value.reason == "ERROR_CODE_INVALID_ARGUMENT"


def test_an_argument_that_is_not_there_is_named():
    with pytest.raises(InvalidInputError, match="'user'") as caught:
        filled("doc:{{.id}}#viewer@user:{{.user}}", id="1")
    assert caught.value.reason == "ERROR_CODE_MISSING_ARGUMENT"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("doc:1#viewer@user:{{.x}}", "ann#member"),
        ("doc:1#viewer@user:ann@{{.x}}", "example.com#member"),
        ("doc:{{.x}}#viewer@user:ann", "1#owner@user:mallory"),
        ("doc:1#{{.x}}@user:ann", "owner@user:mallory"),
        ("{{.x}}:1#viewer@user:ann", "doc:2#owner@user"),
        ("doc:{{.x}}$level|integer:1", "1$title|string:"),
        ("doc:1${{.x}}|integer:1", "title|string:"),
        ("{{.x}}$level|string:1", "doc:1$title|string:"),
    ],
)
def test_an_argument_cannot_bring_structure_of_its_own(text, value):
    with pytest.raises(InvalidInputError) as caught:
        filled(text, x=value)
    assert caught.value.reason == "ERROR_CODE_INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{.x}}", "doc:1#viewer@group:eng#member"),
        ("doc:1#viewer@{{.x}}", "group:eng#member"),
        ("doc:1#{{.x}}@user:ann", "viewer"),
        ("{{.x}}#viewer@user:ann", "doc:a:b@c"),
        ("doc:1#viewer@user:{{.x}}", "ann@example.com"),
        ("doc:1#viewer@group:eng#{{.x}}", "..."),
        ("doc:1$level|{{.x}}", "integer:5"),
        ("doc:1$note|string:{{.x}}", "a#b$c|d"),
    ],
)
def test_an_argument_may_be_all_of_what_its_place_stands_for(text, value):
    assert filled(text, x=value) == text.replace("{{.x}}", value)
