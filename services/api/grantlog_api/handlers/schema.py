"""The Schema service's calls."""

from __future__ import annotations

from typing import Final

import structlog

from grantlog.api.v1 import service_pb2
from grantlog.app.continuation import Continuation, Continuations, request_digest
from grantlog.app.schemas import Schemas, WrittenSchema
from grantlog.app.terms import Terms
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.schema.edit import EntityEdits
from grantlog.wire.schema import schema_definition

_LOG: Final = structlog.get_logger("grantlog.api")

PAGE_DEFAULT: Final = 50
PAGE_MAX: Final = 1_000


class SchemaHandlers:
    """Writes, reads and lists schema versions."""

    def __init__(self, schemas: Schemas, continuations: Continuations) -> None:
        self._schemas = schemas
        self._continuations = continuations

    async def write(
        self, request: service_pb2.SchemaWriteRequest
    ) -> service_pb2.SchemaWriteResponse:
        """base.v1.Schema/Write."""
        written = await self._schemas.write(TenantId(request.tenant_id), request.schema)
        _warn(request.tenant_id, written)
        return service_pb2.SchemaWriteResponse(schema_version=written.version)

    async def write_in_part(
        self, request: service_pb2.SchemaPartialWriteRequest
    ) -> service_pb2.SchemaPartialWriteResponse:
        """base.v1.Schema/PartialWrite."""
        edits = {
            name: EntityEdits(tuple(part.write), tuple(part.update), tuple(part.delete))
            for name, part in request.partials.items()
        }
        written = await self._schemas.write_in_part(
            TenantId(request.tenant_id), edits, request.metadata.schema_version
        )
        _warn(request.tenant_id, written)
        return service_pb2.SchemaPartialWriteResponse(schema_version=written.version)

    async def read(
        self, request: service_pb2.SchemaReadRequest, terms: Terms
    ) -> service_pb2.SchemaReadResponse:
        """base.v1.Schema/Read."""
        schema = await self._schemas.read(
            TenantId(request.tenant_id),
            terms.also(schema_version=request.metadata.schema_version),
        )
        return service_pb2.SchemaReadResponse(schema=schema_definition(schema))

    async def list(self, request: service_pb2.SchemaListRequest) -> service_pb2.SchemaListResponse:
        """base.v1.Schema/List."""
        tenant = TenantId(request.tenant_id)
        digest = request_digest("schemas", tenant)
        before = None
        if request.continuous_token:
            before = SchemaVersion(
                self._continuations.open(request.continuous_token, digest).after[0]
            )
        limit = min(request.page_size or PAGE_DEFAULT, PAGE_MAX)
        head, found = await self._schemas.list(tenant, limit=limit + 1, before=before)
        page = found[:limit]
        token = ""
        if len(found) > limit:
            place = Continuation(Epoch(0), Revision(0), (page[-1].version,))
            token = self._continuations.seal(place, digest)
        return service_pb2.SchemaListResponse(
            head=head,
            schemas=[
                service_pb2.SchemaList(
                    version=record.version,
                    created_at=record.created_at.strftime("%Y-%m-%d %H:%M:%S.%f +0000 UTC"),
                )
                for record in page
            ],
            continuous_token=token,
        )


def _warn(tenant: str, written: WrittenSchema) -> None:
    for warning in written.warnings:
        _LOG.warning(
            "schema warning",
            tenant=tenant,
            schema_version=written.version,
            at=f"{warning.line}:{warning.column}",
            text=warning.text,
        )
