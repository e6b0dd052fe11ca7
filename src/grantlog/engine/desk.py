"""Asks for facts in batches and remembers the answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from grantlog.engine.node import Node
from grantlog.errors import CorruptionError, LimitError
from grantlog.ports.facts import AttributeKey, FactAnswer, FactKey, SubjectsKey, UsersetsKey

Memory: TypeAlias = tuple[dict[FactKey, FactAnswer], dict[FactKey, FactAnswer]]
"""Answers by key; those to a UsersetsKey apart, for it equals the SubjectsKey of its fields."""


class FactDesk:
    """The facts that nodes ask for, gathered until a batch is taken.

    Attributes:
        answers: (asker, key, answer), to be popped from the end.
    """

    __slots__ = ("_askers", "_keys", "_keys_max", "_memory", "_remembers", "_shared", "answers")

    def __init__(self, keys_max: int, memory: Memory | None = None) -> None:
        self._keys_max = keys_max
        self._remembers = memory is not None
        self._memory: Memory = ({}, {}) if memory is None else memory
        self._keys: list[FactKey] = []
        self._askers: list[Node] = []
        self._shared: dict[SubjectsKey | AttributeKey, list[Node]] = {}
        self.answers: list[tuple[Node, FactKey, FactAnswer]] = []

    @property
    def memory(self) -> Memory:
        """All answers so far, for another evaluation of the same question."""
        return self._memory

    def ask(self, node: Node, key: FactKey) -> None:
        """Ask for what no other node asks for."""
        if self._remembers:
            known = self._memory[type(key) is UsersetsKey]
            if key in known:
                self.answers.append((node, key, known[key]))
                return
        self._keys.append(key)
        self._askers.append(node)

    def ask_shared(self, node: Node, key: SubjectsKey | AttributeKey) -> None:
        """Ask for what others may have asked for, now or before."""
        known = self._memory[False]
        if key in known:
            self.answers.append((node, key, known[key]))
        else:
            self._shared.setdefault(key, []).append(node)

    def recall(self, key: AttributeKey) -> FactAnswer:
        """The answer to a key that was answered."""
        return self._memory[False][key]

    def wanted(self) -> Sequence[FactKey]:
        """The keys of the next batch, each once.

        Raises:
            LimitError: they are too many.
        """
        keys = [*self._keys, *self._shared] if self._shared else self._keys
        if len(keys) > self._keys_max:
            raise LimitError(f"the check needs more than keys_max = {self._keys_max} facts at once")
        return keys

    def learn(self, answers: Sequence[FactAnswer]) -> None:
        """Take the answers to what was wanted, in its order.

        Raises:
            CorruptionError: they are not as many.
        """
        if len(answers) != len(self._keys) + len(self._shared):
            raise CorruptionError(f"{len(answers)} answers to another number of keys")
        heard = self.answers
        known, pages = self._memory
        for key, node, answer in zip(self._keys, self._askers, answers, strict=False):
            (pages if type(key) is UsersetsKey else known)[key] = answer
            heard.append((node, key, answer))
        if self._shared:
            own = len(self._keys)
            for (key, nodes), answer in zip(self._shared.items(), answers[own:], strict=True):
                known[key] = answer
                heard += [(node, key, answer) for node in nodes]
            self._shared = {}
        self._keys = []
        self._askers = []
        heard.reverse()
