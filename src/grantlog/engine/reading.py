"""What a lookup reads: facts forwards and backwards, all as of one revision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from grantlog.ports.facts import FactAnswer, FactKey
from grantlog.ports.reverse import EntitiesKey, IdPage, OfKindKey, ValuePage


class LookupFacts(Protocol):
    """The ports FactReader and ReverseReader, bound to a tenant and a revision."""

    async def fetch(self, keys: Sequence[FactKey]) -> Sequence[FactAnswer]:
        """The answer to every key, in order."""
        ...

    async def entities(self, keys: Sequence[EntitiesKey], *, limit: int) -> Sequence[IdPage]:
        """As ReverseReader."""
        ...

    async def of_kind(self, keys: Sequence[OfKindKey], *, limit: int) -> Sequence[IdPage]:
        """As ReverseReader."""
        ...

    async def known(
        self, entity_type: str, *, after: str, limit: int, among: Sequence[str] = ()
    ) -> IdPage:
        """As ReverseReader."""
        ...

    async def having(
        self, entity_type: str, attribute: str, *, after: str, limit: int
    ) -> ValuePage:
        """As ReverseReader."""
        ...

    async def subjects(
        self,
        subject_type: str,
        subject_relation: str,
        *,
        after: str,
        limit: int,
        among: Sequence[str] = (),
    ) -> IdPage:
        """As ReverseReader."""
        ...
