"""The Permission service's lookups."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from grantlog.api.v1 import service_pb2
from grantlog.app.lookup import Lookup, Window
from grantlog.app.terms import Terms
from grantlog.engine.lookup_entity.lookup import EntityQuery
from grantlog.engine.lookup_subject.lookup import SubjectQuery
from grantlog.model.ids import TenantId
from grantlog.wire import convert


class LookupHandlers:
    """Answers which entities and which subjects."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    async def lookup_entity(
        self, request: service_pb2.PermissionLookupEntityRequest, terms: Terms
    ) -> service_pb2.PermissionLookupEntityResponse:
        """base.v1.Permission/LookupEntity."""
        answer = await self._lookup.entities(
            TenantId(request.tenant_id), _entity_query(request), _window(request, terms)
        )
        return service_pb2.PermissionLookupEntityResponse(
            entity_ids=answer.ids, continuous_token=answer.continuation
        )

    async def lookup_entity_stream(
        self, request: service_pb2.PermissionLookupEntityRequest, terms: Terms
    ) -> AsyncGenerator[service_pb2.PermissionLookupEntityStreamResponse]:
        """base.v1.Permission/LookupEntityStream."""
        found = self._lookup.stream_entities(
            TenantId(request.tenant_id), _entity_query(request), _window(request, terms)
        )
        async with aclosing(found):
            async for id_, token in found:
                yield service_pb2.PermissionLookupEntityStreamResponse(
                    entity_id=id_, continuous_token=token
                )

    async def lookup_subject(
        self, request: service_pb2.PermissionLookupSubjectRequest, terms: Terms
    ) -> service_pb2.PermissionLookupSubjectResponse:
        """base.v1.Permission/LookupSubject."""
        reference = request.subject_reference
        query = SubjectQuery(
            entity=convert.entity(request.entity),
            permission=request.permission,
            subject_type=reference.type,
            subject_relation=reference.relation,
            arguments=convert.argument_names(request.arguments),
            context=convert.request_context(request.context),
            depth=request.metadata.depth,
        )
        answer = await self._lookup.subjects(
            TenantId(request.tenant_id), query, _window(request, terms)
        )
        return service_pb2.PermissionLookupSubjectResponse(
            subject_ids=answer.ids, continuous_token=answer.continuation
        )


def _entity_query(request: service_pb2.PermissionLookupEntityRequest) -> EntityQuery:
    return EntityQuery(
        entity_type=request.entity_type,
        permission=request.permission,
        subject=convert.subject(request.subject),
        context=convert.request_context(request.context),
        depth=request.metadata.depth,
        scope=convert.scope(request.scope),
    )


def _window(
    request: service_pb2.PermissionLookupEntityRequest | service_pb2.PermissionLookupSubjectRequest,
    terms: Terms,
) -> Window:
    metadata = request.metadata
    return Window(
        terms.also(snap_token=metadata.snap_token, schema_version=metadata.schema_version),
        page_size=request.page_size,
        continuation=request.continuous_token,
    )
