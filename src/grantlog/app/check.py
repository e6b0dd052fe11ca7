"""The check use case: resolve, then let the engine decide over facts at that revision."""

from __future__ import annotations

from dataclasses import dataclass

from grantlog.app.cached import NO_CACHES, CachedFacts, Caches
from grantlog.app.cached_checks import CachedChecks
from grantlog.app.resolve import Resolver, at_a_live_revision
from grantlog.app.resolve_schema import resolve_with_schema
from grantlog.app.schema_cache import SchemaCache
from grantlog.app.terms import Terms
from grantlog.engine.question import CheckQuery, CheckResult
from grantlog.model.ids import TenantId
from grantlog.ports.facts import FactReader
from grantlog.ports.heads import Head


@dataclass(frozen=True, slots=True)
class CheckAnswer:
    """A decision and the place in the log that it stands at."""

    result: CheckResult
    head: Head


class Check:
    """May this subject do this to that entity?"""

    def __init__(
        self,
        resolver: Resolver,
        cache: SchemaCache,
        facts: FactReader,
        caches: Caches = NO_CACHES,
    ) -> None:
        self._resolver = resolver
        self._cache = cache
        self._facts = facts
        self._caches = caches

    async def __call__(self, tenant: TenantId, query: CheckQuery, terms: Terms) -> CheckAnswer:
        """Decide, at the one revision that the terms come to.

        Raises:
            NotFoundError: the schema, entity type or permission does not exist.
            DepthExceededError: the budget ran out before a decision.
            RuleFailedError: a rule could not be evaluated on what it was given.
            InvalidTokenError, BeyondHeadError, LostWriteError: the token cannot be honoured.
            UnavailableError: facts at the revision cannot be read now.
        """
        return await at_a_live_revision(
            self._resolver, tenant, lambda: self._answer(tenant, query, terms)
        )

    async def _answer(self, tenant: TenantId, query: CheckQuery, terms: Terms) -> CheckAnswer:
        head, loaded = await resolve_with_schema(self._resolver, self._cache, tenant, terms)
        facts = CachedFacts(self._facts, self._caches, tenant, head)
        checks = CachedChecks(self._caches, tenant, head, loaded, facts)
        return CheckAnswer(await checks.check(query), head)
