"""The Schema service's calls."""

from __future__ import annotations

from typing import Final

import structlog

from grantlog.api.v1 import service_pb2
from grantlog.app.list_schemas import ListSchemas
from grantlog.app.schemas import Schemas, WrittenSchema
from grantlog.app.terms import Terms
from grantlog.model.ids import TenantId
from grantlog.schema.edit import EntityEdits
from grantlog.wire.schema import schema_definition

_LOG: Final = structlog.get_logger("grantlog.api")


class SchemaHandlers:
    """Writes, reads and lists schema versions."""

    def __init__(self, schemas: Schemas, list_schemas: ListSchemas) -> None:
        self._schemas = schemas
        self._list = list_schemas

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
        page = await self._list(
            TenantId(request.tenant_id),
            page_size=request.page_size,
            continuation=request.continuous_token,
        )
        return service_pb2.SchemaListResponse(
            head=page.in_force,
            schemas=[
                service_pb2.SchemaList(
                    version=record.version,
                    created_at=record.created_at.strftime("%Y-%m-%d %H:%M:%S.%f +0000 UTC"),
                )
                for record in page.records
            ],
            continuous_token=page.continuation,
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
