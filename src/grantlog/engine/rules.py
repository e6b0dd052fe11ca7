"""Rules: CEL predicates, compiled once per schema version and run on plain values."""

from __future__ import annotations

import re
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
from grantlog.schema.compiled import RuleDef
from grantlog.schema.typecheck import CONTEXT, environment

DATA_NESTING_MAX: Final = 100
"""How deep `context.data` may nest; protobuf's own bound for a Struct."""

INPUT_MAX: Final = 64 * 1024
"""Characters and items that may reach a rule, arguments and `context.data` together."""

INPUT_MAX_COMPREHENSIVE: Final = 16 * 1024
"""The same for a rule that goes over lists (`all`, `exists`, `map`, `filter`): CEL bounds how often
its body runs, not what each run costs, and nobody else is answered meanwhile."""

ITEM_WEIGHT: Final = 8
"""What an item of a list or map weighs beside its characters."""

_MACROS: Final = re.compile(r"\.\s*(all|exists|exists_one|map|filter)\s*\(")


class RuleProgram:
    """One compiled rule.

    Attributes:
        name: the rule's name.
        parameters: its parameters with their types.
    """

    __slots__ = ("_expression", "_input_max", "_zeros", "name", "parameters")

    def __init__(self, rule: RuleDef) -> None:
        """Compile the rule.

        Raises:
            CorruptionError: the body does not compile, though its schema was accepted.
        """
        self.name = rule.name
        self.parameters = dict(rule.parameters)
        self._input_max = INPUT_MAX_COMPREHENSIVE if _MACROS.search(rule.body) else INPUT_MAX
        self._zeros = {
            name: _plain(AttributeValue(kind, kind.zero)) for name, kind in self.parameters.items()
        }
        try:
            self._expression = environment(self.parameters).compile(rule.body)
        except RuntimeError as error:
            raise CorruptionError(
                f"rule {rule.name} of a stored schema does not compile: {error}"
            ) from error

    def run(self, values: Mapping[str, AttributeValue], data: RuleData) -> bool | GrantlogError:
        """Whether the predicate holds; a parameter without a value is its type's zero.

        Args:
            values: the parameters' values, of the declared types.
            data: what `context.data` is.

        Returns:
            True, False, or the error that its evaluation is.
        """
        arguments: dict[str, object] = {**self._zeros, CONTEXT: {"data": data.value}}
        weight = data.weight
        for name, value in values.items():
            arguments[name] = _plain(value)
            weight += weigh(value.data)
        if weight > self._input_max:
            return LimitError(
                f"rule {self.name} would be given {weight} characters and items of attributes and "
                f"context.data; it may be given {self._input_max}"
            )
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
