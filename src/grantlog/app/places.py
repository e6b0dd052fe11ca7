"""Where a question stands: one revision, one schema version, and the facts as of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grantlog.app.cached import NO_CACHES, CachedFacts, Caches
from grantlog.app.cached_checks import CachedChecks
from grantlog.app.continuation import Continuation
from grantlog.app.resolve import Resolver
from grantlog.app.resolve_schema import resolve_with_schema
from grantlog.app.schema_cache import LoadedSchema, SchemaCache
from grantlog.app.terms import Terms
from grantlog.engine.plan import Plan
from grantlog.errors import NotFoundError
from grantlog.model.ids import TenantId
from grantlog.model.token import SnapToken
from grantlog.ports.facts import FactAnswer, FactKey, FactReader
from grantlog.ports.heads import Head
from grantlog.ports.reverse import EntitiesKey, IdPage, OfKindKey, ReverseReader, ValuePage


@dataclass(frozen=True, slots=True)
class Place:
    """A revision and a schema version to answer at."""

    head: Head
    loaded: LoadedSchema

    @property
    def plan(self) -> Plan:
        """What the schema version means."""
        return self.loaded.plan


class Places:
    """Finds the place of a question, and reads there."""

    def __init__(
        self,
        resolver: Resolver,
        cache: SchemaCache,
        facts: FactReader,
        reverse: ReverseReader,
        caches: Caches = NO_CACHES,
    ) -> None:
        self.resolver = resolver
        self._cache = cache
        self._facts = facts
        self._reverse = reverse
        self._caches = caches

    async def resolve(self, tenant: TenantId, terms: Terms) -> Place:
        """The place of a new question; raises as `resolve_with_schema`."""
        return Place(*await resolve_with_schema(self.resolver, self._cache, tenant, terms))

    async def resume(self, tenant: TenantId, at: Continuation, terms: Terms) -> Place:
        """The very place that an answer's first page stood at; raises as `Resolver.resume`."""
        token = SnapToken(at.epoch, at.revision)
        head = await self.resolver.resume(tenant, token, terms)
        try:
            loaded = await self._cache.load(tenant, at.schema_version)
        except NotFoundError:
            await self.resolver.refresh(tenant)  # did another node delete the tenant?
            await self.resolver.resume(tenant, token, terms)
            raise
        return Place(Head(head.epoch, at.revision, at.schema_version, head.begins), loaded)

    def facts_at(self, tenant: TenantId, place: Place) -> FactsAt:
        """The facts as of a place; for lookups, which would fill caches with what they pass by."""
        return FactsAt(self._facts, self._reverse, tenant, place.head)

    def checks_at(self, tenant: TenantId, place: Place) -> CachedChecks:
        """Checks at a place, from memory where it knows the answers."""
        facts = CachedFacts(self._facts, self._caches, tenant, place.head)
        return CachedChecks(self._caches, tenant, place.head, place.loaded, facts)


class FactsAt:
    """Facts of one tenant at one revision: what the engine calls LookupFacts."""

    def __init__(
        self, facts: FactReader, reverse: ReverseReader, tenant: TenantId, head: Head
    ) -> None:
        self._facts = facts
        self._reverse = reverse
        self._at = (tenant, head.revision)
        self._epoch = head.epoch

    async def require(self) -> None:
        """Refuse if the revision cannot be read here (any more); errors as FactReader."""
        await self._facts.read(*self._at, (), epoch=self._epoch)

    async def fetch(self, keys: Sequence[FactKey]) -> Sequence[FactAnswer]:
        """As FactReader.read."""
        return await self._facts.read(*self._at, keys, epoch=self._epoch)

    async def entities(self, keys: Sequence[EntitiesKey], *, limit: int) -> Sequence[IdPage]:
        """As ReverseReader."""
        return await self._reverse.entities(*self._at, keys, limit=limit, epoch=self._epoch)

    async def of_kind(self, keys: Sequence[OfKindKey], *, limit: int) -> Sequence[IdPage]:
        """As ReverseReader."""
        return await self._reverse.of_kind(*self._at, keys, limit=limit, epoch=self._epoch)

    async def known(
        self, entity_type: str, *, after: str, limit: int, among: Sequence[str] = ()
    ) -> IdPage:
        """As ReverseReader."""
        return await self._reverse.known(
            *self._at, entity_type, after=after, limit=limit, among=among, epoch=self._epoch
        )

    async def having(
        self, entity_type: str, attribute: str, *, after: str, limit: int
    ) -> ValuePage:
        """As ReverseReader."""
        return await self._reverse.having(
            *self._at, entity_type, attribute, after=after, limit=limit, epoch=self._epoch
        )

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
        return await self._reverse.subjects(
            *self._at,
            subject_type,
            subject_relation,
            after=after,
            limit=limit,
            among=among,
            epoch=self._epoch,
        )
