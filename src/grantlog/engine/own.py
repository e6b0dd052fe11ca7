"""Attributes and rules of an entity, decided from its own values: no chain of facts is followed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from grantlog.engine.contextual import ContextFacts
from grantlog.engine.rules import RuleData, context_data
from grantlog.engine.steps import AttributeStep, RuleStep
from grantlog.errors import GrantlogError
from grantlog.model.attributes import AttributeType, AttributeValue
from grantlog.ports.facts import AttributeKey, FactAnswer

RULES_PER_TURN: Final = 4
"""Rules that are run before others have their turn; a heavy one counts as so many."""

OwnStep: TypeAlias = AttributeStep | RuleStep

Stored: TypeAlias = "Callable[[AttributeKey], FactAnswer]"
"""The answer to a key that was asked for."""


class OwnFacts:
    """What is true of entities by their own attributes, those of a request first."""

    __slots__ = ("_data", "_raw", "_run", "_sent")

    def __init__(self, sent: ContextFacts, data: object) -> None:
        """Take a request's facts and its `context.data`."""
        self._sent = sent.attributes
        self._raw = data
        self._data: RuleData | None = None
        self._run = 0

    def keys(self, step: OwnStep, id_: str) -> Iterator[AttributeKey]:
        """What has to be read to decide a step on an entity."""
        for name in step.arguments if isinstance(step, RuleStep) else (step.name,):
            if (step.type, id_, name) not in self._sent:
                yield AttributeKey(step.type, id_, name)

    def decide(self, step: OwnStep, id_: str, stored: Stored) -> bool | GrantlogError:
        """Whether a step holds on an entity, or the error that a rule's evaluation is.

        Raises:
            InvalidInputError: `context.data` nests too deep.
        """
        if isinstance(step, AttributeStep):
            value = self._value(step, id_, step.name, AttributeType.BOOLEAN, stored)
            return value is not None and value.data is True
        if self._data is None:
            self._data = context_data(self._raw)
        program = step.program
        values: dict[str, AttributeValue] = {}
        for name in step.arguments:
            value = self._value(step, id_, name, program.parameters[name], stored)
            if value is not None:
                values[name] = value
        heavy = program.is_heavy(program.weight(values, self._data))
        self._run += RULES_PER_TURN if heavy else 1
        return program.run(values, self._data)

    def take_turn(self) -> bool:
        """Whether so many rules were run that others are to have their turn now."""
        is_due = self._run >= RULES_PER_TURN
        if is_due:
            self._run = 0
        return is_due

    async def turn(self) -> None:
        """Let others have their turn if enough rules were run."""
        if self.take_turn():
            await asyncio.sleep(0)

    def _value(
        self, step: OwnStep, id_: str, name: str, type_: AttributeType, stored: Stored
    ) -> AttributeValue | None:
        """A value that is set; one of another type than the schema version's is none."""
        value = self._sent.get((step.type, id_, name))
        if value is None:
            answer = stored(AttributeKey(step.type, id_, name))
            value = answer if isinstance(answer, AttributeValue) else None
        return value if value is not None and value.type is type_ else None
