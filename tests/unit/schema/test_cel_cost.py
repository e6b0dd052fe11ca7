"""How long a rule may take: the tree it is read from, and what is refused."""

from __future__ import annotations

import pytest

from grantlog.errors import CorruptionError, SchemaError
from grantlog.model.attributes import AttributeType
from grantlog.schema.cel_cost import CostModel
from grantlog.schema.cel_pattern import pattern_size
from grantlog.schema.cel_tree import Holds, Kind, Node, read_tree
from grantlog.schema.compile import compile_schema
from grantlog.schema.typecheck import environment
from grantlog.testing.slow_rules import REFUSED, slow_rules

PARAMETERS = {"tags": AttributeType.STRING_ARRAY, "level": AttributeType.INTEGER}


def tree(body: str) -> Node:
    return read_tree(environment(PARAMETERS).compile(body).serialize())


def shown(node: Node) -> str:
    inside = " ".join(map(shown, node.children))
    name = node.name or ("list" if node.kind is Kind.LIST else repr(node.text))
    return f"{name}({inside})" if inside else name


def cost(body: str, weight: float = 1_000) -> float:
    return CostModel(tree(body), PARAMETERS).nanoseconds(weight)


def test_an_expression_is_read_as_it_was_checked():
    assert shown(tree("level > 3 && context.data.x == 'a'")) == (
        "_&&_(_>_(level '') _==_(x(data(context)) 'a'))"
    )
    assert shown(tree("tags.exists(t, t in [b'x', {'k': null}])")) == (
        "t(tags '' @not_strictly_false(!_(@result)) "
        "_||_(@result @in(t list('x' ''('k' '')))) @result)"
    )


@pytest.mark.parametrize(
    ("body", "holds"),
    [
        ("level == 1", Holds.SCALAR),
        ("timestamp('2020-01-01T00:00:00Z') < context.data.t", Holds.SCALAR),
        ("'a' == context.data.s", Holds.TEXT),
        ("tags == context.data.s", Holds.PLAINS),
        ("context.data.s == 1", Holds.ANY),
        ("[[1]] == context.data.s", Holds.ANY),
    ],
)
def test_what_a_value_may_be_is_known_from_its_type(body: str, holds: Holds):
    assert tree(body).children[0].holds is holds


@pytest.mark.parametrize("damaged", [b"", b"\x12", b"\xff" * 20, b"\x12\x02\x22\x00"])
def test_bytes_that_are_no_expression_are_corruption(damaged: bytes):
    with pytest.raises(CorruptionError):
        read_tree(damaged)


def test_what_is_done_for_each_item_counts_for_each_item():
    assert cost("tags.all(t, t != 'x')") > 20 * cost("'x' in tags") / 10
    once, nested = cost("tags.all(t, t in tags)"), cost("tags.all(t, tags.all(u, t in tags))")
    assert nested > 5 * once
    assert cost("context.data.l.map(x, x + x).size() > 0") < cost(
        "context.data.l.map(x, x + x).map(x, x + x).size() > 0"
    )


def test_more_input_never_costs_less():
    for slow in slow_rules():
        model = CostModel(read_tree(environment({}).compile(slow.body).serialize()), {})
        costs = [model.nanoseconds(2.0**n) for n in range(17)]
        assert costs == sorted(costs), slow.name


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [
        ("a", "ab"),
        ("a", "a{2}"),
        ("(ab){3}", "(ab){2,9}"),
        ("(a{10}){10}", "(a{10}){11}"),
        ("[a-z]", r"\pL"),
        (r"[\d]{2}", r"[\d\p{Greek}]{2}"),
        ("(?:a|b){5,}", "(?:a|b){9}"),
        (r"\(a\){2}", "(a){9}"),
    ],
)
def test_a_pattern_is_as_large_as_what_it_repeats(smaller: str, larger: str):
    assert pattern_size(smaller) < pattern_size(larger)


def test_a_pattern_that_is_none_has_a_size_all_the_same():
    for pattern in ("", ")", "((", "[", "[]", "a{", "*", "\\", "(?", "{3}", "[^]"):
        assert pattern_size(pattern) >= 1


@pytest.mark.parametrize(("body", "why"), REFUSED)
def test_a_rule_that_takes_too_long_whatever_it_is_given_is_refused(body: str, why: str):
    with pytest.raises(SchemaError, match="rule `r`") as refused:
        compile_schema("entity user {}\nrule r() { %s }" % body)  # noqa: UP031 - braces
    assert why in str(refused.value)
    assert refused.value.reason == "ERROR_CODE_SCHEMA_COMPILE"


@pytest.mark.parametrize("slow", slow_rules(), ids=lambda rule: rule.name.replace(" ", "-"))
def test_a_rule_that_is_slow_only_with_much_input_is_accepted(slow):
    compile_schema("entity user {}\nrule r() { %s }" % slow.body)  # noqa: UP031 - braces
