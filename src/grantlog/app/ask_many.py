"""Questions that are many checks: bulk checks, and all permissions of a subject on an entity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from grantlog.app.cached_checks import MISTAKES
from grantlog.app.places import Place, Places
from grantlog.app.resolve import at_a_live_revision
from grantlog.app.terms import Terms
from grantlog.engine.conform import find_entity
from grantlog.engine.question import CheckQuery, CheckResult, RequestContext, require_depth
from grantlog.errors import GrantlogError, InvalidInputError, NotFoundError
from grantlog.model.ids import TenantId
from grantlog.model.tuples import Entity, Subject

ItemAnswer: TypeAlias = CheckResult | InvalidInputError | NotFoundError
"""What one item came to: a decision, or what its caller got wrong."""


@dataclass(frozen=True, slots=True)
class BulkAnswer:
    """The items' answers in their order, all at one place."""

    items: Sequence[ItemAnswer]
    place: Place


class BulkCheck:
    """Many checks at one revision."""

    def __init__(self, places: Places) -> None:
        self._places = places

    async def __call__(
        self, tenant: TenantId, queries: Sequence[CheckQuery], terms: Terms
    ) -> BulkAnswer:
        """Decide every item; what is wrong with one of them is that item's answer.

        Raises:
            GrantlogError: it is about all of them: depth, tokens, schema, reading; and where one
                needs more than a check may, it is no answer to any.
        """
        for depth in {query.depth for query in queries}:  # the request's, no mistake of an item
            require_depth(depth)

        async def answer() -> BulkAnswer:
            place = await self._places.resolve(tenant, terms)
            items: list[ItemAnswer] = []
            for verdict in await self._places.checks_at(tenant, place).check_many(queries):
                if isinstance(verdict, GrantlogError) and not isinstance(verdict, MISTAKES):
                    raise verdict
                items.append(verdict)
            return BulkAnswer(items, place)

        return await at_a_live_revision(self._places.resolver, tenant, answer)


@dataclass(frozen=True, slots=True)
class PermissionsQuery:
    """Which of an entity's permissions does a subject hold?

    Attributes:
        only_permissions: leave relations out.
    """

    entity: Entity
    subject: Subject
    context: RequestContext
    depth: int
    only_permissions: bool


@dataclass(frozen=True, slots=True)
class PermissionsAnswer:
    """Whether each permission, by its name, is held."""

    allowed: dict[str, bool]
    place: Place


class SubjectPermissions:
    """All permissions of a subject on an entity, at one revision."""

    def __init__(self, places: Places) -> None:
        self._places = places

    async def __call__(
        self, tenant: TenantId, query: PermissionsQuery, terms: Terms
    ) -> PermissionsAnswer:
        """Decide every permission of the entity's type, and every relation unless left out.

        Raises:
            NotFoundError: the schema has no such entity type.
            GrantlogError: one of the checks has no answer.
        """

        async def answer() -> PermissionsAnswer:
            place = await self._places.resolve(tenant, terms)
            declared = find_entity(place.loaded.schema, query.entity.type)
            names = list(declared.permissions)
            if not query.only_permissions:
                names += declared.relations
            queries = [
                CheckQuery(
                    query.entity, name, query.subject, context=query.context, depth=query.depth
                )
                for name in names
            ]
            allowed: dict[str, bool] = {}
            verdicts = await self._places.checks_at(tenant, place).check_many(queries)
            for name, verdict in zip(names, verdicts, strict=True):
                if isinstance(verdict, GrantlogError):
                    raise verdict
                allowed[name] = verdict.allowed
            return PermissionsAnswer(allowed, place)

        return await at_a_live_revision(self._places.resolver, tenant, answer)
