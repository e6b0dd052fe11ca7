"""The expand use case: the tree of a permission at one revision."""

from __future__ import annotations

from dataclasses import dataclass

from grantlog.app.places import Place, Places
from grantlog.app.resolve import at_a_live_revision
from grantlog.app.terms import Terms
from grantlog.engine.expand import ExpandQuery, expand
from grantlog.engine.tree import Tree
from grantlog.model.ids import TenantId


@dataclass(frozen=True, slots=True)
class ExpandAnswer:
    """A tree and where it stands."""

    tree: Tree
    place: Place


class Expand:
    """Why does this permission hold for whom?"""

    def __init__(self, places: Places) -> None:
        self._places = places

    async def __call__(self, tenant: TenantId, query: ExpandQuery, terms: Terms) -> ExpandAnswer:
        """The tree, at one revision; raises as `engine.expand`, and as a check for the terms."""

        async def answer() -> ExpandAnswer:
            place = await self._places.resolve(tenant, terms)
            facts = self._places.facts_at(tenant, place)
            return ExpandAnswer(await expand(place.plan, query, facts.fetch), place)

        return await at_a_live_revision(self._places.resolver, tenant, answer)
