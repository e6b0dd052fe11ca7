"""Rules: typed by CEL when the schema is written, wrong ones refused at their place."""

from __future__ import annotations

import pytest
from cel_expr_python import cel

from grantlog.errors import SchemaError
from grantlog.model.attributes import AttributeType
from grantlog.schema.compile import compile_schema
from grantlog.schema.compiled import RuleDef
from grantlog.schema.typecheck import environment

PARAMETERS = "(level integer, rate double, name string, on boolean, tags string[], rates double[])"


def compiled(body: str) -> RuleDef:
    return compile_schema(f"entity user {{}}\nrule r{PARAMETERS} {{{body}}}").rules["r"]


def refusal(body: str) -> SchemaError:
    with pytest.raises(SchemaError) as caught:
        compiled(body)
    return caught.value


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (" level > 5 ", True),
        ("level > 5", True),
        ("\n  level in [1, 7]\n", True),
        (" rate >= 0.5 && on ", True),
        (' name == "}" ', False),
        (" name == 'ann' // who\n", True),
        (" /* why } */ 'a' in tags ", True),
        (" {'ann': 3}[name] == 3 ", True),
        (" rates.exists(r, r > 2.0) ", True),
        (" level <= context.data.clearance ", True),
        (" context.data.ip in tags ", False),
        (" has(context.data.absent) ", False),
        (' name.matches("^a\\\\w+$") ', True),
        (" size('héllo😀') == 6 ", True),
    ],
)
def test_a_well_typed_body_is_kept_and_evaluates(body: str, expected: bool) -> None:
    rule = compiled(body)
    data = {"clearance": 7.0, "ip": "1.2.3.4"}
    values = {"level": 7, "rate": 0.5, "name": "ann", "on": True, "tags": ["a"], "rates": [2.5]}
    result = environment(rule.parameters).deserialize(rule.checked)
    answer = result.eval(data={**values, "context": {"data": data}})
    assert answer.type() == cel.Type.BOOL
    assert answer.value() is expected


def test_the_source_is_kept_in_a_form_that_cel_compiles_again() -> None:
    rule = compiled(" /* '} */ on /* a\n b */ && '/*' != name // }\n")
    assert rule.body == "          on     \n      && '/*' != name // }\n"
    assert environment(rule.parameters).compile(rule.body).return_type() == cel.Type.BOOL


def test_parameters_keep_their_types_and_order() -> None:
    assert list(compiled(" on ").parameters.items()) == [
        ("level", AttributeType.INTEGER),
        ("rate", AttributeType.DOUBLE),
        ("name", AttributeType.STRING),
        ("on", AttributeType.BOOLEAN),
        ("tags", AttributeType.STRING_ARRAY),
        ("rates", AttributeType.DOUBLE_ARRAY),
    ]


FIRST = len("rule r" + PARAMETERS + " {") + 1


@pytest.mark.parametrize(
    ("body", "line", "column", "words"),
    [
        ("", 2, FIRST, "is empty"),
        ("  \n // only a comment\n /* and\n another */", 2, FIRST, "is empty"),
        ("level", 2, FIRST, "must be bool, this is int"),
        ("\n\n  name", 4, 3, "must be bool, this is string"),
        ("context.data.on", 2, FIRST, "must be bool, this is dyn (data of the request has no type"),
        ("level >", 2, FIRST + 7, "the expression ends too early"),
        ("level > 1 level", 2, FIRST + 10, "`level` is not expected here"),
        ("\n  level == 'x'", 3, 9, "`==` does not apply to (int, string)"),
        ("rate > 5", 2, FIRST + 5, "`>` does not apply to (double, int); write 5.0 for 5"),
        ("size(level) == 1", 2, FIRST + 4, "`size` does not apply to (int)"),
        ("on || nobody", 2, FIRST + 6, "`nobody` is neither a parameter nor a function"),
        ("/* 😀\n */ on\n && nobody.x == 1", 4, 11, "`nobody.x` is neither"),
        ("'é😀' == name && nobody", 2, FIRST + 16, "`nobody`"),
        ("on &&\n\tnobody &&\nnobody.x", 3, 2, "`nobody`"),
        ("level > 99999999999999999999", 2, FIRST + 8, "invalid int literal"),
        ("as > 1", 2, FIRST, "reserved identifier: as"),
        ("on ? level : name", 2, FIRST + 3, "`?_:` does not apply to (bool, int, string)"),
        ("on && @", 2, FIRST + 6, "CEL cannot read `@`"),
        ("has(on)", 2, FIRST + 4, "has() argument must be a field selection"),
    ],
)
def test_a_body_that_is_not_a_condition_is_refused_at_its_place(
    body: str, line: int, column: int, words: str
) -> None:
    error = refusal(body)
    assert (error.line, error.column) == (line, column), error.explanation
    assert error.reason == "ERROR_CODE_SCHEMA_COMPILE"
    assert words in error.problem


@pytest.mark.parametrize(
    "body",
    [
        "(" * 33 + "on" + ")" * 33,
        " + ".join(["level"] * 40) + " > 1",
        "context" + ".a" * 40 + " == 1",
        "".join(f"tags.exists(x{chr(97 + n)}, " for n in range(26)) + "on" + ")" * 26,
    ],
)
def test_a_body_that_cel_cannot_read_back_is_refused_as_too_deep(body: str) -> None:
    error = refusal(f"\n {body}")
    assert (error.line, error.column) == (3, 2)
    assert "nests too deeply: CEL reads at most 32" in error.problem


def test_thirty_levels_of_brackets_are_fine() -> None:
    assert compiled("(" * 30 + "on" + ")" * 30).checked
