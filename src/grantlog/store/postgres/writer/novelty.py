"""Which groups of writes are taken for new facts, without looking first whether these hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cachetools import LRUCache

from grantlog.model.ids import TenantId
from grantlog.ports.writer import DataIntent, PutFacts
from grantlog.store.postgres.writer.intents import Intent, facts_named

FACTS_MAX: Final = 2_500
"""Of a group: so many rows at most are written in vain, once in `LOOKS` groups of a tenant."""

LOOKS: Final = 64
"""Of a tenant that puts what holds already, so many groups are looked up first."""

_TENANTS_MAX: Final = 10_000


class HeldError(Exception):
    """Some of the facts that were taken for new hold already; nothing was committed."""


class Novelty:
    """Most facts that are put are new. Taking them for it saves a statement, and costs one if not.

    The statement that puts them tells: behind the head's lock nobody else changes these facts.
    """

    def __init__(self) -> None:
        self._looks: LRUCache[TenantId, int] = LRUCache(_TENANTS_MAX)
        """By tenant, for how many groups more."""

    def expects(self, group: Sequence[Intent]) -> bool:
        """Whether the group is taken for new facts."""
        facts = 0
        for intent in group:
            if not isinstance(intent, DataIntent) or not _puts_tuples(intent):
                return False
            facts += facts_named(intent)
        if facts > FACTS_MAX:
            return False
        looks = self._looks.get(group[0].tenant, 0)
        if looks:
            self._looks[group[0].tenant] = looks - 1
        return not looks

    def refuted(self, tenant: TenantId) -> None:
        """Some of a tenant's facts were held."""
        self._looks[tenant] = LOOKS


def _puts_tuples(intent: DataIntent) -> bool:
    """Whether it puts tuples and nothing else: what an attribute was must be known."""
    return all(isinstance(step, PutFacts) and not step.attributes for step in intent.steps)
