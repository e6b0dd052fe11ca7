"""Rules: CEL predicates, compiled once per schema version and run on plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, cast

from cel_expr_python import cel

from grantlog.errors import (
    CorruptionError,
    GrantlogError,
    InvalidInputError,
    LimitError,
    RuleFailedError,
)
from grantlog.model.attributes import AttributeType, AttributeValue
from grantlog.schema import limits
from grantlog.schema.cel_cost import CONTEXT, ITEM_WEIGHT, NS_PER_MS, CostModel
from grantlog.schema.cel_tree import read_tree
from grantlog.schema.compiled import RuleDef
from grantlog.schema.typecheck import environment

DATA_NESTING_MAX: Final = 100
"""How deep `context.data` may nest; protobuf's own bound for a Struct."""

HEAVY_MS: Final = 1.0
"""A run that may take longer than this counts as heavy: others have their turn behind it."""


class RuleProgram:
    """One compiled rule.

    Attributes:
        name: the rule's name.
        parameters: its parameters with their types.
        input_max: what it may be given: characters, and `ITEM_WEIGHT` for each item of a list or
            map; as much as it can take within `limits.rule_ms_max`.
    """

    __slots__ = ("_expression", "_light_max", "_zeros", "input_max", "name", "parameters")

    def __init__(self, rule: RuleDef) -> None:
        """Compile the rule.

        Raises:
            CorruptionError: the body does not compile, though its schema was accepted.
        """
        self.name = rule.name
        self.parameters = dict(rule.parameters)
        self._zeros = {
            name: _plain(AttributeValue(kind, kind.zero)) for name, kind in self.parameters.items()
        }
        try:
            self._expression = environment(self.parameters).compile(rule.body)
        except RuntimeError as error:
            raise CorruptionError(
                f"rule {rule.name} of a stored schema does not compile: {error}"
            ) from error
        model = CostModel(read_tree(self._expression.serialize()), self.parameters)
        most = limits.rule_input_max
        self.input_max = model.weight_max(limits.rule_ms_max * NS_PER_MS, most)
        self._light_max = model.weight_max(HEAVY_MS * NS_PER_MS, self.input_max)

    def weight(self, values: Mapping[str, AttributeValue], data: RuleData) -> int:
        """What a run with these would be given."""
        return data.weight + sum(weigh(value.data) for value in values.values())

    def is_heavy(self, weight: int) -> bool:
        """Whether a run that is given so much may take longer than `HEAVY_MS`."""
        return self._light_max < weight <= self.input_max

    def run(self, values: Mapping[str, AttributeValue], data: RuleData) -> bool | GrantlogError:
        """Whether the predicate holds; a parameter without a value is its type's zero.

        Args:
            values: the parameters' values, of the declared types.
            data: what `context.data` is.

        Returns:
            True, False, or the error that its evaluation is.
        """
        arguments: dict[str, object] = {**self._zeros, CONTEXT: {"data": data.value}}
        weight = self.weight(values, data)
        if weight > self.input_max:
            return LimitError(
                f"rule {self.name} would be given {weight} characters and items of attributes and "
                f"context.data; so that it ends in time it may be given {self.input_max}"
            )
        for name, value in values.items():
            arguments[name] = _plain(value)
        try:
            result = self._expression.eval(data=arguments)
        except RuntimeError as error:
            return self._raised(str(error))
        # An error's value is its text, which is truthy: only the objects True and False count.
        value = result.value()
        if value is True or value is False:
            return value
        if result.type() == cel.Type.ERROR:
            return RuleFailedError(f"rule {self.name}: {value}")
        return RuleFailedError(f"rule {self.name}: the result is {result.type()}, not a boolean")

    def _raised(self, text: str) -> GrantlogError:
        if "budget" in text:
            return LimitError(f"rule {self.name} takes too many steps: {text}")
        return RuleFailedError(f"rule {self.name}: {text}")


class RuleData(NamedTuple):
    """What rules see as `context.data`, and what it weighs."""

    value: object
    weight: int


NO_DATA: Final = RuleData({}, 0)


def weigh(value: object) -> int:
    """Characters and items of a value: what evaluation may have to go over."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        items = cast("Mapping[str, object]", value).items()
        return sum(ITEM_WEIGHT + len(key) + weigh(item) for key, item in items)
    if isinstance(value, list | tuple):
        return sum(ITEM_WEIGHT + weigh(item) for item in cast("list[object]", value))
    return 1


def context_data(data: object) -> RuleData:
    """`data` as rules see it: every number of a mapping is a double, as in a protobuf Struct.

    Raises:
        InvalidInputError: it nests deeper than `DATA_NESTING_MAX`.
    """
    if data is None:
        return NO_DATA
    if not isinstance(data, Mapping):
        raise InvalidInputError("context.data is no mapping")
    value = _as_json(cast("Mapping[str, object]", data), DATA_NESTING_MAX)
    return RuleData(value, weigh(value))


def _as_json(value: object, levels: int) -> object:
    if isinstance(value, bool | str | float) or value is None:
        return value
    if isinstance(value, int):
        return float(value)
    if levels == 0:
        raise InvalidInputError(f"context.data nests deeper than {DATA_NESTING_MAX} levels")
    if isinstance(value, Mapping):
        items = cast("Mapping[str, object]", value).items()
        return {key: _as_json(item, levels - 1) for key, item in items}
    if isinstance(value, list | tuple):
        return [_as_json(item, levels - 1) for item in cast("list[object]", value)]
    return value


def _plain(value: AttributeValue) -> object:
    """The value in the Python type that CEL reads as the declared one: 1 is no double to it."""
    data = value.data
    if value.type.scalar is AttributeType.DOUBLE:
        return [float(i) for i in data] if isinstance(data, tuple) else float(data)
    return list(data) if isinstance(data, tuple) else data
