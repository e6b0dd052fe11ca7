"""The Data service's calls."""

from __future__ import annotations

from grantlog.api.v1 import base_pb2, service_pb2
from grantlog.app.data import WriteData
from grantlog.app.listing import ListFacts
from grantlog.app.resolve import token_of
from grantlog.app.terms import Terms
from grantlog.model.ids import TenantId
from grantlog.ports.facts import AttributeFilter
from grantlog.wire import convert
from grantlog.wire.at_once import DataAsked, RelationshipsAsked


class DataHandlers:
    """Writes, removes and lists facts."""

    def __init__(self, write_data: WriteData, list_facts: ListFacts) -> None:
        self._write = write_data
        self._list = list_facts

    async def write(self, asked: DataAsked) -> service_pb2.DataWriteResponse:
        """base.v1.Data/Write."""
        request = asked.request
        tenant = TenantId(request.tenant_id)
        head = await self._write.put(
            tenant,
            tuples=asked.tuples,
            attributes=[convert.attribute(item) for item in request.attributes],
            schema_version=request.metadata.schema_version,
        )
        return service_pb2.DataWriteResponse(snap_token=token_of(tenant, head))

    async def write_relationships(
        self, asked: RelationshipsAsked
    ) -> service_pb2.RelationshipWriteResponse:
        """base.v1.Data/WriteRelationships, the older twin of Write."""
        request = asked.request
        tenant = TenantId(request.tenant_id)
        head = await self._write.put(
            tenant,
            tuples=asked.tuples,
            attributes=(),
            schema_version=request.metadata.schema_version,
        )
        return service_pb2.RelationshipWriteResponse(snap_token=token_of(tenant, head))

    async def delete(
        self, request: service_pb2.DataDeleteRequest
    ) -> service_pb2.DataDeleteResponse:
        """base.v1.Data/Delete."""
        tenant = TenantId(request.tenant_id)
        head = await self._write.remove(
            tenant,
            tuples=convert.tuple_filter(request.tuple_filter),
            attributes=convert.attribute_filter(request.attribute_filter),
        )
        return service_pb2.DataDeleteResponse(snap_token=token_of(tenant, head))

    async def delete_relationships(
        self, request: service_pb2.RelationshipDeleteRequest
    ) -> service_pb2.RelationshipDeleteResponse:
        """base.v1.Data/DeleteRelationships, the older twin of Delete."""
        tenant = TenantId(request.tenant_id)
        head = await self._write.remove(
            tenant, tuples=convert.tuple_filter(request.filter), attributes=AttributeFilter()
        )
        return service_pb2.RelationshipDeleteResponse(snap_token=token_of(tenant, head))

    async def read_relationships(
        self, request: service_pb2.RelationshipReadRequest, terms: Terms
    ) -> service_pb2.RelationshipReadResponse:
        """base.v1.Data/ReadRelationships."""
        page, token = await self._list.tuples(
            TenantId(request.tenant_id),
            convert.tuple_filter(request.filter),
            terms=terms.also(snap_token=request.metadata.snap_token),
            page_size=request.page_size,
            continuation=request.continuous_token,
        )
        tuples: list[base_pb2.Tuple] = [convert.tuple_message(item) for item in page]
        return service_pb2.RelationshipReadResponse(tuples=tuples, continuous_token=token)

    async def read_attributes(
        self, request: service_pb2.AttributeReadRequest, terms: Terms
    ) -> service_pb2.AttributeReadResponse:
        """base.v1.Data/ReadAttributes."""
        page, token = await self._list.attributes(
            TenantId(request.tenant_id),
            convert.attribute_filter(request.filter),
            terms=terms.also(snap_token=request.metadata.snap_token),
            page_size=request.page_size,
            continuation=request.continuous_token,
        )
        attributes: list[base_pb2.Attribute] = [convert.attribute_message(item) for item in page]
        return service_pb2.AttributeReadResponse(attributes=attributes, continuous_token=token)
