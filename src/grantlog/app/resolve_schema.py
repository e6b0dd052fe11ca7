"""From a question's terms to one exact revision and the schema version to answer with there."""

from __future__ import annotations

from grantlog.app.resolve import Resolver
from grantlog.app.schema_cache import LoadedSchema, SchemaCache, no_schema
from grantlog.app.terms import AT_HEAD, Terms
from grantlog.errors import InvalidInputError, NotFoundError
from grantlog.model.ids import SchemaVersion, TenantId
from grantlog.ports.heads import Head


def resolve_at_once(
    resolver: Resolver, cache: SchemaCache, tenant: TenantId, terms: Terms
) -> tuple[Head, LoadedSchema] | None:
    """What `resolve_with_schema` comes to where this node knows it; None if one has to ask.

    Raises:
        InvalidTokenError: the token is garbled or another tenant's.
    """
    head = resolver.resolve_at_once(tenant, terms)
    if head is None:
        return None
    loaded = cache.find(tenant, SchemaVersion(terms.schema_version) or head.schema_version)
    if loaded is None or not head.begins <= loaded.revision <= head.revision:
        return None
    return head, loaded


async def resolve_with_schema(
    resolver: Resolver, cache: SchemaCache, tenant: TenantId, terms: Terms
) -> tuple[Head, LoadedSchema]:
    """The head to answer at and the schema to answer with, on a question's terms.

    An explicit version is also a floor: the answer stands at or after the revision that wrote it.

    Raises:
        NotFoundError: no such version, or no schema at all.
        InvalidInputError: the version was written after the as-of.
    """
    known = resolve_at_once(resolver, cache, tenant, terms)
    if known is not None:
        return known
    head = await resolver.resolve(tenant, terms)
    if terms.as_of is not None and not terms.schema_version and not head.schema_version:
        raise no_schema(
            f"tenant {tenant} had no schema yet at revision {head.revision}: ask as of a later one"
        )
    try:
        loaded = await cache.load(
            tenant, SchemaVersion(terms.schema_version) or head.schema_version
        )
    except NotFoundError:
        # What this node knew may be older: another one wrote a schema, or deleted the tenant.
        fresh = await resolver.refresh(tenant)
        if terms.schema_version or terms.as_of is not None or fresh.revision == head.revision:
            raise
        head = await resolver.resolve(tenant, terms)
        loaded = await cache.load(tenant, head.schema_version)
    require_living(loaded, head)
    if loaded.revision > head.revision:
        if terms.as_of is not None:
            raise InvalidInputError(
                f"schema version {loaded.version} was written at revision {loaded.revision}, "
                f"after the as-of (revision {head.revision})",
                reason="INVALID_AS_OF",
            )
        head = await resolver.resolve(tenant, AT_HEAD)
    return head, loaded


def require_living(loaded: LoadedSchema, head: Head) -> None:
    """Refuse a version of a life of the tenant that ended; caches may still hold it.

    Raises:
        NotFoundError: the version was written before the tenant was deleted.
    """
    if loaded.revision < head.begins:
        raise no_schema(f"schema version {loaded.version!r} ended with the tenant's deletion")
