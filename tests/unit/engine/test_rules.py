from __future__ import annotations

import pytest

from grantlog.engine.rules import NO_DATA, RuleProgram, context_data
from grantlog.errors import CorruptionError, InvalidInputError, LimitError, RuleFailedError
from grantlog.model.attributes import AttributeType, AttributeValue
from grantlog.schema import limits
from grantlog.schema.cel_cost import CostModel
from grantlog.schema.cel_tree import read_tree
from grantlog.schema.compiled import RuleDef
from grantlog.schema.typecheck import environment
from grantlog.testing.slow_rules import slow_rules

INTEGER, DOUBLE, STRINGS = AttributeType.INTEGER, AttributeType.DOUBLE, AttributeType.STRING_ARRAY


def program(body: str, **parameters: AttributeType) -> RuleProgram:
    return RuleProgram(RuleDef("tested", parameters, body, b""))


def test_parameters_have_their_declared_types():
    rule = program("score / 2.0 == 1.5 && level / 2 == 1", score=DOUBLE, level=INTEGER)
    values = {"score": AttributeValue(DOUBLE, 3), "level": AttributeValue(INTEGER, 3)}
    assert rule.run(values, NO_DATA) is True


def test_a_parameter_without_a_value_is_its_types_zero():
    zeros = {f"a_{t.name.lower()}": t for t in AttributeType}
    body = (
        "!a_boolean && a_string == '' && a_integer == 0 && a_double == 0.0 && a_string_array == []"
        " && a_boolean_array == [] && a_integer_array == [] && a_double_array == []"
    )
    assert program(body, **zeros).run({}, NO_DATA) is True


def test_arrays_are_lists():
    rule = program("'b' in tags", tags=STRINGS)
    assert rule.run({"tags": AttributeValue(STRINGS, ("a", "b"))}, NO_DATA) is True
    assert rule.run({"tags": AttributeValue(STRINGS, ())}, NO_DATA) is False


@pytest.mark.parametrize("data", [{"clearance": 3}, {"clearance": 3.0}])
def test_numbers_of_the_request_are_doubles(data):
    rule = program(
        "level <= context.data.clearance && context.data.clearance + 0.5 == 3.5", level=INTEGER
    )
    assert rule.run({"level": AttributeValue(INTEGER, 3)}, context_data(data)) is True


def test_data_may_nest():
    data = {"clearance": 3, "groups": ["a", {"b": True}]}
    rule = program("context.data.clearance == 3.0 && context.data.groups[1].b")
    assert rule.run({}, context_data(data)) is True


def test_an_absent_key_is_an_error_that_names_rule_and_key():
    error = program("context.data.clearance > 3.0").run({}, context_data(None))
    assert isinstance(error, RuleFailedError)
    assert error.explanation.startswith("rule tested: ")
    assert "clearance" in error.explanation


def test_an_error_is_never_taken_for_true():
    assert isinstance(program("1 / level == 1", level=INTEGER).run({}, NO_DATA), RuleFailedError)


def test_a_result_that_is_no_boolean_is_an_error():
    error = program("context.data.flag").run({}, context_data({"flag": "yes"}))
    assert isinstance(error, RuleFailedError)
    assert "not a boolean" in error.explanation


def test_a_rule_that_loops_too_long_reaches_a_limit():
    kind = AttributeType.INTEGER_ARRAY
    rule = program("l.all(x, l.all(y, l.all(z, x + y + z >= 0)))", l=kind)
    values = {"l": AttributeValue(kind, tuple(range(100)))}
    assert isinstance(rule.run(values, NO_DATA), LimitError)


def test_data_that_nests_too_deep_is_refused():
    data: dict[str, object] = {}
    for _ in range(200):
        data = {"a": data}
    with pytest.raises(InvalidInputError):
        context_data(data)


def test_a_stored_rule_that_no_longer_compiles_is_corruption():
    with pytest.raises(CorruptionError):
        program("level + ")


@pytest.mark.parametrize(
    "body",
    [
        "context.data.s.contains('x')",
        "context.data.l.all(i, i != 'x')",
        "tags . exists ( i, i == context.data.s)",
    ],
)
def test_more_data_than_a_rule_may_be_given_is_a_limit(body):
    rule = program(body, tags=STRINGS)
    assert rule.input_max > 10_000
    small = context_data({"s": "a" * (rule.input_max - 100), "l": []})
    large = context_data({"s": "a" * rule.input_max, "l": []})
    assert isinstance(rule.run({}, small), bool)
    error = rule.run({}, large)
    assert isinstance(error, LimitError)
    assert f"may be given {rule.input_max}" in str(error)
    tags = {"tags": AttributeValue(STRINGS, ("b" * 60,) * 2)}
    assert isinstance(rule.run(tags, small), LimitError)


@pytest.mark.parametrize("slow", slow_rules(), ids=lambda rule: rule.name.replace(" ", "-"))
def test_a_slow_rule_is_given_only_as_much_as_it_can_take_in_time(slow):
    """How long that is: benchmarks/rules_micro.py."""
    rule = program(slow.body)
    model = CostModel(read_tree(environment({}).compile(slow.body).serialize()), {})
    assert limits.rule_input_min <= rule.input_max <= limits.rule_input_max
    assert model.nanoseconds(rule.input_max) <= limits.rule_ms_max * 1e6
    if rule.input_max < limits.rule_input_max:
        assert model.nanoseconds(rule.input_max * 1.1 + 2) > limits.rule_ms_max * 1e6
    whole = context_data(slow.data(rule.input_max))
    assert isinstance(rule.run({}, whole), bool)
    assert isinstance(rule.run({}, context_data(slow.data(2 * rule.input_max + 2_000))), LimitError)


def test_a_rule_is_heavy_where_it_may_take_long():
    rule = program("context.data.l.map(x, x).size() > 0")
    assert not rule.is_heavy(100)
    assert rule.is_heavy(rule.input_max)
    assert not rule.is_heavy(rule.input_max + 1)  # it is not run at all
    assert not program("context.data.s == 'a'").is_heavy(10_000)
