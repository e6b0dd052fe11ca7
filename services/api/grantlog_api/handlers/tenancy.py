"""The Tenancy service's calls."""

from __future__ import annotations

from typing import Final

from grantlog.api.v1 import base_pb2, service_pb2
from grantlog.app.continuation import Continuation, Continuations, request_digest
from grantlog.app.tenants import Tenants
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.ports.writer import TenantRecord
from grantlog.wire import convert

PAGE_DEFAULT: Final = 50
PAGE_MAX: Final = 1_000
_DIGEST: Final = request_digest("tenants")


class TenancyHandlers:
    """Creates, lists and deletes tenants."""

    def __init__(self, tenants: Tenants, continuations: Continuations) -> None:
        self._tenants = tenants
        self._continuations = continuations

    async def create(
        self, request: service_pb2.TenantCreateRequest
    ) -> service_pb2.TenantCreateResponse:
        """base.v1.Tenancy/Create."""
        record = await self._tenants.create(TenantId(request.id), request.name)
        return service_pb2.TenantCreateResponse(tenant=_tenant(record))

    async def list(self, request: service_pb2.TenantListRequest) -> service_pb2.TenantListResponse:
        """base.v1.Tenancy/List."""
        after = None
        if request.continuous_token:
            after = TenantId(self._continuations.open(request.continuous_token, _DIGEST).after[0])
        limit = min(request.page_size or PAGE_DEFAULT, PAGE_MAX)
        found = await self._tenants.list(limit=limit + 1, after=after)
        page = found[:limit]
        token = ""
        if len(found) > limit:
            place = Continuation(Epoch(0), Revision(0), (page[-1].id,))
            token = self._continuations.seal(place, _DIGEST)
        return service_pb2.TenantListResponse(
            tenants=[_tenant(record) for record in page], continuous_token=token
        )

    async def delete(
        self, request: service_pb2.TenantDeleteRequest
    ) -> service_pb2.TenantDeleteResponse:
        """base.v1.Tenancy/Delete."""
        await self._tenants.delete(TenantId(request.id))
        return service_pb2.TenantDeleteResponse(tenant_id=request.id)


def _tenant(record: TenantRecord) -> base_pb2.Tenant:
    return base_pb2.Tenant(
        id=record.id, name=record.name, created_at=convert.timestamp_message(record.created_at)
    )
